"""Attention's graph: :class:`depthport.exporters.da3.static.blocks.Attention` in ONNX Runtime's fused operators."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from depthport.exporters.da3.static.blocks import Attention
from depthport.exporters.da3.static.rope import RopeTable

if TYPE_CHECKING:
    from depthport.exporters.onnx.cuda.emitter import Emitter, Value


def emit_attention(
    g: Emitter,
    y: Value,
    attention: Attention,
    groups: int,
    size: tuple[int, int, int],
    table: RopeTable | None,
    dtype: torch.dtype,
) -> tuple[Value, Tensor]:
    """Attention without its output projection.

    Args:
        y: (V, T, C), normalised.
        attention: the module; its projection is the caller's.
        groups: V for attention within each view, B across the views of each scene.
        size: (V, T, C).
        table: rotation of each of the T tokens.
        dtype: of weights and activations.

    Returns:
        (V, T, C) without the bias of the values, and that bias (C,), which the projection has yet to see.
    """
    views, tokens, channels = size
    heads, head_dim = attention.heads, channels // attention.heads
    weights, biases = attention.qkv.weight.chunk(3), attention.qkv.bias.chunk(3)
    order = rotary_order(head_dim) if table is not None else torch.arange(head_dim)
    whole = (torch.arange(heads)[:, None] * head_dim + order).flatten()
    parts = []
    for name, weight, bias, norm in (
        ("q", weights[0], biases[0], attention.q_norm),
        ("k", weights[1], biases[1], attention.k_norm),
    ):
        x = g.op("MatMul", y, g.constant(f"{name}.weight", weight[whole].T, dtype))
        if norm is not None:
            x = _head_norm(g, name, x, norm.norm, bias[whole].view(heads, head_dim), order, size, dtype)
        elif name == "q" or table is not None:
            x = g.op("Add", x, g.constant(f"{name}.bias", bias[whole].view(1, 1, -1), dtype))
        parts.append(x if table is None else _rotate(g, x, table, size, dtype))
    parts.append(g.op("MatMul", y, g.constant("v.weight", weights[2].T, dtype)))
    grouped = [g.reshape(x, groups, views // groups * tokens, channels) for x in parts]
    mixed = g.op("MultiHeadAttention", *grouped, contrib=True, num_heads=heads)
    return g.reshape(mixed, views, tokens, channels), biases[2]


def rotary_order(head_dim: int) -> Tensor:
    """Channels of a head so that what rotates together lies half a head apart: quarters 0, 2, 1, 3."""
    return torch.arange(head_dim).view(2, 2, -1).transpose(0, 1).flatten()


def rotary_caches(table: RopeTable) -> tuple[Tensor, Tensor]:
    """Cos and sin (T, D/2) fp32 for heads in :func:`rotary_order`."""
    half = table.cos.shape[-1] // 2
    order = rotary_order(2 * half)
    return table.cos[:, 0, order][:, :half], table.sin[:, 0, order][:, half:]


def _head_norm(
    g: Emitter, name: str, x: Value, norm: nn.LayerNorm, bias: Tensor, order: Tensor, size: tuple[int, int, int],
    dtype: torch.dtype,
) -> Value:  # fmt: skip
    """LayerNorm of every head of `x` (V, T, C) plus `bias` (heads, D), which the operator takes as the skip input."""
    views, tokens, channels = size
    heads, head_dim = bias.shape
    split = g.reshape(x, views * tokens, heads, head_dim)
    normed = g.op(
        "SkipLayerNormalization",
        split,
        g.constant(f"{name}.bias", bias[None], dtype),
        g.constant(f"{name}_norm.weight", norm.weight[order], dtype),
        g.constant(f"{name}_norm.bias", norm.bias[order], dtype),
        contrib=True,
        epsilon=norm.eps,
    )
    return g.reshape(normed, views, tokens, channels)


def _rotate(g: Emitter, x: Value, table: RopeTable, size: tuple[int, int, int], dtype: torch.dtype) -> Value:
    """Rotary embedding of (V, T, C), up to a rotation common to queries and keys."""
    views, tokens, channels = size
    cos, sin = rotary_caches(table)
    if not _patches_alike(cos, sin):
        return _rotary(g, x, cos, sin, dtype)
    # Attention sees rotations of queries against keys only: turn the special token back instead of all patches.
    special = _rotary(g, g.slice(x, 1, 0, 1), cos[1:2], -sin[1:2], dtype)
    # One index a channel: the kernel writes what an index stands for one element after the other.
    places = torch.arange(views)[:, None] * tokens * channels + torch.arange(channels)
    flat = g.op(
        "ScatterND",
        g.reshape(x, views * tokens * channels),
        g.constant("special", places.reshape(-1, 1)),
        g.reshape(special, views * channels),
    )
    return g.reshape(flat, views, tokens, channels)


def _rotary(g: Emitter, x: Value, cos: Tensor, sin: Tensor, dtype: torch.dtype) -> Value:
    caches = g.constant("rotary.cos", cos, dtype), g.constant("rotary.sin", sin, dtype)
    return g.op("RotaryEmbedding", x, g.integers(0), *caches, contrib=True)


def _patches_alike(cos: Tensor, sin: Tensor) -> bool:
    """Return whether the first token is not rotated and all others are by the same angles."""
    first = bool((cos[0] == 1).all() and (sin[0] == 0).all())
    return first and bool((cos[1:] == cos[1]).all() and (sin[1:] == sin[1]).all())
