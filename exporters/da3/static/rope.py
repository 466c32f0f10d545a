"""Rotary position embedding of a patch grid (2-D RoPE) as constant tables.

Source: upstream's `model/dinov2/layers/rope.py` (base frequency 100). Half of a head's channels rotate with the
token's row, half with its column. Upstream looks positions up at run time (`int(positions.max())` synchronises the
device and breaks graph capture); for a fixed grid they are constants.

Blocks alternate between two sets of positions: *local* attention within a view numbers the patches (1 + row,
1 + column); *global* attention across views puts every patch at (1, 1), so that it only tells patches from the class
or camera token, which is at (0, 0) in both.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class RopeTable(NamedTuple):
    """Factors of shape (T, 1, D), T tokens of a view and D channels of a head, broadcast over the heads."""

    cos: Tensor
    sin: Tensor
    """Sine with the sign of the rotation folded in: negative where the partner channel is subtracted."""


def local_table(grid: tuple[int, int], head_dim: int, base: float) -> RopeTable:
    """Table of attention within a view, for a grid of (rows, columns) patches."""
    rows, columns = grid
    y, x = torch.meshgrid(torch.arange(rows) + 1, torch.arange(columns) + 1, indexing="ij")
    return _table(y.reshape(-1), x.reshape(-1), head_dim, base)


def global_table(grid: tuple[int, int], head_dim: int, base: float) -> RopeTable:
    """Table of attention across views, for a grid of (rows, columns) patches."""
    ones = torch.ones(grid[0] * grid[1], dtype=torch.int64)
    return _table(ones, ones, head_dim, base)


def apply_rope(x: Tensor, table: RopeTable) -> Tensor:
    """Rotate (..., T, heads, D), in the dtype of `x` and the table."""
    a, b, c, d = x.chunk(4, dim=-1)
    return x * table.cos + torch.cat((b, a, d, c), dim=-1) * table.sin


def axis_factors(position: Tensor, head_dim: int, base: float) -> tuple[Tensor, Tensor]:
    """Cosine and signed sine (P, D/2) of positions (P,) along one axis."""
    axis_dim = head_dim // 2
    inverse_frequency = 1.0 / base ** (torch.arange(0, axis_dim, 2, dtype=torch.float32) / axis_dim)
    angle = position.float()[:, None] * inverse_frequency
    return torch.cat((angle.cos(), angle.cos()), dim=-1), torch.cat((-angle.sin(), angle.sin()), dim=-1)


def _table(y: Tensor, x: Tensor, head_dim: int, base: float) -> RopeTable:
    """Factors for patches at rows `y` and columns `x` (P,), preceded by the special token at (0, 0)."""
    axes = [axis_factors(torch.cat((p.new_zeros(1), p)), head_dim, base) for p in (y, x)]
    cos, sin = (torch.cat(parts, dim=-1)[:, None] for parts in zip(*axes, strict=True))
    return RopeTable(cos, sin)
