# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-decorators
"""Triton kernel of :mod:`depthport.exporters.da3.kernels.qk_norm_rope`: one program a token, all its heads at once."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor


@triton.jit
def _qk_norm_rope(qkv_ptr, q_ptr, k_ptr, v_ptr, q_weight_ptr, q_bias_ptr, k_weight_ptr, k_bias_ptr, cos_ptr, sin_ptr,
                  tokens, heads, share, card_stride, row_stride, eps, scale, D: tl.constexpr, HEADS: tl.constexpr,
                  VALUES: tl.constexpr):  # fmt: skip
    # A card has `share` of the heads; what goes to the next card lies `card_stride` further on.
    row = tl.program_id(0).to(tl.int64)
    token = (row % tokens).to(tl.int32)
    h = tl.arange(0, HEADS)[:, None]
    # Each half of a head's channels rotates in pairs (low, high) that lie D/4 apart.
    pair = tl.arange(0, D // 2)
    low = pair // (D // 4) * (D // 2) + pair % (D // 4)
    high = low + D // 4
    inside = (h < heads) & (pair < D)[None, :]
    place = (h // share).to(tl.int64) * card_stride + row * row_stride + h % share * D
    table = cos_ptr + token * D
    cos_low, cos_high = tl.load(table + low)[None, :], tl.load(table + high)[None, :]
    table = sin_ptr + token * D
    sin_low, sin_high = tl.load(table + low)[None, :], tl.load(table + high)[None, :]
    for part in tl.static_range(2):
        weight_ptr = q_weight_ptr if part == 0 else k_weight_ptr
        bias_ptr = q_bias_ptr if part == 0 else k_bias_ptr
        source = qkv_ptr + row * (3 * heads * D) + part * heads * D + h * D
        x = tl.load(source + low[None, :], mask=inside, other=0.0).to(tl.float32)
        y = tl.load(source + high[None, :], mask=inside, other=0.0).to(tl.float32)
        mean = ((tl.sum(x, 1) + tl.sum(y, 1)) / D)[:, None]
        x -= mean
        y -= mean
        variance = ((tl.sum(x * x, 1) + tl.sum(y * y, 1)) / D)[:, None]
        inverse = 1.0 / tl.sqrt(variance + eps)
        x = x * inverse * tl.load(weight_ptr + low)[None, :] + tl.load(bias_ptr + low)[None, :]
        y = y * inverse * tl.load(weight_ptr + high)[None, :] + tl.load(bias_ptr + high)[None, :]
        x_rotated = x * cos_low + y * sin_low
        y_rotated = y * cos_high + x * sin_high
        if part == 0:
            x_rotated *= scale
            y_rotated *= scale
        target = (q_ptr if part == 0 else k_ptr) + place
        tl.store(target + low[None, :], x_rotated.to(q_ptr.dtype.element_ty), mask=inside)
        tl.store(target + high[None, :], y_rotated.to(q_ptr.dtype.element_ty), mask=inside)
    if VALUES:
        d = tl.arange(0, D)[None, :]
        present = (h < heads) & (d < D)
        value = tl.load(qkv_ptr + row * (3 * heads * D) + 2 * heads * D + h * D + d, mask=present, other=0.0)
        tl.store(v_ptr + place + d, value, mask=present)


def qk_norm_rope(
    qkv: Tensor,
    heads: int,
    q_weight: Tensor,
    q_bias: Tensor,
    k_weight: Tensor,
    k_bias: Tensor,
    eps: float,
    cos: Tensor,
    sin: Tensor,
    scale: float,
) -> tuple[Tensor, Tensor]:
    """The kernel behind :func:`depthport.exporters.da3.kernels.qk_norm_rope.qk_norm_rope`; D is a power of two."""
    qkv = qkv.contiguous()
    views, tokens, _ = qkv.shape
    head_dim = q_weight.shape[0]
    q = torch.empty((views, tokens, heads, head_dim), dtype=qkv.dtype, device=qkv.device)
    k = torch.empty_like(q)
    width = heads * head_dim
    _qk_norm_rope[(views * tokens,)](
        qkv, q, k, q, q_weight, q_bias, k_weight, k_bias, cos, sin, tokens, heads, heads, 0, width, eps, scale,
        D=head_dim, HEADS=triton.next_power_of_2(heads), VALUES=False, num_warps=1,
    )  # fmt: skip
    return q, k


def qkv_by_card(
    qkv: Tensor,
    heads: int,
    cards: int,
    q_weight: Tensor,
    q_bias: Tensor,
    k_weight: Tensor,
    k_bias: Tensor,
    eps: float,
    cos: Tensor,
    sin: Tensor,
    scale: float,
) -> Tensor:
    """The kernel behind :func:`depthport.exporters.da3.kernels.qk_norm_rope.qkv_by_card`; D is a power of two."""
    qkv = qkv.contiguous()
    views, tokens, _ = qkv.shape
    head_dim, share = q_weight.shape[0], heads // cards
    out = torch.empty((cards, views, tokens, 3, share, head_dim), dtype=qkv.dtype, device=qkv.device)
    q, k, v = out[0].unbind(2)
    _qk_norm_rope[(views * tokens,)](
        qkv, q, k, v, q_weight, q_bias, k_weight, k_bias, cos, sin, tokens, heads, share, out.stride(0), out.stride(2),
        eps, scale, D=head_dim, HEADS=triton.next_power_of_2(heads), VALUES=True, num_warps=1,
    )  # fmt: skip
    return out
