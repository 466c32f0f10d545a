"""A graph in fp16 or bf16 as an fp32 graph that rounds after every operator.

ONNX Runtime's CPU provider has no bf16 and computes fp16 in fp32, dropping the roundings between operators where it can:
too good. Here every tensor that the typed graph stores in 16 bits is rounded to them and back; sums inside an operator
stay fp32, as on tensor cores.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import onnx_ir

LOW = frozenset(("FLOAT16", "BFLOAT16"))


def emulate(model: onnx_ir.Model) -> int:
    """Rewrite in place; returns how many tensors are rounded. Tensors keep their names."""
    import onnx_ir as ir

    graph = model.graph
    wide = ir.TensorType(ir.DataType.FLOAT)
    for value in graph.initializers.values():
        if value.dtype is not None and value.dtype.name in LOW and value.const_value is not None:
            value.const_value = ir.tensor(value.const_value.numpy().astype(np.float32), name=value.name)
            value.type = wide
    rounded = 0
    for node in list(graph):
        if node.op_type == "Constant":
            tensor = node.attributes["value"].as_tensor() if "value" in node.attributes else None
            if tensor is not None and tensor.dtype.name in LOW:
                node.attributes["value"] = ir.AttrTensor("value", ir.tensor(tensor.numpy().astype(np.float32)))
                node.outputs[0].type = wide
            continue
        for value in node.outputs:
            if value.dtype is None or value.dtype.name not in LOW:
                continue
            low = value.dtype
            if node.op_type == "Cast":
                node.attributes["to"] = ir.AttrInt64("to", ir.DataType.FLOAT)
            _round(graph, node, value, low)
            rounded += 1
    return rounded


def _round(graph: onnx_ir.Graph, node: onnx_ir.Node, value: onnx_ir.Value, low: onnx_ir.DataType) -> None:
    import onnx_ir as ir

    name = str(value.name)
    narrow = ir.node("Cast", [value], {"to": int(low)}, name=f"{name}_narrow")
    widen = ir.node("Cast", [narrow.outputs[0]], {"to": int(ir.DataType.FLOAT)}, name=f"{name}_widen")
    result = widen.outputs[0]
    for use in tuple(value.uses()):
        if use.node is not narrow:
            use.node.replace_input_with(use.idx, result)
    narrow.outputs[0].type, narrow.outputs[0].shape = ir.TensorType(low), value.shape
    narrow.outputs[0].name = f"{name}_narrow"
    value.type = result.type = ir.TensorType(ir.DataType.FLOAT)
    result.shape = value.shape
    for index, output in enumerate(graph.outputs):
        if output is value:
            graph.outputs[index] = result
    value.name, result.name = f"{name}_exact", name
    graph.insert_after(node, [narrow, widen])
