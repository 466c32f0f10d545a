"""`NhwcConv`, which has a kernel on CUDA only, as what the CPU provider runs: transpose, convolve, transpose."""

from __future__ import annotations

from typing import Any


def lower_nhwc(model: Any) -> Any:
    """Replace every NhwcConv of an `onnx.ModelProto`, in place."""
    from onnx import helper, numpy_helper

    weights = {value.name: value for value in model.graph.initializer}
    nodes = []
    for node in model.graph.node:
        if node.op_type != "NhwcConv":
            nodes.append(node)
            continue
        weight = weights[node.input[1]]
        planes = numpy_helper.to_array(weight).transpose(0, 3, 1, 2)
        weight.CopyFrom(numpy_helper.from_array(planes.copy(), weight.name))
        before, after = f"{node.output[0]}_before", f"{node.output[0]}_after"
        convolution = helper.make_node("Conv", [before, *node.input[1:]], [after])
        convolution.attribute.extend(node.attribute)
        nodes += [
            helper.make_node("Transpose", [node.input[0]], [before], perm=[0, 3, 1, 2]),
            convolution,
            helper.make_node("Transpose", [after], [node.output[0]], perm=[0, 2, 3, 1]),
        ]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return model
