"""LayerScale folded into the linear layer before it: s · (W x + b) = (s · W) x + s · b, exact up to rounding."""

from __future__ import annotations

from typing import TYPE_CHECKING

from depthport.exporters.onnx.targets.graph import array, constant, drop_unused_initializers, only_user, replace_uses

if TYPE_CHECKING:
    import onnx_ir


def fold_scales(model: onnx_ir.Model) -> int:
    """Fold every Mul of a linear layer's output by a constant vector over channels; returns how many.

    The layer is MatMul with a constant of rank 2, then Add of a constant vector, each read once.
    """
    graph = model.graph
    folded = 0
    for matmul in [node for node in graph if node.op_type == "MatMul"]:
        add = only_user(matmul.outputs[0], "Add")
        scale = only_user(add.outputs[0], "Mul") if add is not None else None
        if add is None or scale is None:
            continue
        weight = array(matmul.inputs[1])
        bias = array(add.inputs[1])
        factor = array(next(value for value in scale.inputs if value is not add.outputs[0]))
        if weight is None or weight.ndim != 2 or bias is None or factor is None or factor.shape != bias.shape:
            continue
        name = matmul.name or matmul.outputs[0].name
        matmul.replace_input_with(1, constant(graph, f"{name}_scaled_weight", weight * factor))
        # The bias keeps its name: it says which layer this is.
        old = add.inputs[1]
        assert old is not None
        add.replace_input_with(1, constant(graph, f"{old.name}_scaled", bias * factor))
        replace_uses(scale.outputs[0], add.outputs[0])
        graph.remove(scale, safe=True)
        folded += 1
    drop_unused_initializers(graph)
    return folded
