"""A backbone whose camera tokens stay fp32 while the patches go in 16 bits.

Poses are read from one token a view, and a rounding of its own row is not averaged over a thousand others: with every
product in bf16 half of the camera's error is that row's (exporters/quantization/README.md). So the camera token is kept
apart from the patches, as a stream of one token a view that every layer computes in fp32 from fp32 weights; the two meet
in attention alone, where patches see the rounded camera token and the camera token sees the rounded patches. Apart, the
token costs a product of one row a view; put back into the patches' tensor, it would cost a copy of that at every layer.

In exact arithmetic this is :class:`~depthport.exporters.da3.static.backbone.Backbone`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from depthport.exporters.da3.parts import BlockParts
from depthport.exporters.da3.shapes import NetworkShape
from depthport.exporters.da3.static.backbone import Backbone, Features
from depthport.exporters.da3.static.blocks import Block
from depthport.exporters.da3.static.layers import adopt, apply
from depthport.exporters.da3.static.layers import cast as to_dtype
from depthport.exporters.da3.static.reference_view import MIN_VIEWS, original_order, reference_first, select_reference_view
from depthport.exporters.da3.static.rope import RopeTable

if TYPE_CHECKING:
    from depthport.exporters.da3.parts import BackboneParts


class SplitBlock(Block):
    """A block whose own layers compute the patches, and whose `camera` computes the camera token in fp32.

    Where `exact` is false, its own layers compute both: one copy of the weights less.
    """

    def __init__(self, source: BlockParts, dtype: torch.dtype, exact: bool) -> None:
        super().__init__(source, dtype)
        self.camera = Block(source, torch.float32) if exact else None

    def split(
        self, patches: Tensor, camera: Tensor, groups: int, rope: tuple[RopeTable, RopeTable] | None
    ) -> tuple[Tensor, Tensor]:
        """(V, P, C) and (V, 1, C), both fp32, to the same after the block.

        `groups` as :meth:`~depthport.exporters.da3.static.blocks.Attention.forward` takes it; `rope` of the patches and
        of the camera token.
        """
        row: Block = self if self.camera is None else self.camera
        many, one = self.attn, row.attn
        parts = many.heads_of(self.norm1(patches), rope[0] if rope else None)
        own = one.heads_of(row.norm1(camera), rope[1] if rope else None)
        q, k, v = (many.grouped(part, groups) for part in parts)
        camera_q, camera_k, camera_v = (one.grouped(part, groups) for part in own)
        # The order of keys is nothing to attention.
        k, v = (torch.cat((x, to_dtype(y, x.dtype)), dim=2) for x, y in ((k, camera_k), (v, camera_v)))
        seen = many.kernel(q, k, v).transpose(1, 2).reshape(patches.shape)
        seen_by_camera = one.kernel(camera_q, to_dtype(k, one.dtype), to_dtype(v, one.dtype))
        attended = seen_by_camera.transpose(1, 2).reshape(camera.shape)
        patches = patches + to_dtype(apply(many.proj, seen), torch.float32) * self.scale1
        camera = camera + to_dtype(apply(one.proj, attended), torch.float32) * row.scale1
        patches = patches + to_dtype(self.mlp(self.norm2(patches)), torch.float32) * self.scale2
        return patches, camera + to_dtype(row.mlp(row.norm2(camera)), torch.float32) * row.scale2


class SplitBackbone(Backbone):
    """:class:`~depthport.exporters.da3.static.backbone.Backbone` with the camera tokens kept apart, in fp32."""

    def __init__(self, source: BackboneParts, out_layers: list[int], shape: NetworkShape, dtype: torch.dtype) -> None:
        super().__init__(source, out_layers, shape, dtype)
        # In bf16 it alone turns a camera by half a degree (README.md), for 1 % of the arithmetic.
        self.patch_embed = adopt(source.patch_embed.proj)
        # Before the camera token is set the row is the class token, which the choice of a reference view alone reads.
        first = 0 if shape.views >= MIN_VIEWS else source.alt_start
        self.blocks = nn.ModuleList(SplitBlock(block, dtype, index >= first) for index, block in enumerate(source.blocks))

    def forward(self, image: Tensor, known: Tensor | None = None) -> Features:
        """As :meth:`Backbone.forward`."""
        batch, views = image.shape[:2]
        patches = self._patches(image.flatten(0, 1))
        camera = self.prefix.expand(batch * views, -1, -1)
        local, tables = (patches, camera), {name: self._tables(name) for name in ("local", "global")}
        reference = torch.zeros(batch, dtype=torch.int64, device=image.device)
        restore: Tensor | None = None
        maps, poses = [], camera[:, 0]
        for index, block in enumerate(self.blocks):
            if index == self.alternate_from - 1 and views >= MIN_VIEWS and known is None:
                reference = select_reference_view(camera[:, 0].unflatten(0, (batch, views)))
                order = reference_first(reference, views)
                patches, camera = patches.index_select(0, order), camera.index_select(0, order)
                restore = original_order(reference, views)
            if index == self.alternate_from:
                camera = self._camera_tokens(batch, known)
            across = index >= self.alternate_from and index % 2 == 1
            rope = tables["global" if across else "local"] if index >= self.rope_from else None
            patches, camera = cast(SplitBlock, block).split(patches, camera, batch if across else batch * views, rope)
            if not across:
                local = (patches, camera)
            if index in self.out_layers:
                feature = torch.cat((local[0], self.norm(patches)), dim=-1)
                poses = torch.cat((local[1], camera), dim=-1)[:, 0]
                if restore is not None:
                    feature, poses = feature.index_select(0, restore), poses.index_select(0, restore)
                maps.append(feature)
        return Features(maps, poses, reference)

    def _tables(self, name: str) -> tuple[RopeTable, RopeTable]:
        """Of the patches, and of the camera token."""
        cos, sin = self._table(name)
        return RopeTable(cos[1:], sin[1:]), RopeTable(cos[:1], sin[:1])
