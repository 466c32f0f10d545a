"""The tokens' learned position embedding, resized once to a patch grid."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from depthport.exporters.da3.shapes import PATCH

if TYPE_CHECKING:
    from depthport.exporters.da3.parts import BackboneParts


def position_embedding(backbone: BackboneParts, grid: tuple[int, int]) -> Tensor:
    """(1, T, C) fp32: the embedding of the class token and of every patch of a grid of (rows, columns).

    Evaluates upstream's own `interpolate_pos_encoding` (`model/dinov2/vision_transformer.py`): bicubic with a scale
    factor that carries DINOv2's historical 0.1 offset, which no resize to an output size reproduces.
    """
    rows, columns = grid
    embedding = backbone.pos_embed
    like = embedding.new_empty((1, 1 + rows * columns, embedding.shape[-1]), dtype=torch.float32)
    with torch.no_grad():
        resized: Tensor = backbone.interpolate_pos_encoding(like, rows * PATCH, columns * PATCH)
    return resized.detach().float()
