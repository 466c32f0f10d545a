# mypy: allow-untyped-defs, allow-incomplete-defs
"""Triton kernels of :mod:`exporters.da3.kernels.upsampled`: one program a run of samples of one row."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from exporters.da3.kernels.bilinear_cuda import source


@triton.jit
def _gather(taps_ptr, row, columns, o, in_height, in_width, height, width, outputs, SAMPLES: tl.constexpr,
            BLOCK: tl.constexpr):  # fmt: skip
    """(SAMPLES, BLOCK) fp32: nine taps, each a bilinear sample of its own channels of the small map."""
    total = tl.zeros([SAMPLES, BLOCK], tl.float32)
    pitch = 9 * outputs
    for y in tl.static_range(3):
        tap_row = row + y - 1
        top, bottom, down = source(tap_row, in_height, height)
        row_inside = (tap_row >= 0) & (tap_row < height)
        for x in tl.static_range(3):
            tap_columns = columns + x - 1
            left, right, along = source(tap_columns, in_width, width)
            within = row_inside & (tap_columns >= 0) & (tap_columns < width)
            mask = within[:, None] & (o < outputs)[None, :]
            at = taps_ptr + (3 * y + x) * outputs + o[None, :]
            left, right, along = left[:, None] * pitch, right[:, None] * pitch, along[:, None]
            for edge in tl.static_range(2):
                line = at + (top if edge == 0 else bottom) * in_width * pitch
                a = tl.load(line + left, mask=mask, other=0.0).to(tl.float32)
                b = tl.load(line + right, mask=mask, other=0.0).to(tl.float32)
                total += ((1.0 - down) if edge == 0 else down) * (a + along * (b - a))
    return total


@triton.jit
def _convolution(taps_ptr, bias_ptr, out_ptr, in_height, in_width, height, width, outputs, SAMPLES: tl.constexpr,
                 BLOCK: tl.constexpr):  # fmt: skip
    columns = tl.program_id(0) * SAMPLES + tl.arange(0, SAMPLES)
    row = tl.program_id(1)
    view = tl.program_id(2).to(tl.int64)
    o = tl.arange(0, BLOCK)
    taps_ptr += view * in_height * in_width * 9 * outputs
    total = _gather(taps_ptr, row, columns, o, in_height, in_width, height, width, outputs, SAMPLES, BLOCK)
    total += tl.load(bias_ptr + o, mask=o < outputs, other=0.0)[None, :]
    at = ((view * height + row) * width + columns)[:, None] * outputs + o[None, :]
    mask = (columns < width)[:, None] & (o < outputs)[None, :]
    tl.store(out_ptr + at, total.to(out_ptr.dtype.element_ty), mask=mask)


@triton.jit
def _depth(taps_ptr, bias_ptr, rows_ptr, columns_ptr, weight_ptr, weight_bias_ptr, depth_ptr, confidence_ptr,
           in_height, in_width, height, width, outputs, SAMPLES: tl.constexpr, BLOCK: tl.constexpr):  # fmt: skip
    columns = tl.program_id(0) * SAMPLES + tl.arange(0, SAMPLES)
    row = tl.program_id(1)
    view = tl.program_id(2).to(tl.int64)
    o = tl.arange(0, BLOCK)
    present = o < outputs
    taps_ptr += view * in_height * in_width * 9 * outputs
    total = _gather(taps_ptr, row, columns, o, in_height, in_width, height, width, outputs, SAMPLES, BLOCK)
    total += tl.load(bias_ptr + o, mask=present, other=0.0)[None, :]
    mask = (columns < width)[:, None] & present[None, :]
    for tap in tl.static_range(3):
        tap_row, tap_columns = row + tap - 1, columns + tap - 1
        row_inside = (tap_row >= 0) & (tap_row < height)
        at = (tap * width + columns)[:, None] * outputs + o[None, :]
        total += tl.load(columns_ptr + at, mask=mask & row_inside, other=0.0)
        column_inside = ((tap_columns >= 0) & (tap_columns < width)).to(tl.float32)
        of_row = tl.load(rows_ptr + (tap * height + row) * outputs + o, mask=present, other=0.0)
        total += column_inside[:, None] * of_row[None, :]
    total = tl.maximum(total, 0.0)
    at = (view * height + row) * width + columns
    for logit in tl.static_range(2):
        weight = tl.load(weight_ptr + logit * outputs + o, mask=present, other=0.0)
        value = tl.exp(tl.sum(total * weight[None, :], 1) + tl.load(weight_bias_ptr + logit)) + logit
        tl.store((depth_ptr if logit == 0 else confidence_ptr) + at, value, mask=columns < width)


def upsampled_convolution(taps: Tensor, bias: Tensor, height: int, width: int) -> Tensor:
    """The kernel behind :func:`exporters.da3.kernels.upsampled.upsampled_convolution`."""
    taps = taps.contiguous()
    views, in_height, in_width, _ = taps.shape
    outputs = bias.shape[0]
    out = taps.new_empty(views, height, width, outputs)
    samples = 32
    _convolution[(triton.cdiv(width, samples), height, views)](
        taps, bias, out, in_height, in_width, height, width, outputs,
        SAMPLES=samples, BLOCK=triton.next_power_of_2(outputs), num_warps=4,
    )  # fmt: skip
    return out


def upsampled_depth(
    taps: Tensor, bias: Tensor, rows: Tensor, columns: Tensor, weight: Tensor, weight_bias: Tensor
) -> tuple[Tensor, Tensor]:
    """The kernel behind :func:`exporters.da3.kernels.upsampled.upsampled_depth`."""
    taps = taps.contiguous()
    views, in_height, in_width, _ = taps.shape
    outputs, height, width = bias.shape[0], rows.shape[1], columns.shape[1]
    depth = torch.empty((views, height, width), dtype=torch.float32, device=taps.device)
    confidence = torch.empty_like(depth)
    samples = 64
    _depth[(triton.cdiv(width, samples), height, views)](
        taps, bias, rows, columns, weight, weight_bias, depth, confidence, in_height, in_width, height, width, outputs,
        SAMPLES=samples, BLOCK=triton.next_power_of_2(outputs), num_warps=4,
    )  # fmt: skip
    return depth, confidence
