"""Reading an ONNX file for a build: its graph without its weights, and the facts the checks need."""

from __future__ import annotations

from typing import TYPE_CHECKING

from depthport.exporters.onnx.graph_file import scope_of
from depthport.exporters.tensorrt.network import OnnxFacts

if TYPE_CHECKING:
    import onnx_ir


def onnx_facts(model: onnx_ir.Model) -> OnnxFacts:
    """Types of tensors, modules of nodes, number of attentions."""
    types: dict[str, str] = {}
    scopes: dict[str, str] = {}
    kinds = [node.op_type for node in model.graph]
    for node in model.graph:
        scopes[node.name or ""] = scope_of(node)
        types.update({value.name: value.dtype.name for value in node.outputs if value.name and value.dtype is not None})
    return OnnxFacts(types, scopes, kinds.count("Attention") or kinds.count("Softmax"))
