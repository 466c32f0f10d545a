"""`depthport.exporters.inputs.preprocess` against upstream's own InputProcessor, bit for bit, and its arithmetic in closed
form."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from depthport.bench.inputs.photographs import motorcycle, single
from depthport.exporters.core.errors import InputError
from depthport.exporters.inputs.poses import normalise_extrinsics
from depthport.exporters.inputs.preprocess import (
    Crop,
    Resize,
    apply_to_intrinsics,
    apply_to_map,
    apply_to_rgb,
    exact_steps,
    final_size,
    normalise,
    preprocess,
    upstream_steps,
)


@pytest.fixture(scope="module")
def upstream() -> Any:
    pytest.importorskip("torch")
    pytest.importorskip("depth_anything_3")
    from depthport.exporters.da3.processors import input_processor

    return input_processor()


def noise(width: int, height: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def assert_equal_to_upstream(upstream: Any, images: list[np.ndarray], process_res: int = 504) -> None:
    intrinsics = [np.array([[900.0, 0, i.shape[1] / 2 - 3], [0, 880, i.shape[0] / 2 + 5], [0, 0, 1]]) for i in images]
    theirs, _, their_intrinsics = upstream(images, None, intrinsics, process_res, num_workers=1)
    ours, our_intrinsics = preprocess(images, intrinsics, process_res)
    assert ours.dtype == np.float32
    np.testing.assert_array_equal(ours, theirs.numpy())
    np.testing.assert_array_equal(our_intrinsics, their_intrinsics.numpy())


def test_motorcycle_is_what_upstream_feeds(upstream: Any) -> None:
    images = [camera.rgb for camera in motorcycle().cameras]
    assert_equal_to_upstream(upstream, images)
    assert preprocess(images)[0].shape == (2, 3, 336, 504)


def test_views_of_different_sizes_are_unified_as_upstream_does(upstream: Any) -> None:
    images = [single(name).cameras[0].rgb for name in ("astronaut", "coffee", "chelsea", "rocket")]
    assert_equal_to_upstream(upstream, images)


@pytest.mark.parametrize(
    "size",
    [(504, 504), (504, 336), (504, 511), (1, 1), (14, 14), (3000, 2000), (505, 505), (504, 7), (503, 343), (97, 504)],
)
def test_edge_sizes_equal_upstream(upstream: Any, size: tuple[int, int]) -> None:
    assert_equal_to_upstream(upstream, [noise(*size)])


@settings(max_examples=25, deadline=None)
@given(
    sizes=st.lists(st.tuples(st.integers(40, 900), st.integers(40, 900)), min_size=1, max_size=3),
    process_res=st.sampled_from([98, 252, 504, 518]),
)
def test_random_sizes_equal_upstream(upstream: Any, sizes: list[tuple[int, int]], process_res: int) -> None:
    if any(min(w, h) / max(w, h) * process_res < 8 for w, h in sizes):
        return  # thinner than half a patch: refused, see below
    assert_equal_to_upstream(upstream, [noise(*size, seed=i) for i, size in enumerate(sizes)], process_res)


def test_half_way_between_two_multiples_goes_up() -> None:
    assert final_size((504, 343), upstream_steps((504, 343))) == (504, 350)


def test_too_thin_an_image_is_refused_in_one_line() -> None:
    with pytest.raises(InputError, match="too thin") as refused:
        preprocess([noise(1000, 10)])
    assert "\n" not in str(refused.value)
    with pytest.raises(InputError, match="too thin"):
        exact_steps((10_000, 10), 504, 504)


@pytest.mark.parametrize("target", [(504, 504), (336, 504), (70, 98), (98, 70), (14, 1008)])
@pytest.mark.parametrize("size", [(741, 500), (500, 741), (504, 504), (30, 40), (4000, 3000)])
def test_exact_steps_end_at_the_target(size: tuple[int, int], target: tuple[int, int]) -> None:
    height, width = target
    steps = exact_steps(size, height, width)
    assert apply_to_rgb(noise(*size), steps).shape == (height, width, 3)
    assert apply_to_map(np.zeros(size[::-1], np.float32), steps).shape == (height, width)


def test_exact_steps_are_upstreams_where_upstream_ends_at_the_target() -> None:
    assert exact_steps((741, 500), 336, 504) == upstream_steps((741, 500))


def test_exact_steps_do_not_stretch() -> None:
    resize, crop = exact_steps((741, 500), 504, 504)
    assert isinstance(resize, Resize) and isinstance(crop, Crop)
    assert resize.width / 741 == pytest.approx(resize.height / 500, rel=1e-3)
    assert crop.left == (resize.width - 504) // 2 and crop.top == 0


def test_a_map_follows_the_pixels() -> None:
    """A smooth ramp taken through both paths agrees to a source pixel (nearest: half of one)."""
    columns = np.broadcast_to(np.arange(200, dtype=np.float32), (100, 200))
    steps = (Crop(10, 5, 180, 90), *exact_steps((180, 90), 42, 70))
    seen = apply_to_rgb(np.repeat(columns[..., None], 3, -1).astype(np.uint8), steps)[..., 0]
    assert np.abs(apply_to_map(columns, steps) - seen.astype(np.float32)).max() <= 1.5


def test_intrinsics_project_to_the_same_content() -> None:
    """A point's pixel, moved by the steps, is its projection by the adjusted matrix."""
    matrix = np.array([[700.0, 0, 320], [0, 710, 250], [0, 0, 1]])
    point = np.array([0.2, -0.1, 2.0])
    u, v, _ = matrix @ point / point[2]
    steps = (Crop(30, 20, 600, 400), Resize((600, 400), 300, 100, upscale=False))
    projected = apply_to_intrinsics(matrix, steps) @ point / point[2]
    np.testing.assert_allclose(projected[:2], [(u - 30) / 2, (v - 20) / 4])


def test_normalise_matches_its_definition() -> None:
    rgb = np.array([[[0, 128, 255]]], np.uint8)
    expected = [(0 - 0.485) / 0.229, (128 / 255 - 0.456) / 0.224, (1 - 0.406) / 0.225]
    np.testing.assert_allclose(normalise(rgb)[:, 0, 0], expected, rtol=1e-6)
    assert normalise(np.zeros((2, 5, 28, 14, 3), np.uint8)).shape == (2, 5, 3, 28, 14)


@pytest.mark.parametrize("views", [1, 2, 3, 4, 5])
def test_poses_are_normalised_as_upstream_does(views: int) -> None:
    torch = pytest.importorskip("torch")
    geometry = pytest.importorskip("depth_anything_3.utils.geometry")
    generator = np.random.default_rng(views)
    rotations = np.linalg.qr(generator.normal(size=(views, 3, 3)))[0]
    rotations *= np.linalg.det(rotations)[:, None, None]
    poses = np.tile(np.eye(4), (views, 1, 1))
    poses[:, :3, :3], poses[:, :3, 3] = rotations, generator.normal(size=(views, 3))
    theirs = torch.from_numpy(poses)[None] @ geometry.affine_inverse(torch.from_numpy(poses)[None][:, :1])
    distances = geometry.affine_inverse(theirs)[..., :3, 3].norm(dim=-1)
    theirs[..., :3, 3] /= torch.clamp(torch.median(distances), min=1e-1)
    np.testing.assert_allclose(normalise_extrinsics(poses), theirs[0].numpy(), atol=1e-6)


@pytest.mark.parametrize(("bad", "why"), [(np.full((1, 4, 4), np.nan), "not finite"), (np.zeros((1, 4, 4)), "invertible")])
def test_poses_that_are_none_are_refused(bad: np.ndarray, why: str) -> None:
    with pytest.raises(InputError, match=why):
        normalise_extrinsics(bad)
