# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-decorators
"""Triton kernels of :mod:`depthport.exporters.da3.kernels.norms`.

One program a row, which stays in registers throughout.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor


@triton.jit
def _normalise(row, inside, channels, eps):
    """(row - mean) / sqrt(variance + eps) over the `channels` entries that are `inside`; two passes, in registers."""
    mean = tl.sum(row, 0) / channels
    centred = tl.where(inside, row - mean, 0.0)
    variance = tl.sum(centred * centred, 0) / channels
    return centred * (1.0 / tl.sqrt(variance + eps))


@triton.jit
def _branch(branch_ptr, scale_ptr, c, inside):
    """Scale · branch in fp32."""
    branch = tl.load(branch_ptr + c, mask=inside, other=0.0).to(tl.float32)
    return tl.load(scale_ptr + c, mask=inside, other=0.0) * branch


@triton.jit
def _affine(row, weight_ptr, bias_ptr, c, inside):
    weight = tl.load(weight_ptr + c, mask=inside, other=0.0)
    return row * weight + tl.load(bias_ptr + c, mask=inside, other=0.0)


@triton.jit
def _branch_norm(x_ptr, branch_ptr, scale_ptr, weight_ptr, bias_ptr, out_ptr, channels, eps, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64) * channels
    c = tl.arange(0, BLOCK)
    inside = c < channels
    total = tl.load(x_ptr + row + c, mask=inside, other=0.0)
    total += _branch(branch_ptr + row, scale_ptr, c, inside)
    normed = _affine(_normalise(total, inside, channels, eps), weight_ptr, bias_ptr, c, inside)
    tl.store(out_ptr + row + c, normed.to(out_ptr.dtype.element_ty), mask=inside)


@triton.jit
def _residual_norm(x_ptr, branch1_ptr, scale1_ptr, branch2_ptr, scale2_ptr, weight_ptr, bias_ptr, sum_ptr, out_ptr,
                   channels, eps, BLOCK: tl.constexpr):  # fmt: skip
    row = tl.program_id(0).to(tl.int64) * channels
    c = tl.arange(0, BLOCK)
    inside = c < channels
    total = tl.load(x_ptr + row + c, mask=inside, other=0.0)
    total += _branch(branch1_ptr + row, scale1_ptr, c, inside)
    total += _branch(branch2_ptr + row, scale2_ptr, c, inside)
    tl.store(sum_ptr + row + c, total, mask=inside)
    normed = _affine(_normalise(total, inside, channels, eps), weight_ptr, bias_ptr, c, inside)
    tl.store(out_ptr + row + c, normed.to(out_ptr.dtype.element_ty), mask=inside)


@triton.jit
def _feature_norm(local_ptr, x_ptr, branch1_ptr, scale1_ptr, branch2_ptr, scale2_ptr, weight_ptr, bias_ptr,
                  head_weight_ptr, head_bias_ptr, out_ptr, tokens, channels, eps, head_eps,
                  BLOCK: tl.constexpr):  # fmt: skip
    patch = tl.program_id(0)
    view = tl.program_id(1).to(tl.int64)
    row = (view * tokens + patch + 1) * channels
    c = tl.arange(0, BLOCK)
    inside = c < channels
    local = tl.load(local_ptr + row + c, mask=inside, other=0.0)
    state = tl.load(x_ptr + row + c, mask=inside, other=0.0)
    state += _branch(branch1_ptr + row, scale1_ptr, c, inside)
    state += _branch(branch2_ptr + row, scale2_ptr, c, inside)
    state = _affine(_normalise(state, inside, channels, eps), weight_ptr, bias_ptr, c, inside)
    mean = (tl.sum(local, 0) + tl.sum(state, 0)) / (2 * channels)
    local = tl.where(inside, local - mean, 0.0)
    state = tl.where(inside, state - mean, 0.0)
    variance = (tl.sum(local * local, 0) + tl.sum(state * state, 0)) / (2 * channels)
    inverse = 1.0 / tl.sqrt(variance + head_eps)
    out = out_ptr + (view * (tokens - 1) + patch) * 2 * channels
    dtype = out_ptr.dtype.element_ty
    for half in tl.static_range(2):
        at = half * channels + c
        weight = tl.load(head_weight_ptr + at, mask=inside, other=0.0)
        bias = tl.load(head_bias_ptr + at, mask=inside, other=0.0)
        normed = (local if half == 0 else state) * inverse * weight + bias
        tl.store(out + at, normed.to(dtype), mask=inside)


def branch_norm(x: Tensor, branch: Tensor, scale: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    """The kernel behind :func:`depthport.exporters.da3.kernels.norms.branch_norm`."""
    x, branch = x.contiguous(), branch.contiguous()
    channels = x.shape[-1]
    out = torch.empty_like(branch)
    block = triton.next_power_of_2(channels)
    _branch_norm[(x.numel() // channels,)](
        x, branch, scale, weight, bias, out, channels, eps, BLOCK=block, num_warps=_warps(block)
    )
    return out


def residual_norm(
    x: Tensor, branch1: Tensor, scale1: Tensor, branch2: Tensor, scale2: Tensor, weight: Tensor, bias: Tensor, eps: float
) -> tuple[Tensor, Tensor]:
    """The kernel behind :func:`depthport.exporters.da3.kernels.norms.residual_norm`."""
    x, branch1, branch2 = x.contiguous(), branch1.contiguous(), branch2.contiguous()
    channels = x.shape[-1]
    total, out = torch.empty_like(x), torch.empty_like(branch1)
    block = triton.next_power_of_2(channels)
    _residual_norm[(x.numel() // channels,)](
        x, branch1, scale1, branch2, scale2, weight, bias, total, out, channels, eps,
        BLOCK=block, num_warps=_warps(block),
    )  # fmt: skip
    return total, out


def feature_norm(
    local: Tensor,
    x: Tensor,
    branch1: Tensor,
    scale1: Tensor,
    branch2: Tensor,
    scale2: Tensor,
    weight: Tensor,
    bias: Tensor,
    eps: float,
    head_weight: Tensor,
    head_bias: Tensor,
    head_eps: float,
    dtype: torch.dtype,
) -> Tensor:
    """The kernel behind :func:`depthport.exporters.da3.kernels.norms.feature_norm`."""
    local, x, branch1, branch2 = (part.contiguous() for part in (local, x, branch1, branch2))
    views, tokens, channels = x.shape
    out = local.new_empty(views, tokens - 1, 2 * channels, dtype=dtype)
    block = triton.next_power_of_2(channels)
    _feature_norm[(tokens - 1, views)](
        local, x, branch1, scale1, branch2, scale2, weight, bias, head_weight, head_bias, out, tokens, channels, eps,
        head_eps, BLOCK=block, num_warps=_warps(block),
    )  # fmt: skip
    return out


def _warps(block: int) -> int:
    """Eight channels a thread: a 16-byte access of bf16."""
    return max(1, min(8, block // 256))
