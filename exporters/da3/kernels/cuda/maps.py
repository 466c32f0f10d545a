# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-decorators
"""Triton kernel of :mod:`depthport.exporters.da3.kernels.maps`: one program a run of samples of one row, all channels."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from depthport.exporters.da3.kernels.cuda.bilinear import source


@triton.jit
def _merge_maps(x_ptr, skip_ptr, coarse_ptr, sum_ptr, relu_ptr, height, width, coarse_height, coarse_width, channels,
                SAMPLES: tl.constexpr, BLOCK: tl.constexpr):  # fmt: skip
    columns = tl.program_id(0) * SAMPLES + tl.arange(0, SAMPLES)
    row = tl.program_id(1)
    view = tl.program_id(2).to(tl.int64)
    c = tl.arange(0, BLOCK)[None, :]
    inside = (columns < width)[:, None] & (c < channels)
    top, bottom, down = source(row, coarse_height, height)
    left, right, along = source(columns, coarse_width, width)
    along = along[:, None]
    coarse = coarse_ptr + view * coarse_height * coarse_width * channels + c
    left, right = left[:, None] * channels, right[:, None] * channels
    raised = tl.zeros([SAMPLES, BLOCK], tl.float32)
    for edge in tl.static_range(2):
        line = coarse + (top if edge == 0 else bottom) * coarse_width * channels
        a = tl.load(line + left, mask=inside, other=0.0).to(tl.float32)
        b = tl.load(line + right, mask=inside, other=0.0).to(tl.float32)
        raised += ((1.0 - down) if edge == 0 else down) * (a + along * (b - a))
    at = ((view * height + row) * width + columns)[:, None] * channels + c
    total = tl.load(x_ptr + at, mask=inside, other=0.0).to(tl.float32)
    total += tl.load(skip_ptr + at, mask=inside, other=0.0).to(tl.float32) + raised
    rounded = total.to(sum_ptr.dtype.element_ty)
    tl.store(sum_ptr + at, rounded, mask=inside)
    tl.store(relu_ptr + at, tl.maximum(rounded, 0.0).to(sum_ptr.dtype.element_ty), mask=inside)


def merge_maps(x: Tensor, skip: Tensor, coarse: Tensor) -> tuple[Tensor, Tensor]:
    """The kernel behind :func:`depthport.exporters.da3.kernels.maps.merge_maps`."""
    x, skip, coarse = x.contiguous(), skip.contiguous(), coarse.contiguous()
    views, height, width, channels = x.shape
    total, active = torch.empty_like(x), torch.empty_like(x)
    samples = 16
    _merge_maps[(triton.cdiv(width, samples), height, views)](
        x, skip, coarse, total, active, height, width, coarse.shape[1], coarse.shape[2], channels,
        SAMPLES=samples, BLOCK=triton.next_power_of_2(channels), num_warps=4,
    )  # fmt: skip
    return total, active
