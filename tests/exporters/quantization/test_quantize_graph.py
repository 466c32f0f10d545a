"""Q/DQ pairs in small graphs, run by ONNX Runtime: the codes reach the right places, whatever surrounds them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from depthport.exporters.quantization.layers import Observation
from depthport.exporters.quantization.sensitivity import quantize_layer

pytest.importorskip("onnx")
ir = pytest.importorskip("onnx_ir")
ort = pytest.importorskip("onnxruntime")

BLOCK = "backbone.blocks.0"
CONVOLUTION = "head.depth.chain.fusions.0.refine.conv1"


def value(name: str, content: NDArray[Any]) -> Any:
    return ir.Value(
        name=name,
        shape=ir.Shape(content.shape),
        type=ir.TensorType(ir.DataType.FLOAT),
        const_value=ir.tensor(content.astype(np.float32), name=name),
    )


def graph_input(shape: Sequence[int]) -> Any:
    return ir.Value(name="x", shape=ir.Shape(shape), type=ir.TensorType(ir.DataType.FLOAT))


def model_of(x: Any, nodes: list[Any], outputs: list[Any], constants: list[Any], shapes: Sequence[Sequence[int]]) -> Any:
    for output, name, shape in zip(outputs, "yz", shapes, strict=False):
        output.name, output.shape, output.type = name, ir.Shape(shape), x.type
    graph = ir.Graph([x], outputs, nodes=nodes, initializers=constants, opset_imports={"": 20})
    return ir.Model(graph, ir_version=10)


def run(model: Any, x: NDArray[np.float32], folder: Path) -> list[NDArray[Any]]:
    ir.save(model, folder / "model.onnx")
    session = ort.InferenceSession(str(folder / "model.onnx"), providers=["CPUExecutionProvider"])
    return list(session.run(None, {"x": x}))


def linear_model(scale: NDArray[Any]) -> Any:
    """LayerNorm, then a linear layer whose columns a target has multiplied by `scale`: 2 views, 6 tokens, 16 to 8."""
    rng = np.random.default_rng(0)
    weight = rng.standard_normal((16, 8)).astype(np.float32)
    content = {
        f"{BLOCK}.norm1.norm.weight": rng.uniform(0.5, 2, 16),
        f"{BLOCK}.norm1.norm.bias": rng.standard_normal(16),
        "held": weight * scale,
        f"{BLOCK}.attn.qkv.bias": rng.standard_normal(8),
    }
    content[f"{BLOCK}.norm1.norm.weight"][3] = 30
    constants = [value(name, array) for name, array in content.items()]
    x = graph_input([2, 6, 16])
    norm = ir.node("LayerNormalization", [x, *constants[:2]], {"axis": -1})
    product = ir.node("MatMul", [norm.outputs[0], constants[2]])
    for made, shape in ((norm, [2, 6, 16]), (product, [2, 6, 8])):
        made.outputs[0].shape, made.outputs[0].type = ir.Shape(shape), x.type
    add = ir.node("Add", [product.outputs[0], constants[3]])
    return model_of(x, [norm, product, add], add.outputs, constants, [[2, 6, 8]]), weight, content


@pytest.mark.parametrize("signed", [False, True])
def test_a_linear_layer_with_a_folded_scale_and_an_outlier_channel(signed: bool, tmp_path: Path) -> None:
    from depthport.exporters.onnx.quantize import quantize_graph

    scale = np.array([0.3, -0.2, 1.0, 0.5, 2.0, -1.0, 0.1, 0.7], np.float32)
    model, weight, content = linear_model(scale)
    x = np.random.default_rng(1).standard_normal((2, 6, 16)).astype(np.float32)
    expected = run(linear_model(scale)[0], x, tmp_path)[0]
    centred = (x - x.mean(-1, keepdims=True)) / x.std(-1, keepdims=True)
    normed = (centred * content[f"{BLOCK}.norm1.norm.weight"] + content[f"{BLOCK}.norm1.norm.bias"]).reshape(-1, 16)
    seen = Observation(1.0, float(normed.min()), float(normed.max()), 0, 0, np.abs(normed).max(0), normed.T @ normed)
    name = f"{BLOCK}.attn.qkv"
    layer = quantize_layer(name, weight.T, seen, signed=signed, weights_only=False)
    assert layer.factors is not None and layer.factors[3] > 2
    found = run(quantize_graph(model, [layer], {name: weight.T}), x, tmp_path)[0]
    # Camera tokens go through a weight rounded to fp16, patches through 8 bits.
    camera, patches = (
        np.linalg.norm(found[:, part] - expected[:, part]) / np.linalg.norm(expected[:, part])
        for part in (slice(0, 1), slice(1, None))
    )
    assert camera < 5e-4
    assert 5e-4 < patches < 2e-2


def convolution_model(convolutions: int) -> Any:
    """A convolution with its ReLU, `convolutions` times with the same weight, as the head has it beyond eight views."""
    rng = np.random.default_rng(0)
    weight = rng.standard_normal((4, 3, 3, 3)).astype(np.float32)
    constants = [value(f"{CONVOLUTION}.weight", weight), value(f"{CONVOLUTION}.bias", rng.standard_normal(4))]
    x = graph_input([1, 3, 8, 8])
    nodes, outputs = [], []
    for _ in range(convolutions):
        conv = ir.node("Conv", [x, *constants], {"pads": [1, 1, 1, 1]})
        relu = ir.node("Relu", [conv.outputs[0]])
        nodes += [conv, relu]
        outputs.append(relu.outputs[0])
    return model_of(x, nodes, outputs, constants, [[1, 4, 8, 8]] * convolutions), weight


@pytest.mark.parametrize("rounded_outputs", [True, False])
@pytest.mark.parametrize("convolutions", [1, 2])
def test_every_use_of_a_convolution_is_quantized(convolutions: int, rounded_outputs: bool, tmp_path: Path) -> None:
    from depthport.exporters.onnx.quantize import quantize_graph

    model, weight = convolution_model(convolutions)
    x = np.random.default_rng(1).standard_normal((1, 3, 8, 8)).astype(np.float32)
    expected = run(convolution_model(convolutions)[0], x, tmp_path)
    high = max(float(made.max()) for made in expected)
    seen = Observation(1.0, float(x.min()), float(x.max()), 0.0, high)
    layer = quantize_layer(CONVOLUTION, weight, seen, signed=False, weights_only=False, rounded_outputs=rounded_outputs)
    quantized = quantize_graph(model, [layer], {CONVOLUTION: weight})
    kinds = [node.op_type for node in quantized.graph]
    assert kinds.count("QuantizeLinear") == (1 + rounded_outputs) * convolutions
    for found, right in zip(run(quantized, x, tmp_path), expected, strict=True):
        assert 0 < np.linalg.norm(found - right) / np.linalg.norm(right) < 2e-2


def test_weights_alone_leave_activations_as_they_are(tmp_path: Path) -> None:
    from depthport.exporters.onnx.quantize import quantize_graph

    model, weight, _ = linear_model(np.ones(8, np.float32))
    name = f"{BLOCK}.attn.qkv"
    seen = Observation(1.0, -1, 1, 0, 0, np.ones(16, np.float32), np.eye(16, dtype=np.float32))
    layer = quantize_layer(name, weight.T, seen, signed=True, weights_only=True)
    kinds = [node.op_type for node in quantize_graph(model, [layer], {name: weight.T}).graph]
    assert "QuantizeLinear" not in kinds
    assert kinds.count("DequantizeLinear") == 1
