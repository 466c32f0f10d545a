"""Sizes of the graph as numbers to compute with."""

from __future__ import annotations

import torch
from torch import Tensor


def number(size: int, like: Tensor) -> Tensor:
    """(1,) int64: `size`, which may be symbolic, on the device of `like`."""
    return torch.full((1,), size, dtype=torch.int64, device=like.device)
