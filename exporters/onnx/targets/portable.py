"""Target `portable`: standard operators only, at the opset that the runtimes of recent years all take.

18 is what torch's exporter emits natively and what ONNX Runtime 1.14, TensorRT 8.6, OpenVINO 2023 and Core ML's and the
web's runtimes read; nothing in the network needs a later one (GELU is written with Erf, attention with MatMul and
Softmax, which runtimes fuse back).

Converters for phones read less than the standard: one (MNN 3.6.1) overlooks the axes that opset 18 made an input of
ReduceL2, takes the norm over everything, chooses another reference view by it and turns every camera by 90–120°, with a
depth that stays right. So norms are spelled out, as Sqrt(ReduceSum(x · x)).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from depthport.exporters.onnx.targets import PORTABLE, OnnxTarget

if TYPE_CHECKING:
    import onnx_ir


def spell_out_norms(model: onnx_ir.Model) -> onnx_ir.Model:
    """Every ReduceL2 as Sqrt(ReduceSum(x · x)) with the same axes; the same sum, rounded in the same places."""
    import onnx_ir as ir

    graph = model.graph
    for node in [node for node in graph if node.op_type == "ReduceL2"]:
        (value, *axes), (norm,) = node.inputs, node.outputs
        square = ir.node("Mul", [value, value])
        total = ir.node("ReduceSum", [square.outputs[0], *axes], attributes=node.attributes)
        root = ir.node("Sqrt", total.outputs)
        for added, shape in ((square, value.shape if value else None), (total, norm.shape), (root, norm.shape)):
            added.outputs[0].shape, added.outputs[0].type = shape, norm.type
        graph.insert_before(node, [square, total, root])
        root.outputs[0].name, norm.name = norm.name, f"{norm.name}_replaced"
        ir.convenience.replace_all_uses_with(norm, root.outputs[0], replace_graph_outputs=True)
        graph.remove(node, safe=True)
    return model


TARGET = OnnxTarget(PORTABLE, 18, "standard operators, opset 18: every runtime", spell_out_norms)
