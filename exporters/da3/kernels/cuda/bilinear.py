# mypy: allow-untyped-defs, allow-incomplete-defs
"""Bilinear sampling with corners aligned, for Triton kernels."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def source(position, inputs, outputs):
    """Return the place of output sample `position` of `outputs` among `inputs` samples.

    It is the lower index, the upper index, and the weight of the upper one, computed as PyTorch does
    (`area_pixel_compute_source_index`).
    """
    scale = (inputs - 1).to(tl.float32) / tl.maximum(outputs - 1, 1).to(tl.float32)
    real = tl.minimum(tl.maximum(position, 0), outputs - 1).to(tl.float32) * scale
    lower = real.to(tl.int32)
    upper = tl.minimum(lower + 1, inputs - 1)
    return lower, upper, real - lower.to(tl.float32)
