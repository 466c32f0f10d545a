"""The head's UV position embedding, kept separable.

Source: upstream's `model/utils/head_utils.py` (`create_uv_grid`, `position_grid_to_embed`) and `_add_pos_embed` with
ratio 0.1. Half of the channels depend on the column only, the other half on the row only, so a map of it is never
stored: at full resolution da3-large's would take 130 MB.
"""

from __future__ import annotations

import torch
from torch import Tensor

RATIO = 0.1
OMEGA = 100.0


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


def convolved_uv(weight: Tensor, size: tuple[int, int], aspect: float) -> tuple[Tensor, Tensor]:
    """What a 3×3 convolution with zero padding makes of the embedding, as a product of two thin matrices.

    A convolution is linear: conv(x + e) = conv(x) + conv(e), and conv(e) is constant. It has far fewer channels than e
    but, through the zero padding, is no longer separable; it has rank 6. Each tap row dy contributes its response to
    the part by column in every row except those where the tap lies in the padding, and likewise for tap columns.

    Args:
        weight: (O, C, 3, 3) of the convolution.
        size, aspect: as :func:`uv_embedding` takes them.

    Returns:
        (O, height, 6) and (O, 6, width) fp32, whose product is conv(e), (O, height, width).
    """
    height, width = size
    column, row = uv_embedding(weight.shape[1], size, aspect)
    taps = weight.double()
    padded_column = torch.nn.functional.pad(column.double(), (1, 1)).unfold(1, 3, 1)
    padded_row = torch.nn.functional.pad(row.double(), (1, 1)).unfold(1, 3, 1)
    response_x = torch.einsum("ocyx,cwx->oyw", taps, padded_column)
    response_y = torch.einsum("ocyx,chy->ohx", taps, padded_row)
    outputs = weight.shape[0]
    left = torch.cat((_inside(height).expand(outputs, -1, -1), response_y), dim=-1)
    right = torch.cat((response_x, _inside(width).T.expand(outputs, -1, -1)), dim=1)
    return left.float().contiguous(), right.float().contiguous()


def _inside(length: int) -> Tensor:
    """(length, 3) of 1.0 where the tap at offset -1, 0, +1 of a sample lies within the map, else 0.0."""
    position = torch.arange(length)[:, None] + torch.tensor([-1, 0, 1])
    return ((position >= 0) & (position < length)).double()


def _coordinates(span: float, steps: int) -> Tensor:
    """Centres of `steps` equal cells that cover [-span, span]."""
    edge = span * (steps - 1) / steps
    return torch.linspace(-edge, edge, steps=steps)


def _sincos(channels: int, position: Tensor) -> Tensor:
    """(channels, P): sines, then cosines, of `position` (P,) at geometrically spaced frequencies."""
    omega = torch.arange(channels // 2, dtype=torch.float32)
    omega /= channels / 2.0
    angle = (1.0 / OMEGA**omega)[:, None] * position
    return torch.cat((angle.sin(), angle.cos()))
