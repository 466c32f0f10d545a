# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-decorators
"""Triton kernel of :mod:`depthport.exporters.da3.kernels.attention`.

A tile of queries against all keys, as in FlashAttention.

Dao 2023 (arXiv:2307.08691) is the algorithm. Two things make it fast on Hopper at 64 channels a head, where the
exponential unit is as busy as the tensor cores:

* the scores of the next block of keys are computed before the exponentials of this one, so the tensor cores work
  through two products while the exponential unit works through one block (the overlap within a warp group of
  FlashAttention-3, arXiv:2407.08608);
* for bounded scores (in bf16) no maximum is searched, nothing is rescaled, and nothing but the exponential itself
  stands between the two products.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from depthport.exporters.da3.kernels.cuda import attention_sm90


@triton.jit
def _attention(q_ptr, k_ptr, v_ptr, out_ptr, q_stride, k_stride, v_stride, out_stride, length, scale,
               D: tl.constexpr, ROWS: tl.constexpr, KEYS: tl.constexpr, BOUNDED: tl.constexpr,
               STAGES: tl.constexpr):  # fmt: skip
    head = tl.program_id(1)
    group = tl.program_id(2).to(tl.int64)
    rows = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    keys = tl.arange(0, KEYS)
    d = tl.arange(0, D)
    q_start = q_ptr + group * length * q_stride + head * D
    q = tl.load(q_start + rows[:, None] * q_stride + d[None, :], mask=(rows < length)[:, None], other=0.0)
    k_at = k_ptr + group * length * k_stride + head * D + keys[None, :] * k_stride + d[:, None]
    v_at = v_ptr + group * length * v_stride + head * D + keys[:, None] * v_stride + d[None, :]
    total = tl.zeros([ROWS, D], tl.float32)
    norm = tl.zeros([ROWS], tl.float32)
    top = tl.full([ROWS], float("-inf"), tl.float32)
    scores = tl.dot(q, tl.load(k_at, mask=(keys < length)[None, :], other=0.0))
    last = tl.cdiv(length, KEYS) - 1
    for block in tl.range(0, last, num_stages=STAGES):
        k_at += KEYS * k_stride
        k = tl.load(k_at, mask=(keys < length - (block + 1) * KEYS)[None, :], other=0.0)
        following = tl.dot(q, k)
        if BOUNDED:
            weights = tl.exp2(scores)
        else:
            higher = tl.maximum(top, tl.max(scores, 1) * scale)
            weights = tl.exp2(scores * scale - higher[:, None])
            fade = tl.exp2(top - higher)
            norm *= fade
            total *= fade[:, None]
            top = higher
        norm += tl.sum(weights, 1)
        v = tl.load(v_at)
        total = tl.dot(weights.to(v.dtype), v, total)
        v_at += KEYS * v_stride
        scores = following
    # The last block may be partly filled: what lies beyond the group gets weight 0.
    inside = keys < length - last * KEYS
    if BOUNDED:
        weights = tl.where(inside[None, :], tl.exp2(scores), 0.0)
    else:
        scores = tl.where(inside[None, :], scores * scale, float("-inf"))
        higher = tl.maximum(top, tl.max(scores, 1))
        weights = tl.exp2(scores - higher[:, None])
        fade = tl.exp2(top - higher)
        norm *= fade
        total *= fade[:, None]
    norm += tl.sum(weights, 1)
    v = tl.load(v_at, mask=inside[:, None], other=0.0)
    total = tl.dot(weights.to(v.dtype), v, total)
    result = (total / norm[:, None]).to(out_ptr.dtype.element_ty)
    out_start = out_ptr + group * length * out_stride + head * D
    tl.store(out_start + rows[:, None] * out_stride + d[None, :], result, mask=(rows < length)[:, None])


def attention(q: Tensor, k: Tensor, v: Tensor, scale: float, bounded: bool) -> Tensor:
    """The kernel behind :func:`depthport.exporters.da3.kernels.attention.attention`; D is a power of two, at least 16."""
    groups, length, heads, head_dim = q.shape
    for part in (q, k, v):
        if part.stride()[2:] != (head_dim, 1) or (groups > 1 and part.stride(0) != length * part.stride(1)):
            raise ValueError(f"attention needs heads and channels contiguous, got strides {part.stride()}")
    if bounded and scale != 1.0:
        raise ValueError(f"bounded attention takes its scale in the queries, got scale {scale}")
    out = torch.empty((groups, length, heads, head_dim), dtype=v.dtype, device=v.device)
    if attention_sm90.supports(q, k, v):
        processors = torch.cuda.get_device_properties(q.device).multi_processor_count
        cut = attention_sm90.tiling(groups, length, heads, bounded, processors)
        attention_sm90.launch(q, k, v, out, scale, bounded, cut)
        return out
    # Weights without a reference reach beyond fp16.
    free = bounded and v.dtype is not torch.float16
    launch(q, k, v, out, scale, free, rows=64, keys=64, warps=4, stages=3)
    return out


def launch(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    out: Tensor,
    scale: float,
    bounded: bool,
    *,
    rows: int,
    keys: int,
    warps: int,
    stages: int,
    registers: int | None = None,
) -> None:
    """Run the kernel with a given tiling; `registers` caps those of a thread, so that more programs fit."""
    groups, length, heads, head_dim = q.shape
    options = {} if registers is None else {"maxnreg": registers}
    _attention[(triton.cdiv(length, rows), heads, groups)](
        q, k, v, out, q.stride(1), k.stride(1), v.stride(1), out.stride(1), length, scale,
        D=head_dim, ROWS=rows, KEYS=keys, BOUNDED=bounded, STAGES=stages, num_warps=warps, **options,
    )  # fmt: skip
