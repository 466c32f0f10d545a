"""Host steps: upstream's own arithmetic wherever upstream is deterministic, and sound where it is not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from depthport.exporters.core.artifact import HostStep
from depthport.exporters.core.errors import ArtifactError, RunError
from depthport.exporters.da3 import host
from depthport.exporters.da3.host.rays import draw_samples, pose_from_rays, rotation_and_lower
from depthport.exporters.da3.host.sky import interpolated_quantile

SKY = host.SKY_FILL.parameters
METRIC = host.METRIC_SCALE.parameters
RAYS: dict[str, Any] = {**host.POSE_FROM_RAYS.parameters}


def maps(shape: tuple[int, ...] = (1, 2, 30, 40), seed: int = 0, share: float = 0.3) -> dict[str, Any]:
    """Random outputs of a nested model, `share` of the pixels sky."""
    random = np.random.default_rng(seed)
    batch, views = shape[:2]
    found = {
        "depth": random.lognormal(0, 1, shape),
        "depth_conf": 1 + random.lognormal(0, 1, shape),
        "extrinsics": random.normal(size=(batch, views, 3, 4)),
        "intrinsics": np.tile(np.array([[90.0, 0, 20], [0, 110, 15], [0, 0, 1]]), (batch, views, 1, 1)),
        "metric_depth": random.lognormal(1, 1, shape),
        "sky": np.where(random.random(shape) < share, 0.9, 0.0),
    }
    return {name: value.astype(np.float32) for name, value in found.items()}


def upstream(kind: str, outputs: dict[str, Any]) -> Any:
    """What upstream's own methods make of the outputs."""
    torch = pytest.importorskip("torch")
    da3 = pytest.importorskip("depth_anything_3.model.da3")
    from addict import Dict

    tensors = Dict({name: torch.from_numpy(value.copy()) for name, value in outputs.items()})
    if kind == "sky":
        return da3.DepthAnything3Net._process_mono_sky_estimation(None, tensors)
    metric = Dict(depth=tensors.pop("metric_depth"), sky=tensors.pop("sky"))
    net = da3.NestedDepthAnything3Net
    for method in (net._apply_metric_scaling, net._apply_depth_alignment):
        tensors = method(None, tensors, metric)
    return net._handle_sky_regions(None, tensors, metric)


@pytest.mark.parametrize("shape", [(1, 1, 14, 14), (1, 3, 70, 98), (1, 5, 140, 140)])
@pytest.mark.parametrize("seed", range(4))
def test_the_sky_fill_is_upstreams_to_the_bit(shape: tuple[int, ...], seed: int) -> None:
    outputs = maps(shape, seed)
    found = host.apply([host.SKY_FILL], {name: outputs[name] for name in ("depth", "sky")})
    assert np.array_equal(found["depth"], upstream("sky", outputs).depth.numpy())


@pytest.mark.parametrize("share", [0.0, 0.01, 0.99, 1.0])
def test_too_little_sky_or_too_little_else_leaves_depth_as_it_is(share: float) -> None:
    outputs = maps((1, 1, 14, 28), seed=2, share=share)
    found = host.apply([host.SKY_FILL], outputs)
    assert np.array_equal(found["depth"], outputs["depth"])
    assert np.array_equal(found["depth"], upstream("sky", outputs).depth.numpy())


def test_where_upstream_draws_pixels_all_of_them_count() -> None:
    outputs = maps((1, 1, 504, 504))
    ground = outputs["sky"] < 0.3
    assert ground.sum() > 100_000
    found = host.apply([host.SKY_FILL], outputs)["depth"]
    filled = np.unique(found[~ground])
    assert filled.size == 1
    assert filled[0] == pytest.approx(np.quantile(outputs["depth"][ground].astype(np.float64), 0.99), rel=1e-6)
    assert filled[0] == pytest.approx(float(upstream("sky", outputs).depth.numpy()[~ground][0]), rel=0.05)
    assert np.array_equal(found, host.apply([host.SKY_FILL], outputs)["depth"])


@pytest.mark.parametrize("size", [1, 2, 3, 101, 99_999, 100_000, 100_001])
@pytest.mark.parametrize("share", [0.5, 0.99])
def test_quantiles_are_torchs(size: int, share: float) -> None:
    torch = pytest.importorskip("torch")
    values = np.random.default_rng(size).normal(size=size).astype(np.float32)
    found = interpolated_quantile(values, share)
    expected = torch.quantile(torch.from_numpy(values), share).item()
    assert found.dtype == np.float32
    assert float(found) == (expected if size <= 100_000 else pytest.approx(expected, rel=1e-4))


@pytest.mark.parametrize("shape", [(1, 1, 28, 28), (1, 3, 70, 98), (1, 4, 126, 126)])
@pytest.mark.parametrize("seed", range(4))
def test_the_metric_scale_is_upstreams(shape: tuple[int, ...], seed: int) -> None:
    outputs = maps(shape, seed)
    found = host.apply([host.METRIC_SCALE], outputs)
    expected = upstream("metric", outputs)
    for name in ("depth", "depth_conf", "extrinsics", "intrinsics"):
        np.testing.assert_allclose(found[name], expected[name].numpy(), rtol=1e-6, err_msg=name)
    assert (found["depth_conf"][outputs["sky"] > 0.3] == 1).all()
    assert np.array_equal(found["extrinsics"][..., :3], outputs["extrinsics"][..., :3])


def test_no_sky_is_farther_than_200_metres() -> None:
    outputs = maps()
    outputs["metric_depth"] *= 1e5
    found = host.apply([host.METRIC_SCALE], outputs)
    assert (found["depth"][outputs["sky"] > 0.3] == 200).all()
    np.testing.assert_allclose(found["depth"], upstream("metric", outputs).depth.numpy(), rtol=1e-6)


def test_a_scene_that_is_all_sky_has_no_scale() -> None:
    outputs = maps((2, 1, 14, 14))
    outputs["sky"][1] = 1
    with pytest.raises(RunError, match=r"scene 1 is all sky \(0 pixels are not\)") as caught:
        host.apply([host.METRIC_SCALE], outputs)
    assert "\n" not in str(caught.value)


def test_scenes_of_a_batch_do_not_touch_each_other() -> None:
    one, two = maps(seed=1), maps(seed=2)
    both = {name: np.concatenate((one[name], two[name])) for name in one}
    for step in (host.SKY_FILL, host.METRIC_SCALE):
        found = host.apply([step], both)
        for index, alone in enumerate((one, two)):
            for name, value in host.apply([step], alone).items():
                assert np.array_equal(found[name][index : index + 1], value), name


def test_inputs_are_left_alone_and_shapes_and_dtypes_kept() -> None:
    outputs = {**maps(), **camera_rays()[0]}
    before = {name: value.copy() for name, value in outputs.items()}
    found = host.apply([host.POSE_FROM_RAYS, host.METRIC_SCALE], outputs)
    for name, value in before.items():
        assert np.array_equal(outputs[name], value), name
        assert (found[name].shape, found[name].dtype) == (value.shape, value.dtype), name


def test_rays_are_scaled_with_the_scene() -> None:
    outputs = {**maps(), **camera_rays()[0]}
    found = host.apply([host.METRIC_SCALE], outputs)
    scale = found["extrinsics"][0, 0, 0, 3] / outputs["extrinsics"][0, 0, 0, 3]
    np.testing.assert_allclose(found["ray"][..., 3:], outputs["ray"][..., 3:] * scale, rtol=1e-5)
    assert np.array_equal(found["ray"][..., :3], outputs["ray"][..., :3])


def camera_rays(
    noise: float = 0.0, outliers: float = 0.0, views: int = 2, rows: int = 16, columns: int = 24, seed: int = 0
) -> tuple[dict[str, Any], Any, Any]:
    """Rays of known cameras: outputs, extrinsics and intrinsics."""
    random = np.random.default_rng(seed)
    size = np.array([columns, rows]) * 14 / 8
    rays, extrinsics, intrinsics = [], [], []
    for _ in range(views):
        rotation = np.linalg.qr(np.eye(3) + 0.2 * random.normal(size=(3, 3)))[0]
        rotation *= np.sign(np.diag(rotation))
        focal, centre = size * random.uniform(0.8, 1.2, 2), size / 2
        position = random.normal(size=3)
        x, y = ((np.arange(n) + 0.5) * 14 / 8 for n in (columns, rows))
        grid = np.stack(np.broadcast_arrays(x[None, :], y[:, None], 1.0), axis=-1)
        grid = (grid - [*centre, 0]) / [*focal, 1]
        direction = grid @ rotation.T * random.uniform(0.7, 1.4, (rows, columns, 1))
        direction += noise * random.normal(size=direction.shape)
        wrong = random.random((rows, columns)) < outliers
        direction[wrong] = random.normal(size=(wrong.sum(), 3))
        rays.append(np.concatenate((direction, np.broadcast_to(position, direction.shape)), axis=-1))
        extrinsics.append(np.column_stack((rotation.T, -rotation.T @ position)))
        intrinsics.append(np.array([[focal[0], 0, centre[0]], [0, focal[1], centre[1]], [0, 0, 1]]))
    outputs = {
        "ray": np.array(rays, np.float32)[None],
        "ray_conf": (1 + random.random((1, views, rows, columns))).astype(np.float32),
    }
    return outputs, np.array(extrinsics)[None], np.array(intrinsics)[None]


@pytest.mark.parametrize(("noise", "outliers", "bound"), [(0.0, 0.0, 1e-4), (0.0, 0.3, 1e-2), (0.003, 0.2, 0.03)])
@pytest.mark.parametrize("seed", range(3))
def test_known_cameras_are_found(noise: float, outliers: float, bound: float, seed: int) -> None:
    outputs, extrinsics, intrinsics = camera_rays(noise, outliers, seed=seed)
    found = pose_from_rays(outputs, **RAYS)
    assert abs(found["extrinsics"][..., :3] - extrinsics[..., :3]).max() < bound
    assert abs(found["intrinsics"] - intrinsics).max() / intrinsics.max() < bound
    assert found["extrinsics"].dtype == np.float32


def upstream_poses(outputs: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Upstream's poses from rays, its random samples replaced by ours."""
    torch = pytest.importorskip("torch")
    da3 = pytest.importorskip("depth_anything_3.model.da3")
    from addict import Dict
    from depth_anything_3.utils import ray_utils

    def ours(count: int, device: Any) -> tuple[int, int, int, Any]:
        candidates = max(8, int(count * RAYS["candidates"]))
        samples = draw_samples(candidates, RAYS["iterations"], RAYS["seed"])
        return RAYS["iterations"], 8, candidates, torch.from_numpy(samples)

    monkeypatch.setattr(ray_utils, "get_params_for_ransac", ours)
    rows, columns = outputs["ray"].shape[2:4]
    tensors = Dict({name: torch.from_numpy(value.copy()) for name, value in outputs.items()})
    found = da3.DepthAnything3Net._process_ray_pose_estimation(None, tensors, rows * 14 // 8, columns * 14 // 8)
    return {name: found[name].numpy() for name in ("extrinsics", "intrinsics")}


@pytest.mark.parametrize(("noise", "outliers"), [(0.0, 0.0), (0.01, 0.0), (0.01, 0.2)])
@pytest.mark.parametrize("views", [1, 3])
def test_poses_from_rays_are_upstreams_on_the_same_samples(
    noise: float, outliers: float, views: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    outputs, _, _ = camera_rays(noise, outliers, views, seed=7)
    expected = upstream_poses(outputs, monkeypatch)
    found = pose_from_rays(outputs, **RAYS)
    for name, value in expected.items():
        error = np.linalg.norm(found[name] - value) / np.linalg.norm(value)
        assert error < 2e-5, (name, error)  # upstream's singular vectors are fp32


def test_poses_from_rays_are_the_same_every_time_and_for_every_seed_close() -> None:
    outputs, _, _ = camera_rays(0.003, 0.1)
    first = pose_from_rays(outputs, **RAYS)
    assert all(np.array_equal(first[name], pose_from_rays(outputs, **RAYS)[name]) for name in first)
    other = pose_from_rays(outputs, **{**RAYS, "seed": 5})
    assert abs(first["extrinsics"] - other["extrinsics"]).max() < 0.02


def test_samples_are_eight_different_ones_and_the_same_everywhere() -> None:
    samples = draw_samples(20, 100, 0)
    assert samples.shape == (100, 8) and samples.min() >= 0 and samples.max() < 20
    assert all(len(set(row)) == 8 for row in samples.tolist())
    assert samples[0].tolist() == draw_samples(20, 1, 0)[0].tolist()
    assert sorted(draw_samples(8, 1, 3)[0].tolist()) == list(range(8))


def test_a_matrix_is_a_rotation_times_a_lower_triangle() -> None:
    matrix = np.random.default_rng(0).normal(size=(3, 3))
    matrix *= np.sign(np.linalg.det(matrix))
    rotation, lower = rotation_and_lower(matrix)
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
    assert (np.diag(lower) > 0).all() and lower[2, 2] == 1 and np.allclose(np.triu(lower, 1), 0)
    product = rotation @ lower
    np.testing.assert_allclose(product / product[0, 0], matrix / matrix[0, 0], atol=1e-12)


@pytest.mark.parametrize("value", [0.0, np.nan])
def test_rays_that_fit_no_camera_are_told(value: float) -> None:
    outputs, _, _ = camera_rays()
    outputs["ray"][0, 1, ..., :3] = value
    with pytest.raises(RunError, match="the rays of view 1 of scene 0 fit no camera"):
        pose_from_rays(outputs, **RAYS)


def test_a_step_of_a_later_version_is_refused() -> None:
    unknown = replace(host.SKY_FILL, name="hole_fill")
    assert isinstance(unknown, HostStep)
    with pytest.raises(ArtifactError, match="needs the host step 'hole_fill', which this version lacks"):
        host.apply([unknown], maps())


def test_steps_read_what_they_say() -> None:
    outputs = {**maps(), **camera_rays()[0]}
    for step in host.STEPS.values():
        needed = {name: outputs[name] for name in step.reads}
        found = host.apply([step], needed)
        changed = {name for name in needed if not np.array_equal(found[name], needed[name])}
        assert changed and changed <= set(step.writes), step.name


@pytest.mark.parametrize(
    "changes", [{"parameters": {"nobody": 1}}, {"parameters": {"quantile": "x"}}, {"parameters": {"quantile": [0.5]}}]
)
def test_a_step_of_a_strangers_manifest_takes_its_own_parameters_alone(changes: dict[str, Any]) -> None:
    outputs = {name: np.ones((1, 1, 2, 2), np.float32) for name in ("depth", "sky")}
    with pytest.raises(ArtifactError, match="unknown parameters"):
        host.apply([replace(host.SKY_FILL, **changes)], outputs)
    with pytest.raises(ArtifactError, match="reads 'sky', which the artifact does not output"):
        host.apply([host.SKY_FILL], {"depth": outputs["depth"]})
