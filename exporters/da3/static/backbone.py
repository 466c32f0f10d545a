"""The backbone: DINOv2 whose later blocks alternate between attention within a view and across views.

Source: `get_intermediate_layers` and what it calls in upstream's `model/dinov2/vision_transformer.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn

from depthport.exporters.da3.shapes import NetworkShape
from depthport.exporters.da3.static.blocks import Block
from depthport.exporters.da3.static.layers import Norm, adopt, cast
from depthport.exporters.da3.static.positions import position_embedding
from depthport.exporters.da3.static.reference_view import MIN_VIEWS, original_order, reference_first, select_reference_view
from depthport.exporters.da3.static.rope import RopeTable, global_table, local_table

if TYPE_CHECKING:
    from depthport.exporters.da3.parts import BackboneParts


class Features(NamedTuple):
    """Input of the heads."""

    patches: list[Tensor]
    """Four (V, P, 2C) fp32: the last view-local state beside the normalised current state of each patch."""
    camera: Tensor
    """(V, 2C) fp32: the same two states of the camera token after the last block, not normalised."""
    reference_view: Tensor
    """(B,) int64."""


class Embedding(nn.Module):
    """Images to DINOv2's tokens, for one shape."""

    prefix: Tensor
    """(1, 1, C): class token with its position."""
    positions: Tensor
    """(1, P, C)."""

    def __init__(self, source: BackboneParts, shape: NetworkShape, dtype: torch.dtype) -> None:
        super().__init__()
        self.patch_embed = adopt(source.patch_embed.proj, dtype)
        embedding = position_embedding(source, shape.grid)
        self.register_buffer("prefix", source.cls_token.detach() + embedding[:, :1], persistent=False)
        self.register_buffer("positions", embedding[:, 1:].contiguous(), persistent=False)

    def _embed(self, images: Tensor) -> Tensor:
        """(V, 3, H, W) fp32 to tokens (V, T, C) fp32."""
        patches = self._patches(images)
        return torch.cat((self.prefix.expand(patches.shape[0], -1, -1), patches), dim=1)

    def _patches(self, images: Tensor) -> Tensor:
        """(V, 3, H, W) fp32 to the patches' tokens (V, P, C) fp32."""
        patches = self.patch_embed(cast(images, self.patch_embed.weight.dtype)).flatten(2).transpose(1, 2)
        return cast(patches, torch.float32) + self.positions


class Backbone(Embedding):
    """Images to features, for one shape."""

    camera_tokens: Tensor
    """(N, 1, C)."""

    def __init__(self, source: BackboneParts, out_layers: list[int], shape: NetworkShape, dtype: torch.dtype) -> None:
        super().__init__(source, shape, dtype)
        self.out_layers = tuple(out_layers)
        self.alternate_from = source.alt_start
        # In each scene the reference view comes first; all others share one token.
        camera_tokens = source.camera_token.detach()[0, [0] + [1] * (shape.views - 1)]
        self.register_buffer("camera_tokens", camera_tokens.unsqueeze(1), persistent=False)
        self.blocks = nn.ModuleList(Block(block, dtype) for block in source.blocks)
        self.norm = Norm(source.norm)
        head_dim = source.embed_dim // source.num_heads
        for name, make in (("local", local_table), ("global", global_table)):
            table = make(shape.grid, head_dim, source.rope.base_frequency)
            self.register_buffer(f"{name}_cos", table.cos, persistent=False)
            self.register_buffer(f"{name}_sin", table.sin, persistent=False)
        self.rope_from = source.rope_start

    def forward(self, image: Tensor, known: Tensor | None = None) -> Features:
        """(B, N, 3, H, W) fp32 to features of V = B·N views.

        `known`, the camera tokens (B, N, C) of known poses, takes the place of the learned ones; upstream then chooses
        no reference view, whatever the number of views.
        """
        batch, views = image.shape[:2]
        x = self._embed(image.flatten(0, 1))
        local, local_rope, global_rope = x, self._table("local"), self._table("global")
        reference = torch.zeros(batch, dtype=torch.int64, device=image.device)
        restore: Tensor | None = None
        patches, camera = [], x[:, 0]
        for index, block in enumerate(self.blocks):
            if index == self.alternate_from - 1 and views >= MIN_VIEWS and known is None:
                reference = select_reference_view(x[:, 0].unflatten(0, (batch, views)))
                x = x.index_select(0, reference_first(reference, views))
                restore = original_order(reference, views)
            if index == self.alternate_from:
                x = torch.cat((self._camera_tokens(batch, known), x[:, 1:]), dim=1)
            across = index >= self.alternate_from and index % 2 == 1
            rope = (global_rope if across else local_rope) if index >= self.rope_from else None
            x = block(x, batch if across else batch * views, rope)
            if not across:
                local = x
            if index in self.out_layers:
                feature = torch.cat((local[:, 1:], self.norm(x[:, 1:])), dim=-1)
                camera = torch.cat((local[:, 0], x[:, 0]), dim=-1)
                if restore is not None:
                    feature, camera = feature.index_select(0, restore), camera.index_select(0, restore)
                patches.append(feature)
        return Features(patches, camera, reference)

    def _camera_tokens(self, batch: int, known: Tensor | None) -> Tensor:
        """(V, 1, C): the learned ones, or those of known poses (B, N, C)."""
        if known is None:
            return self.camera_tokens.expand(batch, -1, -1, -1).flatten(0, 1)
        return known.flatten(0, 1).unsqueeze(1)

    def _table(self, name: str) -> RopeTable:
        return RopeTable(getattr(self, f"{name}_cos"), getattr(self, f"{name}_sin"))
