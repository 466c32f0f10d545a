# mypy: allow-untyped-defs, allow-incomplete-defs
"""Triton kernel of :mod:`depthport.exporters.da3.kernels.pose`: one program a view, all in scalars."""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor


@triton.jit
def _pose_matrices(encoding_ptr, extrinsics_ptr, intrinsics_ptr, half_height, half_width):
    view = tl.program_id(0)
    source = encoding_ptr + view * 9
    x, y, z = tl.load(source), tl.load(source + 1), tl.load(source + 2)
    i, j = tl.load(source + 3), tl.load(source + 4)
    k, r = tl.load(source + 5), tl.load(source + 6)
    s = 2.0 / (i * i + j * j + k * k + r * r)
    m00, m01, m02 = 1.0 - s * (j * j + k * k), s * (i * j + k * r), s * (i * k - j * r)
    m10, m11, m12 = s * (i * j - k * r), 1.0 - s * (i * i + k * k), s * (j * k + i * r)
    m20, m21, m22 = s * (i * k + j * r), s * (j * k - i * r), 1.0 - s * (i * i + j * j)
    target = extrinsics_ptr + view * 12
    tl.store(target, m00)
    tl.store(target + 1, m01)
    tl.store(target + 2, m02)
    tl.store(target + 3, -(m00 * x + m01 * y + m02 * z))
    tl.store(target + 4, m10)
    tl.store(target + 5, m11)
    tl.store(target + 6, m12)
    tl.store(target + 7, -(m10 * x + m11 * y + m12 * z))
    tl.store(target + 8, m20)
    tl.store(target + 9, m21)
    tl.store(target + 10, m22)
    tl.store(target + 11, -(m20 * x + m21 * y + m22 * z))
    vertical, horizontal = tl.load(source + 7) * 0.5, tl.load(source + 8) * 0.5
    focal_y = half_height / tl.maximum(tl.sin(vertical) / tl.cos(vertical), 1e-6)
    focal_x = half_width / tl.maximum(tl.sin(horizontal) / tl.cos(horizontal), 1e-6)
    target = intrinsics_ptr + view * 9
    tl.store(target, focal_x)
    tl.store(target + 1, 0.0)
    tl.store(target + 2, half_width)
    tl.store(target + 3, 0.0)
    tl.store(target + 4, focal_y)
    tl.store(target + 5, half_height)
    tl.store(target + 6, 0.0)
    tl.store(target + 7, 0.0)
    tl.store(target + 8, 1.0)


def pose_matrices(encoding: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """The kernel behind :func:`depthport.exporters.da3.kernels.pose.pose_matrices`."""
    encoding = encoding.contiguous()
    batch, views, _ = encoding.shape
    extrinsics, intrinsics = encoding.new_empty(batch, views, 3, 4), encoding.new_empty(batch, views, 3, 3)
    _pose_matrices[(batch * views,)](encoding, extrinsics, intrinsics, height / 2, width / 2, num_warps=1)
    return extrinsics, intrinsics
