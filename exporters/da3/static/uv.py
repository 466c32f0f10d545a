"""The head's UV position embedding, kept separable.

Source: upstream's `model/utils/head_utils.py` (`create_uv_grid`, `position_grid_to_embed`) and `_add_pos_embed` with
ratio 0.1. Half of the channels depend on the column only, the other half on the row only, so a map of it is never
stored: at full resolution da3-large's would take 130 MB.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

RATIO = 0.1
OMEGA = 100.0


class UvEmbedding(nn.Module):
    """Adds the embedding to a map (V, C, h, w)."""

    by_column: Tensor
    by_row: Tensor

    def __init__(self, channels: int, size: tuple[int, int], aspect: float, dtype: torch.dtype) -> None:
        super().__init__()
        by_column, by_row = uv_embedding(channels, size, aspect)
        self.register_buffer("by_column", by_column[None, :, None, :].to(dtype), persistent=False)
        self.register_buffer("by_row", by_row[None, :, :, None].to(dtype), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.by_column + self.by_row


def uv_embedding(channels: int, size: tuple[int, int], aspect: float) -> tuple[Tensor, Tensor]:
    """The embedding of a map of (height, width) samples: a part by column and a part by row, to be added.

    Args:
        channels: C, a multiple of 4.
        size: (height, width) of the map.
        aspect: width / height of the image (not of the map).

    Returns:
        (C, width), zero in its second half of channels, and (C, height), zero in its first; fp32.
    """
    height, width = size
    diagonal = (aspect**2 + 1.0) ** 0.5
    zeros = torch.zeros
    by_column = _sincos(channels // 2, _coordinates(aspect / diagonal, width))
    by_row = _sincos(channels // 2, _coordinates(1.0 / diagonal, height))
    return (
        torch.cat((by_column, zeros(channels // 2, width))) * RATIO,
        torch.cat((zeros(channels // 2, height), by_row)) * RATIO,
    )


def _coordinates(span: float, steps: int) -> Tensor:
    """Centres of `steps` equal cells that cover [-span, span]."""
    edge = span * (steps - 1) / steps
    return torch.linspace(-edge, edge, steps=steps)


def _sincos(channels: int, position: Tensor) -> Tensor:
    """(channels, P): sines, then cosines, of `position` (P,) at geometrically spaced frequencies."""
    angle = frequencies(channels)[:, None] * position
    return torch.cat((angle.sin(), angle.cos()))


def frequencies(channels: int) -> Tensor:
    """(channels / 2,) angular frequencies, geometrically spaced from 1 down to almost 1 / OMEGA."""
    omega = torch.arange(channels // 2, dtype=torch.float32)
    omega /= channels / 2.0
    return 1.0 / OMEGA**omega
