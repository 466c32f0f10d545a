"""A plan's 8-bit layers as QuantizeLinear / DequantizeLinear pairs in an ONNX graph.

The pairs are standard operators: ONNX Runtime fuses them with the MatMul or Conv between them into integer kernels,
OpenVINO reads them as FakeQuantize, TensorRT as explicit quantization (with int8 activations, target `portable`).

A linear layer becomes

    y = ScatterND(MatMul(DQ(Q(x)), DQ(codes)), camera rows, Gather(x, camera token) · W)

where W, in fp16 in the file, gives the camera token's row its float product.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from depthport.exporters.core.errors import ExportError
from depthport.exporters.onnx.targets.graph import array, constant, drop_unused_initializers, only_user, replace_uses
from depthport.exporters.quantization.layers import norm_before, relu_after
from depthport.exporters.quantization.rounding import ActivationGrid
from depthport.exporters.quantization.sensitivity import QuantizedLayer

if TYPE_CHECKING:
    import onnx_ir

Array = np.ndarray

# The target ort-cpu marks a bias whose layer took a scale in.
_BIAS = re.compile(r"(?P<layer>.+)\.bias(_scaled)?$")


def quantize_graph(
    model: onnx_ir.Model, layers: Iterable[QuantizedLayer], weights: Mapping[str, Array], *, camera_apart: bool = False
) -> onnx_ir.Model:
    """Quantize `layers` in place.

    Args:
        model: fp32, as a target wrote it.
        layers: to quantize.
        weights: each layer's own fp32 weight as torch has it, to see what scale a target has folded into it.
        camera_apart: the camera token has products of its own, of the same weights, which stay as they are.

    Raises:
        ExportError: the graph has no such layer, or another weight in its place.
    """
    graph = model.graph
    linears = dict(sorted(_linears(graph), key=lambda found: _rows(found[1])))  # a camera token's product has one row
    convolutions: dict[str, list[onnx_ir.Node]] = {}
    for node in graph:
        if node.op_type == "Conv" and node.inputs[1] is not None:
            convolutions.setdefault((node.inputs[1].name or "").removesuffix(".weight"), []).append(node)
    for layer in layers:
        # The head runs once for every eight views.
        nodes = [linears[layer.name]] if layer.name in linears else convolutions.get(layer.name, [])
        if not nodes:
            raise ExportError(f"the graph has no layer {layer.name} to quantize")
        for index, node in enumerate(nodes):
            if layer.linear:
                _linear(graph, node, layer, weights[layer.name].T, camera_apart)
            else:
                _conv(graph, node, layer, weights[layer.name], f"{layer.name}_{index}" if index else layer.name)
    drop_unused_initializers(graph)
    return model


def _linears(graph: onnx_ir.Graph) -> Iterable[tuple[str, onnx_ir.Node]]:
    """(layer, its MatMul) of every linear layer: a bias keeps its layer's name."""
    for node in graph:
        if node.op_type != "Add":
            continue
        for index, value in enumerate(node.inputs):
            match = _BIAS.match(value.name or "") if value is not None and value.is_initializer() else None
            other = node.inputs[1 - index]
            product = other.producer() if match and other is not None else None
            if match and product is not None and product.op_type == "MatMul":
                yield match["layer"], product


def _rows(product: onnx_ir.Node) -> int:
    shape = product.outputs[0].shape
    assert shape is not None
    return int(str(shape[-2]))


def _linear(graph: onnx_ir.Graph, matmul: onnx_ir.Node, layer: QuantizedLayer, original: Array, camera_apart: bool) -> None:
    x, held = matmul.inputs[0], array(matmul.inputs[1])
    if x is None or held is None or held.shape != layer.codes.shape:
        raise ExportError(f"layer {layer.name} is not a product with its weight in the graph")
    folded = _folded_scale(held, original, layer.name)
    sign = np.where(folded < 0, -1, 1).astype(np.int8)
    weight = _dequantized(graph, layer.name, layer.codes * sign, layer.scales * np.abs(folded), axis=1)
    if layer.input is None:
        graph.insert_before(matmul, [weight])
        matmul.replace_input_with(1, weight.outputs[0])
        return
    if layer.factors is not None:
        _divide_norm(graph, x, layer)
    pair = _pair(graph, x, layer.input, layer.name)
    product = _node("MatMul", [pair[1].outputs[0], weight.outputs[0]], f"{layer.name}_int8")
    added, last = [weight, *pair, product], product
    if not camera_apart:
        camera, row = _camera_row(graph, x, held if layer.factors is None else held * layer.factors[:, None], layer.name)
        assert x.shape is not None
        views = int(str(x.shape[0]))
        places = constant(graph, f"camera_rows_{views}", np.stack([np.arange(views), np.zeros(views, np.int64)], axis=1))
        last = _node("ScatterND", [product.outputs[0], places, row], f"{layer.name}_joined")
        added += [*camera, last]
    old = matmul.outputs[0]
    last.outputs[0].shape, last.outputs[0].type = old.shape, old.type
    graph.insert_before(matmul, added)
    replace_uses(old, last.outputs[0])
    graph.remove(matmul, safe=True)


def _camera_row(
    graph: onnx_ir.Graph, x: onnx_ir.Value, weight: Array, name: str
) -> tuple[list[onnx_ir.Node], onnx_ir.Value]:
    """The first token of every view through the float weight: (V, N)."""
    import onnx_ir as ir

    half = weight.astype(np.float16)
    # Entries beyond fp16 (a scale was folded into them) are kept whole.
    stored = constant(graph, f"{name}.weight_camera", half if np.isfinite(half).all() else weight)
    first = constant(graph, "camera_token", np.array(0, np.int64))
    token = _node("Gather", [x, first], f"{name}_camera", axis=1)
    nodes, value = [token], stored
    if stored.dtype != ir.DataType.FLOAT:
        widened = _node("Cast", [stored], f"{name}_camera_weight", to=int(ir.DataType.FLOAT))
        nodes.append(widened)
        value = widened.outputs[0]
    nodes.append(_node("MatMul", [token.outputs[0], value], f"{name}_camera_row"))
    return nodes, nodes[-1].outputs[0]


def _folded_scale(held: Array, original: Array, name: str) -> Array:
    """(N,) what a target multiplied the columns of a weight (K, N) by."""
    rows = np.abs(original).argmax(axis=0), np.arange(original.shape[1])
    base = original[rows]
    scale = np.divide(held[rows], base, out=np.ones_like(base), where=base != 0)
    if not np.allclose(held, original * scale, rtol=1e-4, atol=1e-6 * float(np.abs(held).max())):
        raise ExportError(f"layer {name} has a weight in the graph that differs from the network's")
    found: Array = scale
    return found


def _divide_norm(graph: onnx_ir.Graph, x: onnx_ir.Value, layer: QuantizedLayer) -> None:
    """Divide the LayerNorm that makes `x` by the layer's factors; nothing else reads `x`."""
    norm = x.producer()
    wanted = norm_before(layer.name)
    if norm is None or norm.op_type != "LayerNormalization" or len(list(x.uses())) != 1:
        raise ExportError(f"layer {layer.name} alone should read its LayerNorm {wanted} in the graph")
    for index in (1, 2):
        value = array(norm.inputs[index])
        old = norm.inputs[index]
        assert value is not None and old is not None and layer.factors is not None
        norm.replace_input_with(index, constant(graph, f"{old.name}_balanced", value / layer.factors))


def _conv(graph: onnx_ir.Graph, conv: onnx_ir.Node, layer: QuantizedLayer, original: Array, name: str) -> None:
    x, held = conv.inputs[0], array(conv.inputs[1])
    assert x is not None
    if held is None or not np.array_equal(held, original):
        raise ExportError(f"layer {layer.name} has a weight in the graph that differs from the network's")
    weight = _dequantized(graph, name, layer.codes, layer.scales, axis=0)
    graph.insert_before(conv, [weight])
    conv.replace_input_with(1, weight.outputs[0])
    if layer.input is None:
        return
    producer = x.producer()
    if producer is None or producer.op_type != "DequantizeLinear":
        pair = _pair(graph, x, layer.input, name)
        graph.insert_before(conv, list(pair))
        conv.replace_input_with(0, pair[1].outputs[0])
    if layer.output is None:
        return
    relu = only_user(conv.outputs[0], "Relu") if relu_after(layer.name) else None
    last = conv if relu is None else relu
    made = last.outputs[0]
    uses = tuple(made.uses())
    after = _pair(graph, made, layer.output, f"{name}_output")
    after[1].outputs[0].shape, after[1].outputs[0].type = made.shape, made.type
    graph.insert_after(last, list(after))
    for use in uses:
        use.node.replace_input_with(use.idx, after[1].outputs[0])


def _pair(graph: onnx_ir.Graph, x: onnx_ir.Value, grid: ActivationGrid, name: str) -> tuple[onnx_ir.Node, onnx_ir.Node]:
    """QuantizeLinear and DequantizeLinear of an activation."""
    code = np.int8 if grid.signed else np.uint8
    scale = constant(graph, f"{name}.input_scale", np.array(grid.scale, np.float32))
    zero = constant(graph, f"{name}.input_zero", np.array(grid.zero, code))
    quantize = _node("QuantizeLinear", [x, scale, zero], f"{name}_quantize")
    return quantize, _node("DequantizeLinear", [quantize.outputs[0], scale, zero], f"{name}_dequantize")


def _dequantized(graph: onnx_ir.Graph, name: str, codes: Array, scales: Array, axis: int) -> onnx_ir.Node:
    """The float weight as a DequantizeLinear of its codes."""
    stored = constant(graph, f"{name}.weight_int8", np.ascontiguousarray(codes))
    scale = constant(graph, f"{name}.weight_scale", scales.astype(np.float32))
    zero = constant(graph, f"{name}.weight_zero", np.zeros(len(scales), np.int8))
    return _node("DequantizeLinear", [stored, scale, zero], f"{name}_weight", axis=axis)


def _node(kind: str, inputs: Sequence[onnx_ir.Value | None], name: str, **attributes: int) -> onnx_ir.Node:
    import onnx_ir as ir

    node = ir.node(kind, inputs, attributes or None, name=name)
    node.outputs[0].name = f"{name}_out"
    return node
