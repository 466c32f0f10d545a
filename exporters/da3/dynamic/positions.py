"""Position embedding and RoPE tables of a patch grid whose size is known only at run time.

Position embedding: upstream resizes a square of M×M learned vectors by `interpolate(mode="bicubic", scale_factor=s)`
with s = (rows + 0.1) / M (`interpolate_pos_encoding`), which, unlike a resize to an output size, does not sample at the
centres of equal parts, and leaves a grid of M×M alone. Such a resize is a product with one matrix for each axis. PyTorch
itself gives the matrix of every number of rows, once, at export; a graph picks two of them: right to the bits of the
weights in every runtime, and a grid beyond the table fails instead of being wrong.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from depthport.exporters.da3.dynamic.sizes import number
from depthport.exporters.da3.static.rope import RopeTable, axis_factors

if TYPE_CHECKING:
    from depthport.exporters.da3.parts import BackboneParts

MAX_PATCHES = 72
"""Most patches along a side: 1,008 pixels."""


class PositionEmbedding(nn.Module):
    """The learned embedding of a grid's patches."""

    resizes: Tensor
    """(MAX_PATCHES + 1, MAX_PATCHES, M) fp32: the matrix to n samples, padded below; number 0 is the identity."""
    vectors: Tensor
    """(M, M·C)."""

    def __init__(self, source: BackboneParts) -> None:
        super().__init__()
        learned = source.pos_embed.detach().float()[0, 1:]
        self.side = round(learned.shape[0] ** 0.5)
        self.register_buffer("resizes", resize_matrices(self.side, source.interpolate_offset), persistent=False)
        self.register_buffer("vectors", learned.reshape(self.side, -1).contiguous(), persistent=False)

    def forward(self, rows: Tensor, columns: Tensor) -> Tensor:
        """(P, C) for a grid, from the indices of its rows (h,) and columns (w,)."""
        height, width = number(rows.shape[0], rows), number(columns.shape[0], columns)
        native = (height == self.side) & (width == self.side)
        down, across = (
            self.resizes.index_select(0, torch.where(native, 0, size)).squeeze(0).index_select(0, index)
            for index, size in ((rows, height), (columns, width))
        )
        resized = (down @ self.vectors).unflatten(-1, (self.side, -1))
        out: Tensor = (across @ resized).flatten(0, 1)
        return out


def resize_matrices(side: int, offset: float) -> Tensor:
    """:attr:`PositionEmbedding.resizes` for vectors along a side of `side`, by PyTorch's own bicubic resize."""
    matrices = torch.zeros(MAX_PATCHES + 1, MAX_PATCHES, side)
    identity = torch.eye(side)
    matrices[0, :side] = identity
    for samples in range(1, MAX_PATCHES + 1):
        # Along the second axis the factor is 1, which leaves every column as it is.
        size, factor = (None, (float(samples + offset) / side, 1.0)) if offset else ((samples, side), None)
        resized = F.interpolate(identity[None, None], size, factor, mode="bicubic")
        matrices[samples, :samples] = resized[0, 0]
    return matrices


class RopeTables(nn.Module):
    """Both tables of :mod:`depthport.exporters.da3.static.rope`, cut from the factors of every position along a side."""

    cos: Tensor
    sin: Tensor
    """(MAX_PATCHES + 1, D/2): factors of a position along one axis."""

    def __init__(self, head_dim: int, base: float) -> None:
        super().__init__()
        cos, sin = axis_factors(torch.arange(MAX_PATCHES + 1), head_dim, base)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)

    def forward(self, rows: Tensor, columns: Tensor) -> tuple[RopeTable, RopeTable]:
        """Local and global, for a grid with rows (h,) and columns (w,) of those indices."""
        (local_cos, global_cos), (local_sin, global_sin) = (
            self._tables(factors, rows, columns) for factors in (self.cos, self.sin)
        )
        return RopeTable(local_cos, local_sin), RopeTable(global_cos, global_sin)

    @staticmethod
    def _tables(factors: Tensor, rows: Tensor, columns: Tensor) -> tuple[Tensor, Tensor]:
        """(T, 1, D) of the patches' own positions, and with every patch at (1, 1)."""
        height, width = rows.shape[0], columns.shape[0]
        special = factors[:1].repeat(1, 2)
        vertical = factors.index_select(0, rows + 1).unsqueeze(1).expand(-1, width, -1)
        horizontal = factors.index_select(0, columns + 1).unsqueeze(0).expand(height, -1, -1)
        patches = torch.cat((vertical, horizontal), dim=-1).flatten(0, 1)
        same = factors[1:2].repeat(1, 2).expand(patches.shape[0], -1)
        return torch.cat((special, patches)).unsqueeze(1), torch.cat((special, same)).unsqueeze(1)
