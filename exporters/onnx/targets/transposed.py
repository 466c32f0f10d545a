"""Transposed convolutions whose kernel is their stride, as a 1×1 convolution and a rearrangement: the same sums.

Where kernels do not overlap, every output pixel is one matrix product of one input pixel; what is left is to put the
pixels in their places (`DepthToSpace`). Runtimes have fast 1×1 convolutions in every dtype, and no transposed one in
bf16: TensorRT-RTX 1.7.1 fails on it with `Could not infer output types` (measured).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from depthport.exporters.onnx.targets.graph import array, constant, drop_unused_initializers, replace_uses

if TYPE_CHECKING:
    import onnx_ir


def split_transposed(model: onnx_ir.Model) -> int:
    """Rewrite every such ConvTranspose with constant weights; returns how many."""
    nodes = [node for node in model.graph if node.op_type == "ConvTranspose"]
    rewritten = sum(_rewrite(model.graph, node) for node in nodes)
    drop_unused_initializers(model.graph)
    return rewritten


def _rewrite(graph: onnx_ir.Graph, node: onnx_ir.Node) -> bool:
    import onnx_ir as ir

    weight = array(node.inputs[1])
    bias = array(node.inputs[2]) if len(node.inputs) > 2 else None
    step = _step(node, weight.shape if weight is not None else ())
    if weight is None or step is None or (len(node.inputs) > 2 and node.inputs[2] is not None and bias is None):
        return False
    channels_in, channels_out = weight.shape[:2]
    name = node.name or str(node.outputs[0].name)
    # (in, out, i, j) to (out · i · j, in): the order that DepthToSpace's mode CRD puts back.
    kernel = weight.transpose(1, 2, 3, 0).reshape(channels_out * step * step, channels_in, 1, 1)
    inputs = [node.inputs[0], constant(graph, f"{name}_pointwise_weight", kernel)]
    if bias is not None:
        inputs.append(constant(graph, f"{name}_pointwise_bias", np.repeat(bias, step * step)))
    pointwise = ir.node("Conv", inputs, {"kernel_shape": [1, 1]}, name=f"{name}_pointwise")
    spread = ir.node("DepthToSpace", [pointwise.outputs[0]], {"blocksize": step, "mode": "CRD"}, name=f"{name}_spread")
    old, new, source = node.outputs[0], spread.outputs[0], node.inputs[0]
    for created in (pointwise, spread):
        created.metadata_props.update(node.metadata_props)
        created.outputs[0].type = old.type
    pointwise.outputs[0].name = f"{old.name}_pointwise"
    if source is not None and source.shape is not None:
        batch, _, height, width = source.shape
        pointwise.outputs[0].shape = ir.Shape([batch, kernel.shape[0], height, width])
    new.shape = old.shape
    graph.insert_before(node, [pointwise, spread])
    replace_uses(old, new)
    new.name, old.name = old.name, f"{old.name}_transposed"
    for index, output in enumerate(graph.outputs):
        if output is old:
            graph.outputs[index] = new
    graph.remove(node, safe=True)
    return True


def _step(node: onnx_ir.Node, shape: tuple[int, ...]) -> int | None:
    """Kernel and stride of a transposed convolution that neither overlaps nor pads; None for any other."""

    def ints(name: str, default: list[int]) -> list[int]:
        attribute = node.attributes.get(name)
        return list(attribute.as_ints()) if attribute is not None else default

    strides = ints("strides", [1, 1])
    group, auto_pad = node.attributes.get("group"), node.attributes.get("auto_pad")
    plain = (
        len(shape) == 4
        and tuple(strides) == tuple(shape[2:])
        and strides[0] == strides[1] > 1
        and not any(ints("pads", [0])) and not any(ints("output_padding", [0]))
        and set(ints("dilations", [1])) == {1}
        and (group is None or group.as_int() == 1)
        and "output_shape" not in node.attributes
        and (auto_pad is None or auto_pad.as_string() in ("NOTSET", "VALID"))
    )  # fmt: skip
    return strides[0] if plain else None
