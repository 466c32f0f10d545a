"""Attention nodes (opset 23) as ONNX Runtime's fused contrib operator.

`com.microsoft.MultiHeadAttention` computes attention in tiles that stay in the cache (FlashAttention-2, Dao 2023) on
the CPU and on CUDA, and takes tokens with their heads side by side, (B, L, heads·D), which is how the network has them:
the four transposes around every attention go too. Without it the CPU provider writes out the scores: 1 GB for five
views of 504×504.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from depthport.exporters.core.errors import ExportError
from depthport.exporters.onnx.targets.graph import constant, replace_uses

if TYPE_CHECKING:
    import onnx_ir

CONTRIB = "com.microsoft"
_HEADS_FIRST = (0, 2, 1, 3)


def fuse_attention(model: onnx_ir.Model) -> int:
    """Replace every Attention node; returns how many there were.

    Raises:
        ExportError: one does not lie between transposes of (B, L, heads, D).
    """
    nodes = [node for node in model.graph if node.op_type == "Attention"]
    for node in nodes:
        _fuse(model.graph, node)
    if nodes:
        model.opset_imports[CONTRIB] = 1
    return len(nodes)


def _fuse(graph: onnx_ir.Graph, node: onnx_ir.Node) -> None:
    import onnx_ir as ir

    heads_last = [_before_transpose(value) for value in node.inputs[:3]]
    after = [use.node for use in node.outputs[0].uses()]
    if any(value is None for value in heads_last) or len(after) != 1 or not _is_transpose(after[0]):
        raise ExportError(f"attention {node.name!r} has no transposes around it that can be fused")
    tokens = []
    for value in heads_last:
        assert value is not None and value.shape is not None
        batch, length = value.shape[0], value.shape[1]
        heads, width = (int(str(dim)) for dim in value.shape[2:])
        # A size that is open is taken over from the tokens: 0 in a Reshape.
        kept = [dim if isinstance(dim, int) else 0 for dim in (batch, length)]
        shape = constant(graph, f"{value.name}_tokens_shape", np.array([*kept, heads * width]))
        joined = ir.node("Reshape", [value, shape], name=f"{value.name}_tokens")
        joined.outputs[0].shape, joined.outputs[0].type = ir.Shape([batch, length, heads * width]), value.type
        tokens.append(joined)
    fused = ir.node(
        "MultiHeadAttention", [joined.outputs[0] for joined in tokens], {"num_heads": heads}, domain=CONTRIB,
        name=f"{node.name}_fused",
    )  # fmt: skip
    result = after[0].outputs[0]
    shape = constant(graph, f"{node.name}_heads_shape", np.array([kept[0], -1, heads, width]))
    split = ir.node("Reshape", [fused.outputs[0], shape], name=f"{node.name}_heads")
    assert tokens[0].outputs[0].shape is not None
    fused.outputs[0].shape, fused.outputs[0].type = tokens[0].outputs[0].shape, result.type
    split.outputs[0].shape, split.outputs[0].type = result.shape, result.type
    graph.insert_before(after[0], [*tokens, fused, split])
    replace_uses(result, split.outputs[0])
    transposes = [value.producer() for value in node.inputs[:3] if value is not None]
    for dead in (after[0], node, *dict.fromkeys(transposes)):
        if dead is not None and not any(list(output.uses()) for output in dead.outputs):
            graph.remove(dead, safe=True)


def _is_transpose(node: onnx_ir.Node | None) -> bool:
    return node is not None and node.op_type == "Transpose" and tuple(node.attributes["perm"].as_ints()) == _HEADS_FIRST


def _before_transpose(value: onnx_ir.Value | None) -> onnx_ir.Value | None:
    """Return the (B, L, heads, D) value whose transpose `value` (B, heads, L, D) is; None if there is none."""
    node = value.producer() if value is not None else None
    return node.inputs[0] if node is not None and _is_transpose(node) else None
