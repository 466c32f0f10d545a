"""Target `openvino`: attention as one operator, separable constants kept apart, and uint8 activations.

* Opset 23, where attention is one node: OpenVINO gives it its fused kernel in bf16 too, which it doesn't give the
  products and the softmax around it once a cast stands between them.
* x + column + row, which OpenVINO would add up to x + (column + row) when it compiles, stays two sums: the head's UV
  embedding at 504×504 would otherwise be a constant of 62 MiB, in the compiled model and in memory.
* Its integer kernels take uint8 activations (AVX-512's VNNI multiplies unsigned by signed; int8 ones go through a slower
  kernel: 76 instead of 58 ms for 22 layers of da3-small, Emerald Rapids, one thread) and give fp32, so a convolution's
  output needs no rounding.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from depthport.exporters.onnx.targets import OnnxTarget
from depthport.exporters.onnx.targets.graph import array, constant

if TYPE_CHECKING:
    import onnx_ir


def rewrite(model: onnx_ir.Model) -> onnx_ir.Model:
    """Part sums of constants that would be larger than either."""
    graph = model.graph
    for node in [node for node in graph if node.op_type == "Add"]:
        first = node.inputs[0].producer() if node.inputs[0] is not None else None
        own, other = _constant_of(node), _constant_of(first) if first is not None and first.op_type == "Add" else None
        if own is None or other is None or np.broadcast(own, other).size <= max(own.size, other.size):
            continue
        _part(graph, node, own.dtype)
    return model


def _constant_of(node: onnx_ir.Node) -> np.ndarray | None:
    return array(node.inputs[1])


def _part(graph: onnx_ir.Graph, node: onnx_ir.Node, dtype: np.dtype) -> None:
    """Clip what `node` is given to every finite number: nothing to its value, and a wall to the compiler."""
    import onnx_ir as ir

    value = node.inputs[0]
    assert value is not None
    lowest = constant(graph, f"lowest_{dtype.name}", np.array(-3e38, np.float32).astype(dtype))
    wall = ir.node("Clip", [value, lowest], name=f"{node.name}_apart")
    wall.outputs[0].name, wall.outputs[0].shape, wall.outputs[0].type = f"{node.name}_apart_out", value.shape, value.type
    graph.insert_before(node, [wall])
    node.replace_input_with(0, wall.outputs[0])


TARGET = OnnxTarget(
    "openvino", 23, "OpenVINO on the CPU: fused attention in 16 bits too, opset 23; of int8, uint8 activations", rewrite,
    signed_activations=False, keeps_poses=True,
)  # fmt: skip
