"""Target `ort-cpu`: what is rewritten, and that it still computes the same."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from depthport.exporters.core.artifact import Artifact
from depthport.exporters.core.errors import ExportError
from depthport.exporters.core.store import ArtifactStore
from tests.conftest import export_small

onnx = pytest.importorskip("onnx")
ir = pytest.importorskip("onnx_ir")
ort = pytest.importorskip("onnxruntime")

BLOCKS = 12


@pytest.fixture(scope="module")
def artifacts(store: ArtifactStore) -> list[Artifact]:
    """The portable artifact and that for the CPU provider, three views (global attention, a chosen reference)."""
    return [export_small(store, "onnx", views=3, target=target).artifact for target in (None, "ort-cpu")]


def run(path: Path, image: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return dict(zip([o.name for o in session.get_outputs()], session.run(None, {"image": image}), strict=True))


def test_same_outputs_as_the_portable_graph(artifacts: list[Artifact]) -> None:
    image = np.random.default_rng(0).standard_normal((1, 3, 3, 70, 98)).astype(np.float32)
    expected, found = (run(artifact.file("model.onnx"), image) for artifact in artifacts)
    assert list(found) == list(expected)
    for name in ("depth", "depth_conf", "extrinsics", "intrinsics"):
        error = np.linalg.norm(found[name] - expected[name]) / np.linalg.norm(expected[name])
        assert error <= 1e-5, name
    np.testing.assert_array_equal(found["reference_view"], expected["reference_view"])


def test_attention_is_fused_and_scales_are_gone(artifacts: list[Artifact]) -> None:
    portable, fused = (onnx.load(artifact.file("model.onnx")) for artifact in artifacts)
    counts, before = (Counter(node.op_type for node in model.graph.node) for model in (fused, portable))
    assert counts["MultiHeadAttention"] == BLOCKS
    assert counts["Softmax"] == counts["Attention"] == 0
    # Two LayerScales a block.
    assert before["Mul"] - counts["Mul"] >= 2 * BLOCKS
    assert {(o.domain, o.version) for o in fused.opset_import} >= {("", 23), ("com.microsoft", 1)}
    names = {value.name for value in fused.graph.initializer}
    assert not any("scale1" in name or "scale2" in name for name in names)


def attention_without_transposes() -> Any:
    query = ir.Value(name="q", shape=ir.Shape([1, 2, 4, 8]), type=ir.TensorType(ir.DataType.FLOAT))
    node = ir.node("Attention", [query, query, query])
    node.outputs[0].name = "y"
    graph = ir.Graph([query], node.outputs, nodes=[node], opset_imports={"": 23})
    return ir.Model(graph, ir_version=11)


def test_attention_in_another_layout_is_refused() -> None:
    from depthport.exporters.onnx.targets.attention import fuse_attention

    with pytest.raises(ExportError, match="no transposes around it"):
        fuse_attention(attention_without_transposes())


def linear_with_scale(scale: NDArray[Any]) -> Any:
    x = ir.Value(name="x", shape=ir.Shape([2, 3]), type=ir.TensorType(ir.DataType.FLOAT))
    rng = np.random.default_rng(0)
    values = {"w": rng.standard_normal((3, 4)), "b": rng.standard_normal(4), "s": scale}
    constants = {
        name: ir.Value(name=name, const_value=ir.tensor(array.astype(np.float32), name=name))
        for name, array in values.items()
    }
    matmul = ir.node("MatMul", [x, constants["w"]])
    add = ir.node("Add", [matmul.outputs[0], constants["b"]])
    mul = ir.node("Mul", [add.outputs[0], constants["s"]])
    relu = ir.node("Relu", [mul.outputs[0]])
    relu.outputs[0].name = "y"
    relu.outputs[0].shape, relu.outputs[0].type = ir.Shape([2, 4]), x.type
    graph = ir.Graph(
        [x], relu.outputs, nodes=[matmul, add, mul, relu], initializers=constants.values(), opset_imports={"": 20}
    )
    return ir.Model(graph, ir_version=10), values


def test_a_folded_scale_computes_the_same(tmp_path: Path) -> None:
    from depthport.exporters.onnx.targets.scales import fold_scales

    model, values = linear_with_scale(np.array([0.5, -2.0, 3.0, 1e-3]))
    assert fold_scales(model) == 1
    assert set(model.graph.initializers) & {"w", "b", "s"} == set()
    ir.save(model, tmp_path / "m.onnx")
    session = ort.InferenceSession(str(tmp_path / "m.onnx"), providers=["CPUExecutionProvider"])
    x = np.random.default_rng(1).standard_normal((2, 3)).astype(np.float32)
    expected = np.maximum((x @ values["w"] + values["b"]) * values["s"], 0)
    np.testing.assert_allclose(session.run(None, {"x": x})[0], expected, rtol=1e-5, atol=1e-6)


def test_a_scale_that_is_no_vector_of_channels_stays() -> None:
    from depthport.exporters.onnx.targets.scales import fold_scales

    model, _ = linear_with_scale(np.ones((2, 4)))
    assert fold_scales(model) == 0
