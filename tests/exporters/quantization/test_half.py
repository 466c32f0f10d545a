"""bf16 weights rounded together: the grid, what it saves, and which requests have it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from depthport.bench.inputs.inputs import load_scenes
from depthport.exporters.api import prepare
from depthport.exporters.core.artifact import Artifact
from depthport.exporters.core.errors import UnsupportedError, UsageError
from depthport.exporters.core.precision import POLICIES
from depthport.exporters.core.store import ArtifactStore
from depthport.exporters.quantization.layers import Observation, is_linear
from depthport.exporters.quantization.mix import Loss
from depthport.exporters.quantization.parts import HalfParts
from depthport.exporters.quantization.rounding import bfloat16, compensate
from depthport.exporters.quantization.sensitivity import compare, quantize_layer
from depthport.exporters.quantization.trial import Trial
from tests.conftest import export_small

torch = pytest.importorskip("torch")


def test_bfloat16_rounds_as_torch_does() -> None:
    rng = np.random.default_rng(0)
    values = (rng.standard_normal(4096) * 10.0 ** rng.integers(-20, 20, 4096)).astype(np.float32)
    corners = np.array([0, -0.0, 1 + 2**-8, 1 + 3 * 2**-8, 2**-130], np.float32)  # ties, a subnormal
    values = np.concatenate((values, corners))
    np.testing.assert_array_equal(bfloat16(values), torch.from_numpy(values).bfloat16().float().numpy())


def test_what_one_row_loses_the_others_make_good() -> None:
    rng = np.random.default_rng(1)
    inputs = rng.standard_normal((400, 24)) @ rng.standard_normal((24, 160)) + 0.05 * rng.standard_normal((400, 160))
    weight = rng.standard_normal((160, 32)).astype(np.float32)
    found = compensate(weight, inputs.T @ inputs, bfloat16)
    np.testing.assert_array_equal(found, bfloat16(found))
    alone, together = (np.linalg.norm(inputs @ (w - weight)) for w in (bfloat16(weight), found))
    assert together < alone / 2


def test_tokens_count_by_what_the_layer_makes_of_them() -> None:
    """One hidden unit that writes a massive value for a few tokens must not spoil the others' products."""
    from depthport.exporters.quantization.layers import _gram

    rng = np.random.default_rng(2)
    usual = rng.standard_normal((2000, 64)).astype(np.float32)
    usual[:, 0] = 0
    few = usual[:40].copy()
    few[:, 0] = 4
    weight = rng.standard_normal((64, 16)).astype(np.float32)
    weight[0, 3] = 987.0
    x = torch.from_numpy(np.concatenate((usual, few)))
    gram = _gram(x, x @ torch.from_numpy(weight)).numpy()
    held_out = rng.standard_normal((500, 64)).astype(np.float32)
    held_out[:, 0] = 0
    lost = [
        np.linalg.norm(held_out @ (w - weight))
        for w in (
            bfloat16(weight),
            compensate(weight, gram, bfloat16),
            compensate(weight, x.numpy().T @ x.numpy(), bfloat16),
        )
    ]
    assert lost[1] < 1.05 * lost[0]
    assert lost[2] > 1.3 * lost[1], "unweighed, it does"


THROUGHOUT = {"max_depth_error": 1.0, "max_rotation_deg": 90.0}
"""A budget that all parts of the network keep in 16 bits."""


@pytest.fixture(scope="module")
def artifact(store: ArtifactStore) -> Artifact:
    pytest.importorskip("onnxscript")
    asked = {"precision": "bf16-poses", "target": "openvino", "views": 2, "options": THROUGHOUT}
    return export_small(store, "onnx", **asked).artifact


@pytest.fixture(scope="module")
def mixed(store: ArtifactStore) -> Artifact:
    """`int8-bf16` within its default budget: parts in fp32, in bf16 and in 8 bits."""
    pytest.importorskip("onnxscript")
    asked = {"precision": "int8-bf16", "target": "openvino", "weights": "synthetic:0,outliers"}
    return export_small(store, "onnx", **asked).artifact


def test_the_file_holds_weights_on_the_grid_and_the_cameras_in_fp32(artifact: Artifact) -> None:
    import onnx_ir as ir

    graph = ir.load(artifact.file("model.onnx")).graph
    dtypes: dict[bool, set[Any]] = {True: set(), False: set()}
    for node in graph:
        weight = node.inputs[1] if node.op_type == "MatMul" else None
        if weight is None or weight.const_value is None:
            continue
        bias = next(iter(node.outputs[0].uses())).node.inputs[1]
        if bias is not None and (bias.name or "").startswith("backbone."):
            dtypes[".camera." in (bias.name or "")].add(weight.dtype)
    assert dtypes == {True: {ir.DataType.FLOAT}, False: {ir.DataType.BFLOAT16}}
    report = artifact.manifest.extra["rounding"]
    assert len([name for name in report["layers"] if name.startswith("backbone.")]) == 48
    assert 0 < report["held_out"]["depth"] < 4e-2
    assert 0 < report["held_out"]["rotation_deg"] < 2
    assert not report["float32"] and not report["int8"] and not report["sensitivity"]


def test_what_breaks_the_budget_goes_back_to_fp32(mixed: Artifact) -> None:
    report = mixed.manifest.extra["rounding"]
    assert report["held_out"]["scenes"] == 24
    assert report["held_out"]["depth"] <= report["budget"]["depth"] == 9e-3
    assert report["held_out"]["rotation_deg"] <= report["budget"]["rotation_deg"] == 0.25
    taken = {(row["layer"], row["dtype"]) for row in report["sensitivity"] if row["taken"]}
    assert {layer for layer, dtype in taken if dtype == "int8"} == set(report["int8"]) != set()
    assert (
        {row["layer"] for row in report["sensitivity"]} - {layer for layer, _ in taken} == set(report["float32"]) != set()
    )
    assert all(row["estimated_saved_ms"] > 0 for row in report["sensitivity"])


def test_the_file_has_every_layer_in_its_own_precision(mixed: Artifact) -> None:
    import onnx_ir as ir

    report, graph = mixed.manifest.extra["rounding"], ir.load(mixed.file("model.onnx")).graph
    quantized = {(node.name or "").removesuffix("_quantize") for node in graph if node.op_type == "QuantizeLinear"}
    assert quantized == set(report["int8"])
    assert not [node for node in graph if node.op_type == "ScatterND"], "the camera token has products of its own"
    rows: dict[str, dict[int, Any]] = {}
    for node in graph:
        weight = node.inputs[1] if node.op_type == "MatMul" else None
        user = next(iter(node.outputs[0].uses())).node if weight is not None else None
        bias = user.inputs[1] if user is not None and user.op_type == "Add" else None
        if bias is not None and (bias.name or "").endswith(".bias") and node.outputs[0].shape is not None:
            name, tokens = (bias.name or "").removesuffix(".bias"), int(str(node.outputs[0].shape[1]))
            rows.setdefault(name, {})[tokens] = cast(Any, weight).dtype
    in_fp32 = {name for name, found in rows.items() if found.get(35) == ir.DataType.FLOAT}
    assert {name for name in in_fp32 if is_linear(name)} >= {name for name in report["float32"] if is_linear(name)}


def test_openvino_computes_what_was_tried(mixed: Artifact, store: ArtifactStore, tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    exact = export_small(store, "onnx", target="openvino", weights="synthetic:0,outliers").artifact
    image = load_scenes(mixed.manifest.shape, sets=1)[0].arrays()
    found = [outputs_of(made, image, tmp_path) for made in (exact, mixed)]
    depth, rotation = compare(found[1], found[0])
    assert 1e-4 < depth < 1.2e-2
    assert 0 < rotation < 0.6


def outputs_of(artifact: Artifact, image: dict[str, Any], cache: Path) -> dict[str, Any]:
    """In the runtime of its format, one thread."""
    from depthport.runtimes.base import LoadOptions
    from depthport.runtimes.openvino import OpenVinoRuntime
    from depthport.runtimes.pytorch.runtime import PyTorchRuntime

    in_torch = artifact.manifest.format == "pytorch"
    options = LoadOptions(threads=1, cache_dir=cache, mode="eager" if in_torch else None)
    with (PyTorchRuntime() if in_torch else OpenVinoRuntime()).load(artifact, "cpu", options) as session:
        session.bind(image)
        session.run()
        session.synchronize()
        return session.outputs()


def test_openvino_computes_as_torch_emulates(artifact: Artifact, store: ArtifactStore, tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    exact = export_small(store, "onnx", target="openvino", views=2).artifact
    emulated = export_small(store, "pytorch", precision="bf16-poses", views=2, options=THROUGHOUT).artifact
    assert emulated.manifest.extra["rounding"]["layers"] == artifact.manifest.extra["rounding"]["layers"]
    image = load_scenes(artifact.manifest.shape, sets=1)[0].arrays()
    found = [outputs_of(made, image, tmp_path) for made in (exact, artifact, emulated)]
    for outputs in found[1:]:
        depth, rotation = compare(outputs, found[0])
        assert 1e-4 < depth < 2e-2
        assert 0 < rotation < 1


@pytest.mark.parametrize("precision", ["fp32", "bf16-poses"])
def test_blocks_before_a_changed_one_need_not_be_computed_again(precision: str) -> None:
    from depthport.exporters.da3.build import named_upstream
    from depthport.exporters.da3.static.network import build_static

    upstream = named_upstream("da3-small", "synthetic:0")
    exact, network = (
        build_static(upstream, 1, 3, 28, 42, ["depth", "extrinsics"], POLICIES[p]) for p in ("fp32", precision)
    )
    halves = HalfParts(network, exact) if precision != "fp32" else None
    names = ("backbone.blocks.0.mlp.fc1", "backbone.blocks.5.attn.qkv", "backbone.blocks.11.mlp.fc2", "head.depth.neck")
    layers = {}
    for name in names[:3]:
        weight = exact.get_submodule(name).get_parameter("weight").detach().numpy()
        seen = Observation(
            low=-4, high=4, channel_max=np.ones(weight.shape[1], np.float32), hessian=np.eye(weight.shape[1])
        )
        layers[name] = quantize_layer(name, weight, seen, signed=False, weights_only=False)
    scenes = [image.astype(np.float32) for image in np.random.default_rng(0).standard_normal((2, 1, 3, 3, 28, 42))]
    trial = Trial(network, exact, scenes, layers, halves)
    plain = trial.states()
    assert [len(states) for states in plain] == [12, 12]
    for name in names if halves else names[:3]:
        part = Loss(name, 1.0, 0, 0, "bfloat16" if halves else "int8")
        assert trial.errors((part,), plain=plain) == trial.errors((part,)) != (0.0, 0.0)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"format": "onnx", "target": "openvino", "dynamic": ("views",)}, "no dynamic"),
        ({"format": "onnx", "target": "openvino", "pose_input": True}, "no pose inputs"),
        ({"format": "onnx"}, "target 'portable' has no precision 'bf16-poses': use target openvino"),
        ({"format": "onnx", "target": "ort-cpu", "precision": "int8-bf16"}, "'int8-bf16': use target openvino"),
        ({"format": "onnx", "target": "ort-cuda", "precision": "int8-bf16"}, "'int8-bf16': use target openvino"),
        ({"format": "pytorch", "precision": "int8-bf16"}, "no precision 'int8-bf16': use format onnx"),
        ({"format": "litert", "precision": "int8-bf16"}, "no precision 'int8-bf16': use format onnx"),
        ({"format": "onnx", "target": "openvino", "precision": "int8-bf16", "height": 14, "width": 14}, "two patches"),
        ({"format": "coreml"}, "no precision 'bf16-poses'"),
        ({"format": "onnx", "target": "openvino", "model": "da3mono-large"}, "one network with poses"),
    ],
)
def test_what_it_is_not_for(changes: dict[str, Any], complaint: str) -> None:
    asked = {"weights": "synthetic:0", "precision": "bf16-poses", "model": "da3-small", **changes}
    from depthport.exporters.api import check_request

    with pytest.raises(UnsupportedError, match=complaint):
        check_request(prepare(asked.pop("model"), **asked))


def test_an_unknown_option_is_named() -> None:
    from depthport.exporters.api import check_request

    request = prepare(
        "da3-small",
        format="onnx",
        target="openvino",
        precision="bf16-poses",
        weights="synthetic:0",
        options={"budget": "1"},
    )
    with pytest.raises(UsageError, match="has no option 'budget'"):
        check_request(request)
