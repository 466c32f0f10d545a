# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-decorators
"""Triton kernel of :mod:`depthport.exporters.da3.kernels.reference_view`.

One program a scene, three passes over its tokens.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

_TILE = 8192
"""Numbers held at once: views, rounded up, times channels."""


@triton.jit
def _off_middle(measure, present):
    """Distance from 0.5 after scaling the views to [0, 1]."""
    low = tl.min(tl.where(present, measure, float("inf")), 0)
    high = tl.max(tl.where(present, measure, float("-inf")), 0)
    return tl.abs((measure - low) / (high - low + 1e-8) - 0.5)


@triton.jit
def _select(tokens_ptr, view_stride, chosen_ptr, views, channels, VIEWS: tl.constexpr, BLOCK: tl.constexpr):
    scene = tl.program_id(0)
    n = tl.arange(0, VIEWS)
    present = n < views
    c = tl.arange(0, BLOCK)
    rows = tokens_ptr + (scene * views + n).to(tl.int64)[:, None] * view_stride
    squares = tl.zeros([VIEWS], tl.float32)
    for start in range(0, channels, BLOCK):
        mask = present[:, None] & (start + c < channels)[None, :]
        x = tl.load(rows + (start + c)[None, :], mask=mask, other=0.0)
        squares += tl.sum(x * x, 1)
    norm = tl.sqrt(squares)
    inverse = tl.where(present, 1.0 / norm, 0.0)[:, None]
    cosine = tl.zeros([VIEWS], tl.float32)
    total = tl.zeros([VIEWS], tl.float32)
    for start in range(0, channels, BLOCK):
        mask = present[:, None] & (start + c < channels)[None, :]
        unit = tl.load(rows + (start + c)[None, :], mask=mask, other=0.0) * inverse
        cosine += tl.sum(unit * tl.sum(unit, 0)[None, :], 1)
        total += tl.sum(unit, 1)
    mean = (total / channels)[:, None]
    spread = tl.zeros([VIEWS], tl.float32)
    for start in range(0, channels, BLOCK):
        mask = present[:, None] & (start + c < channels)[None, :]
        unit = tl.load(rows + (start + c)[None, :], mask=mask, other=0.0) * inverse
        centred = tl.where(mask, unit - mean, 0.0)
        spread += tl.sum(centred * centred, 1)
    similarity = (cosine - 1.0) / (views - 1)
    score = _off_middle(similarity, present) + _off_middle(norm, present)
    score += _off_middle(spread / (channels - 1), present)
    chosen = tl.argmin(tl.where(present, score, float("inf")), 0)
    tl.store(chosen_ptr + scene, chosen.to(tl.int64))


def select_reference_view(class_tokens: Tensor) -> Tensor:
    """The kernel behind :func:`depthport.exporters.da3.kernels.reference_view.select_reference_view`."""
    batch, views, channels = class_tokens.shape
    if class_tokens.stride(2) != 1 or class_tokens.stride(0) != views * class_tokens.stride(1):
        class_tokens = class_tokens.contiguous()
    chosen = torch.empty(batch, dtype=torch.int64, device=class_tokens.device)
    padded = triton.next_power_of_2(views)
    _select[(batch,)](
        class_tokens, class_tokens.stride(1), chosen, views, channels,
        VIEWS=padded, BLOCK=max(32, min(triton.next_power_of_2(channels), _TILE // padded)), num_warps=8,
    )  # fmt: skip
    return chosen
