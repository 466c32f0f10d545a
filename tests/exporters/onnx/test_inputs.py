"""ONNX files with open dimensions, with known poses in and with pixels in, run by ONNX Runtime at shapes not traced."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from depthport.exporters.api import prepare
from depthport.exporters.core.artifact import Shape, load_artifact
from depthport.exporters.core.errors import ExportError, InputError, UsageError
from depthport.exporters.core.open_dims import bound_sizes, resolve, validate_dynamic
from depthport.runtimes.registry import get_runtime
from tests.conftest import export_small
from tests.support.posed import known_poses

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
torch = pytest.importorskip("torch")
pytest.importorskip("depth_anything_3")

from depthport.exporters.da3.build import named_upstream  # noqa: E402
from depthport.exporters.da3.upstream import upstream_forward  # noqa: E402
from depthport.exporters.inputs.preprocess import apply_to_rgb, exact_steps, normalise  # noqa: E402

OUTPUTS = ("depth", "depth_conf", "extrinsics", "intrinsics", "reference_view")
RAYS = ("ray", "ray_conf")
BOUND = 1e-5


@pytest.fixture(scope="module")
def source() -> Any:

    return named_upstream("da3-small", "synthetic:0")


@pytest.fixture(scope="module")
def dynamic(store: Any) -> Any:
    """Everything open, traced at sizes no test uses, for ONNX Runtime's CPU provider."""
    return export_small(store, "onnx", dynamic=["batch", "size", "views"], outputs=list(OUTPUTS), target="ort-cpu").artifact


@pytest.fixture(scope="module")
def session(dynamic: Any) -> Any:
    with get_runtime("onnxruntime").load(dynamic, "cpu") as session:
        yield session


def image(*shape: int) -> Any:
    rng = np.random.default_rng(sum(shape))
    b, n, h, w = shape
    return rng.standard_normal((b, n, 3, h, w)).astype(np.float32)


def run(session: Any, inputs: Any) -> dict[str, Any]:
    session.bind(inputs)
    session.run()
    session.synchronize()
    return dict(session.outputs())


def assert_close(found: dict[str, Any], expected: dict[str, Any], bound: float = BOUND) -> None:
    assert list(found) == list(expected)
    for name, value in expected.items():
        wanted = np.asarray(value)
        assert found[name].shape == wanted.shape and found[name].dtype == wanted.dtype, name
        if name == "reference_view":
            np.testing.assert_array_equal(found[name], wanted)
        else:
            distance = np.linalg.norm(found[name].astype(float) - wanted) / np.linalg.norm(wanted.astype(float))
            assert distance <= bound, (name, distance)


@pytest.mark.parametrize(
    "shape", [(1, 1, 70, 98), (1, 2, 98, 70), (2, 3, 28, 56), (1, 4, 126, 42), (2, 7, 14, 28), (1, 32, 14, 14)], ids=str
)
def test_one_file_is_right_at_every_shape(session: Any, source: Any, shape: tuple[int, ...]) -> None:
    pixels = image(*shape)
    assert_close(run(session, {"image": pixels}), upstream_forward(source, torch.from_numpy(pixels), OUTPUTS))


def test_a_batch_equals_its_scenes_one_by_one(session: Any) -> None:
    pixels = image(3, 3, 42, 28)
    together = run(session, {"image": pixels})
    for index in range(3):
        part = slice(index, index + 1)
        alone = run(session, {"image": pixels[part]})
        assert_close(alone, {name: value[part] for name, value in together.items()})


def test_twenty_runs_give_the_same_bits(session: Any) -> None:
    pixels = {"image": image(1, 3, 42, 70)}
    first = run(session, pixels)
    run(session, {"image": image(1, 1, 14, 14)})
    for _ in range(19):
        again = run(session, pixels)
        assert all(np.array_equal(again[name], first[name]) for name in first)


def test_the_file_says_what_is_open(dynamic: Any) -> None:
    manifest = load_artifact(dynamic.path).manifest
    assert manifest.dynamic == ("views", "size", "batch")
    assert manifest.inputs[0].shape == ("batch", "views", 3, "height", "width")
    assert manifest.limits == {"views": (1, 32, 1), "height": (14, 1008, 14), "width": (14, 1008, 14)}
    assert len(manifest.extra["untraced_shapes"]) == 3
    graph = onnx.load(dynamic.file("model.onnx"), load_external_data=False).graph
    dims = {v.name: [d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim] for v in graph.output}
    assert dims["depth"] == ["batch", "views", "height", "width"]
    assert dims["extrinsics"] == ["batch", "views", 3, 4]


@pytest.mark.parametrize(
    ("shape", "complaint"),
    [
        ((1, 33, 14, 14), "views must be 1 to 32, not 33"),
        ((1, 1, 70, 100), "width must be 14 to 1008, a multiple of 14, not 100"),
        ((1, 1, 1022, 14), "height must be 14 to 1008"),
        ((1, 0, 14, 14), "views must be 1 to 32, not 0"),
    ],
    ids=str,
)
def test_sizes_beyond_the_limits_are_refused(session: Any, shape: tuple[int, ...], complaint: str) -> None:
    b, n, h, w = shape
    with pytest.raises(InputError, match=complaint) as raised:
        session.bind({"image": np.zeros((b, n, 3, h, w), np.float32)})
    assert "\n" not in str(raised.value)


@pytest.mark.slow
@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_the_portable_file_with_rays(store: Any, source: Any, runtime: str) -> None:
    pytest.importorskip(runtime)
    names = (*OUTPUTS, *RAYS)
    portable = export_small(store, "onnx", dynamic=["views", "size"], outputs=list(names)).artifact
    with get_runtime(runtime).load(portable, "cpu") as session:
        for shape in ((1, 1, 70, 98), (1, 4, 28, 56), (1, 2, 112, 42)):
            pixels = image(*shape)
            found = run(session, {"image": pixels})
            assert found["ray"].shape == (*shape[:2], shape[2] // 14 * 8, shape[3] // 14 * 8, 6)
            assert_close(found, upstream_forward(source, torch.from_numpy(pixels), names), 2e-5)


@pytest.mark.slow
def test_a_graph_with_a_baked_in_size_is_refused(monkeypatch: pytest.MonkeyPatch, store: Any) -> None:
    """The check that runs the written file finds a size of the trace that stayed a constant."""
    from depthport.exporters.da3.dynamic import network

    original = network.DynamicPoseMatrices.forward

    def baked(self: Any, encoding: Any, half_size: Any) -> Any:
        return original(self, encoding, torch.tensor([35.0, 49.0]))

    monkeypatch.setattr(network.DynamicPoseMatrices, "forward", baked)
    with pytest.raises(ExportError, match=r"wrong at 1x1x28x42 .*: intrinsics is"):
        export_small(store, "onnx", dynamic=["size"], outputs=["intrinsics"], weights="synthetic:5")


@pytest.mark.slow
@pytest.mark.parametrize("views", [1, 3])
def test_a_batch_from_the_command_line_equals_its_scenes(store: Any, views: int) -> None:
    command = [sys.executable, "-m", "depthport", "export", "da3-small", "--size", "70x98", "--target", "ort-cpu"]
    command += ["--weights", "synthetic:0", "--views", str(views), "--artifacts", str(store.root), "--json"]
    pixels = image(3, views, 70, 98)
    found = []
    for batch in (3, 1):
        done = subprocess.run([*command, "--batch", str(batch)], capture_output=True, text=True, check=True)
        artifact = load_artifact(json.loads(done.stdout)["path"])
        with get_runtime("onnxruntime").load(artifact, "cpu") as session:
            found += [run(session, {"image": pixels[i : i + batch]}) for i in range(0, 3, batch)]
    together, *alone = found
    for index, outputs in enumerate(alone):
        assert_close(outputs, {name: value[index : index + 1] for name, value in together.items()})


@pytest.fixture(scope="module")
def posed(store: Any) -> Any:
    """Known poses and photographs of another size in; two views, so that it is the batch that is open."""
    artifact = export_small(
        store, "onnx", views=2, pose_input=True, source_size=(140, 200), dynamic=["batch"], target="ort-cpu"
    ).artifact
    with get_runtime("onnxruntime").load(artifact, "cpu") as session:
        yield session


def posed_inputs(batch: int) -> dict[str, Any]:
    rng = np.random.default_rng(batch)
    coarse = rng.integers(0, 256, (batch, 2, 35, 50, 3), dtype=np.uint8)
    extrinsics, intrinsics = known_poses(batch, 2, 70, 98, batch)
    return {"image": coarse.repeat(4, axis=2).repeat(4, axis=3), "extrinsics": extrinsics, "intrinsics": intrinsics}


@pytest.mark.parametrize("batch", [1, 3])
def test_poses_and_photographs_in(posed: Any, source: Any, batch: int) -> None:
    inputs = posed_inputs(batch)
    steps = exact_steps((200, 140), 70, 98)
    flat = inputs["image"].reshape(-1, 140, 200, 3)
    pixels = normalise(np.stack([apply_to_rgb(view, steps) for view in flat])).reshape(batch, 2, 3, 70, 98)
    known = {name: torch.from_numpy(inputs[name]) for name in ("extrinsics", "intrinsics")}
    names = [spec.name for spec in posed.output_specs]
    assert_close(run(posed, inputs), upstream_forward(source, torch.from_numpy(pixels), names, **known))


def test_the_manifest_says_who_preprocesses(posed: Any) -> None:
    manifest = posed.artifact.manifest
    assert manifest.preprocessing["where"] == "graph"
    assert manifest.preprocessing["source_size"] == (140, 200)
    assert manifest.preprocessing["steps"][0]["interpolation"] == "area"
    assert "normalise_extrinsics" in manifest.preprocessing["extrinsics"]
    assert [spec.name for spec in manifest.inputs] == ["image", "extrinsics", "intrinsics"]
    assert [spec.native_name for spec in manifest.inputs] == ["image", "extrinsics_in", "intrinsics_in"]


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (lambda a: a.pop("intrinsics"), "input 'intrinsics' is missing"),
        (lambda a: a["extrinsics"].__setitem__((0, 1, 0, 0), np.nan), "input 'extrinsics' holds NaN or infinity"),
        (lambda a: a["extrinsics"].__setitem__((0, 1), 0), "extrinsics of view 1 of scene 0 is not invertible"),
        (lambda a: a.update(image=a["image"][:, :1]), "image has 1 views, the artifact takes 2"),
        (lambda a: a.update(extrinsics=a["extrinsics"].repeat(2, 0)), "extrinsics has 2: give both the same"),
    ],
    ids=["no intrinsics", "nan", "singular", "views", "batches"],
)
def test_wrong_inputs_are_one_line(posed: Any, spoil: Any, complaint: str) -> None:
    inputs = posed_inputs(1)
    spoil(inputs)
    with pytest.raises(InputError, match=complaint) as raised:
        posed.bind(inputs)
    assert "\n" not in str(raised.value) and raised.value.exit_code == 2


def test_open_dimensions_in_closed_form() -> None:
    specs = prepare(
        model="da3-small", format="onnx", precision="fp32", views=2, height=70, width=98, weights="synthetic:0",
        dynamic=["size", "views"],
    )  # fmt: skip
    assert specs.dynamic == ("views", "size")
    from depthport.exporters.da3.signature import input_specs, output_specs

    sizes = bound_sizes({"image": np.zeros((1, 5, 3, 28, 42))}, input_specs(specs), {})
    assert sizes == {"views": 5, "height": 28, "width": 42}
    rays = resolve(output_specs(replace(specs, outputs=("ray",))), sizes)
    assert rays[0].shape == (1, 5, 16, 24, 6)


@pytest.mark.parametrize(
    ("dynamic", "shape", "complaint"),
    [
        (["frames"], Shape(1, 1, 70, 98), "unknown dimension 'frames': --dynamic takes views, size, batch"),
        (["size"], Shape(1, 1, 70, 1022), "width must be 14 to 1008"),
        (["views"], Shape(1, 40, 70, 98), "views must be 1 to 32"),
    ],
)
def test_impossible_requests_are_usage_errors(dynamic: list[str], shape: Shape, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        validate_dynamic(dynamic, shape)
