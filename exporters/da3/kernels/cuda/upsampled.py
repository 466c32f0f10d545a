# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-decorators
"""Triton kernels of :mod:`depthport.exporters.da3.kernels.upsampled`: one program a run of samples of one row."""

from __future__ import annotations

import math

import torch
import triton
import triton.language as tl
from torch import Tensor

from depthport.exporters.da3.kernels.cuda.bilinear import source

CONVOLUTION_SAMPLES, CONVOLUTION_WARPS = 16, 8
DEPTH_SAMPLES, DEPTH_WARPS = 32, 4
"""Output samples and warps of a program."""
_LEAST = 16
"""Smallest extent of a product."""


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
def _gather_window(taps_ptr, row, first, o, in_height, in_width, height, width, outputs, SAMPLES: tl.constexpr,
            WINDOW: tl.constexpr, BLOCK: tl.constexpr):  # fmt: skip
    """The same for a run of samples from `first` on, with fewer loads; faster where there are many channels.

    Samples of a run that lie side by side read the same inputs, so a window of inputs is fetched once: first the three
    taps of a column are interpolated from row to row and added, then a product with the (SAMPLES, WINDOW) matrix of
    column weights interpolates along the row.
    """
    columns = first + tl.arange(0, SAMPLES)
    pitch = 9 * outputs
    # No input of the run lies before the one its first sample's left tap starts from.
    start, _, _ = source(first - 1, in_width, width)
    window = tl.arange(0, WINDOW)
    inputs = start + window
    mask = (inputs < in_width)[:, None] & (o < outputs)[None, :]
    total = tl.zeros([SAMPLES, BLOCK], tl.float32)
    for x in tl.static_range(3):
        summed = tl.zeros([WINDOW, BLOCK], tl.float32)
        for y in tl.static_range(3):
            tap_row = row + y - 1
            top, bottom, down = source(tap_row, in_height, height)
            inside = mask & (tap_row >= 0) & (tap_row < height)
            at = taps_ptr + inputs[:, None] * pitch + (3 * y + x) * outputs + o[None, :]
            a = tl.load(at + top * in_width * pitch, mask=inside, other=0.0).to(tl.float32)
            b = tl.load(at + bottom * in_width * pitch, mask=inside, other=0.0).to(tl.float32)
            summed += a + down * (b - a)
        tap_columns = columns + x - 1
        left, right, along = source(tap_columns, in_width, width)
        weights = tl.where(inputs[None, :] == left[:, None], 1.0 - along[:, None], 0.0)
        weights += tl.where(inputs[None, :] == right[:, None], along[:, None], 0.0)
        weights = tl.where(((tap_columns >= 0) & (tap_columns < width))[:, None], weights, 0.0)
        if taps_ptr.dtype.element_ty == tl.float16:
            total = tl.dot(weights.to(tl.float16), summed.to(tl.float16), total)
        else:
            total = tl.dot(weights, summed, total, input_precision="tf32")
    return total


@triton.jit
def _convolution(taps_ptr, bias_ptr, out_ptr, in_height, in_width, height, width, outputs, SAMPLES: tl.constexpr,
                 WINDOW: tl.constexpr, BLOCK: tl.constexpr):  # fmt: skip
    columns = tl.program_id(0) * SAMPLES + tl.arange(0, SAMPLES)
    row = tl.program_id(1)
    view = tl.program_id(2).to(tl.int64)
    o = tl.arange(0, BLOCK)
    taps_ptr += view * in_height * in_width * 9 * outputs
    total = _gather_window(taps_ptr, row, tl.program_id(0) * SAMPLES, o, in_height, in_width, height, width, outputs,
                           SAMPLES, WINDOW, BLOCK)  # fmt: skip
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
    """The kernel behind :func:`depthport.exporters.da3.kernels.upsampled.upsampled_convolution`."""
    taps = taps.contiguous()
    views, in_height, in_width, _ = taps.shape
    outputs = bias.shape[0]
    out = taps.new_empty(views, height, width, outputs)
    _convolution[(triton.cdiv(width, CONVOLUTION_SAMPLES), height, views)](
        taps, bias, out, in_height, in_width, height, width, outputs,
        SAMPLES=CONVOLUTION_SAMPLES, WINDOW=window(CONVOLUTION_SAMPLES, in_width, width), BLOCK=_block(outputs),
        num_warps=CONVOLUTION_WARPS,
    )  # fmt: skip
    return out


def upsampled_depth(
    taps: Tensor, bias: Tensor, rows: Tensor, columns: Tensor, weight: Tensor, weight_bias: Tensor
) -> tuple[Tensor, Tensor]:
    """The kernel behind :func:`depthport.exporters.da3.kernels.upsampled.upsampled_depth`."""
    taps = taps.contiguous()
    views, in_height, in_width, _ = taps.shape
    outputs, height, width = bias.shape[0], rows.shape[1], columns.shape[1]
    depth = torch.empty((views, height, width), dtype=torch.float32, device=taps.device)
    confidence = torch.empty_like(depth)
    _depth[(triton.cdiv(width, DEPTH_SAMPLES), height, views)](
        taps, bias, rows, columns, weight, weight_bias, depth, confidence, in_height, in_width, height, width, outputs,
        SAMPLES=DEPTH_SAMPLES, BLOCK=triton.next_power_of_2(outputs), num_warps=DEPTH_WARPS,
    )  # fmt: skip
    return depth, confidence


def window(samples: int, inputs: int, outputs: int) -> int:
    """Inputs that a run of `samples` outputs and its two neighbours can read, to a size that products take.

    The run spans (samples + 1) steps of (inputs - 1) / (outputs - 1) inputs, begins within an input and reads one more.
    """
    reach = math.ceil((samples + 1) * (inputs - 1) / max(outputs - 1, 1)) + 2
    found: int = max(_LEAST, triton.next_power_of_2(reach))
    return found


def _block(outputs: int) -> int:
    found: int = max(_LEAST, triton.next_power_of_2(outputs))
    return found
