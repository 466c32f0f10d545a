"""The backbone for any number of views and any size.

:mod:`depthport.exporters.da3.static.backbone` says what it computes.

The reference-view rule is arithmetic here: with fewer than three views the choice is masked to view 0. Views are not
reordered: attention does not see their order, so giving the reference view its own camera token is the same function up
to the order of summation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from depthport.exporters.da3.dynamic.positions import PositionEmbedding, RopeTables
from depthport.exporters.da3.dynamic.sizes import number
from depthport.exporters.da3.shapes import PATCH
from depthport.exporters.da3.static.backbone import Features
from depthport.exporters.da3.static.blocks import Block
from depthport.exporters.da3.static.layers import Norm, adopt, cast
from depthport.exporters.da3.static.reference_view import MIN_VIEWS, view_score

if TYPE_CHECKING:
    from depthport.exporters.da3.parts import BackboneParts


class DynamicBackbone(nn.Module):
    """Images to features, for a shape known at run time."""

    prefix: Tensor
    """(1, C): class token with its position."""
    camera_tokens: Tensor
    """(2, C): of the reference view and of the others."""

    def __init__(self, source: BackboneParts, out_layers: list[int], dtype: torch.dtype) -> None:
        super().__init__()
        self.out_layers = tuple(out_layers)
        self.alternate_from = source.alt_start
        self.rope_from = source.rope_start
        self.patch_embed = adopt(source.patch_embed.proj, dtype)
        prefix = source.cls_token.detach()[0] + source.pos_embed.detach()[0, :1]
        self.register_buffer("prefix", prefix.float(), persistent=False)
        self.register_buffer("camera_tokens", source.camera_token.detach()[0].float(), persistent=False)
        self.positions = PositionEmbedding(source)
        self.rope = RopeTables(source.embed_dim // source.num_heads, source.rope.base_frequency)
        self.blocks = nn.ModuleList(Block(block, dtype) for block in source.blocks)
        self.norm = Norm(source.norm)

    def forward(self, image: Tensor, known: Tensor | None = None) -> Features:
        """Same as :meth:`depthport.exporters.da3.static.backbone.Backbone.forward`."""
        batch, views = image.shape[:2]
        rows = torch.arange(image.shape[-2] // PATCH, device=image.device)
        columns = torch.arange(image.shape[-1] // PATCH, device=image.device)
        local_rope, global_rope = self.rope(rows, columns)
        patches = cast(self.patch_embed(cast(image.flatten(0, 1), self.patch_embed.weight.dtype)), torch.float32)
        patches = patches.flatten(2).transpose(1, 2) + self.positions(rows, columns)
        x = torch.cat((self.prefix.expand(patches.shape[0], -1, -1), patches), dim=1)
        local, found, camera = x, [], x[:, 0]
        reference = image[:, 0, 0, 0, 0].long() * 0
        for index, block in enumerate(self.blocks):
            if index == self.alternate_from - 1 and known is None:
                reference = _reference_view(x[:, 0].unflatten(0, (batch, views)))
            if index == self.alternate_from:
                tokens = self._camera_tokens(reference, views) if known is None else known
                x = torch.cat((tokens.flatten(0, 1).unsqueeze(1), x[:, 1:]), dim=1)
            across = index >= self.alternate_from and index % 2 == 1
            rope = (global_rope if across else local_rope) if index >= self.rope_from else None
            x = block(x, batch if across else x.shape[0], rope)
            if not across:
                local = x
            if index in self.out_layers:
                found.append(torch.cat((local[:, 1:], self.norm(x[:, 1:])), dim=-1))
                camera = torch.cat((local[:, 0], x[:, 0]), dim=-1)
        return Features(found, camera, reference)

    def _camera_tokens(self, reference: Tensor, views: int) -> Tensor:
        """(B, N, C)."""
        chosen = torch.arange(views, device=reference.device) == reference.unsqueeze(-1)
        return torch.where(chosen.unsqueeze(-1), self.camera_tokens[0], self.camera_tokens[1])


def _reference_view(class_tokens: Tensor) -> Tensor:
    """(B, N, C) to (B,) int64: the view with the lowest score, view 0 of fewer than three."""
    views = number(class_tokens.shape[1], class_tokens)
    chosen = view_score(class_tokens, 1.0 / (views - 1).clamp(min=1).float()).argmin(dim=1)
    return torch.where(views >= MIN_VIEWS, chosen, 0)
