"""A graph of opset 18 as one of opset 17, which older runtimes read.

Torch's exporter writes opset 18; its own way down (onnx's version converter) leaves attributes behind that 17 has not.
What 18 changed of the operators it has in common with 17 is little: Split got `num_outputs`, reductions take their axes
as an input, Resize, Pad and the scatters got more. Each is put back; what only 18 can say is refused, by name. Source:
ONNX's `docs/Changelog.md`, "Version 18".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from depthport.exporters.core.errors import ExportError
from depthport.exporters.onnx.targets.graph import array, constant, drop_unused_initializers

if TYPE_CHECKING:
    import onnx_ir

OLD, NATIVE = 17, 18


def lower(model: onnx_ir.Model) -> onnx_ir.Model:
    """`model`, of opset 18 and standard operators alone, as one of opset 17, in place.

    Raises:
        ExportError: an operator does what opset 17 can't say.
    """
    from onnx import defs

    for node in list(model.graph.all_nodes()):
        if defs.get_schema(node.op_type, NATIVE).since_version == NATIVE and not _lowered(model.graph, node):
            raise ExportError(f"opset {OLD} has no {node.op_type} as this network needs it: use opset={NATIVE}")
    drop_unused_initializers(model.graph)
    model.opset_imports[""] = OLD
    return model


def _lowered(graph: onnx_ir.Graph, node: onnx_ir.Node) -> bool:
    """Return whether the node, one of those that 18 changed, could be put in 17's terms; it then is."""
    match node.op_type:
        case "Split":
            return _split(graph, node)
        case "Resize":
            return _resize(node)
        case "Pad":
            return len(node.inputs) < 4 or node.inputs[3] is None  # 18 takes axes there
        case "ScatterND" | "ScatterElements":
            return node.attributes.get_string("reduction", "none") not in ("max", "min")
        case kind:
            return kind.startswith("Reduce") and _reduce(node)


def _split(graph: onnx_ir.Graph, node: onnx_ir.Node) -> bool:
    """Sizes in place of a number: without sizes 17's Split is into equal parts, 18's last part may be shorter."""
    if node.attributes.pop("num_outputs", None) is None:
        return True
    source, parts = node.inputs[0], len(node.outputs)
    size = None if source is None or source.shape is None else source.shape[node.attributes.get_int("axis", 0) or 0]
    if not isinstance(size, int):
        return False
    longest = -(-size // parts)
    sizes = np.array([*[longest] * (parts - 1), size - longest * (parts - 1)], np.int64)
    node.resize_inputs(2)
    node.replace_input_with(1, constant(graph, f"{node.outputs[0].name}_sizes", sizes))
    return True


def _resize(node: onnx_ir.Node) -> bool:
    """Remove what 18 added where it states 17's behaviour."""
    antialias, policy = (node.attributes.pop(name, None) for name in ("antialias", "keep_aspect_ratio_policy"))
    return (
        (antialias is None or not antialias.as_int())
        and (policy is None or policy.as_string() == "stretch")
        and "axes" not in node.attributes
        and node.attributes.get_string("coordinate_transformation_mode") != "half_pixel_symmetric"
    )


def _reduce(node: onnx_ir.Node) -> bool:
    """Axes as an attribute, not an input; 17 reduces all where there is none."""
    import onnx_ir as ir

    given = node.inputs[1] if len(node.inputs) > 1 else None
    axes = array(given)
    nothing = node.attributes.pop("noop_with_empty_axes", None)
    if (given is not None and axes is None) or (nothing is not None and nothing.as_int()):
        return False
    node.resize_inputs(1)
    if axes is not None and axes.size:
        node.attributes.add(ir.AttrInt64s("axes", axes.reshape(-1).tolist()))
    return True
