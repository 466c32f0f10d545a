"""The backbone with fused operators: the same function as :class:`depthport.exporters.da3.static.backbone.Backbone`.

What differs, all exact in real arithmetic:

- The sum of a block's two residual branches waits for the LayerNorm that follows them, and both are one pass over the
  stream; the norm between the branches adds the first for itself.
- Attention reads its values where the joint product left them; queries and keys carry the softmax's scale.
- Views stay in their order. Upstream moves the reference view to the front and back; attention does not tell views
  apart by their order, only by which of them has the reference's camera token.
- The head's first LayerNorm is computed along with the backbone's last.
- The views of a scene may be spread over several cards (:mod:`depthport.exporters.da3.fused.cards`): blocks across views
  then exchange heads, and everything else stays where its views are.
"""

from __future__ import annotations

import math
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from depthport.exporters.core.errors import UnsupportedError
from depthport.exporters.da3.fused.cards import Cards
from depthport.exporters.da3.kernels import (
    attention,
    branch_norm,
    feature_norm,
    linear_gelu,
    qk_norm_rope,
    qkv_by_card,
    residual_norm,
    select_reference_view,
)
from depthport.exporters.da3.kernels.attention import LOG2_E, exponent_bound, exponent_limit
from depthport.exporters.da3.shapes import PATCH
from depthport.exporters.da3.static import blocks as portable
from depthport.exporters.da3.static.backbone import Backbone
from depthport.exporters.da3.static.layers import adopt, parameter
from depthport.exporters.da3.static.reference_view import MIN_VIEWS
from depthport.exporters.da3.static.rope import RopeTable

ALIGNMENT = 8
"""Columns of a matrix product's operand are padded to a multiple of this: 16 bytes, what tensor cores load at once."""


class FusedFeatures(NamedTuple):
    """Input of the heads."""

    patches: list[Tensor]
    """Four (V, P, 2C) in the dtype of the head, after its LayerNorm."""
    camera: Tensor
    """(V, 2C) fp32."""
    reference_view: Tensor
    """(B,) int64."""


class FusedAttention(nn.Module):
    """Multi-head self-attention within groups of tokens; with or without QK-norm and rotary embedding."""

    q_norm: nn.LayerNorm | None
    k_norm: nn.LayerNorm | None

    def __init__(self, source: portable.Attention, dtype: torch.dtype) -> None:
        super().__init__()
        self.heads = source.heads
        self.head_dim = source.qkv.in_features // source.heads
        self.qkv = adopt(source.qkv, dtype)
        self.proj = adopt(source.proj, dtype)
        self.q_norm = source.q_norm.norm if source.q_norm is not None else None
        self.k_norm = source.k_norm.norm if source.k_norm is not None else None
        self.scale = LOG2_E / math.sqrt(self.head_dim)
        self.bounded = False
        if self.q_norm is not None and self.k_norm is not None:
            q, k = self.q_norm, self.k_norm
            bound = exponent_bound(q.weight, q.bias, k.weight, k.bias, self.scale)
            self.bounded = bound <= exponent_limit(dtype)

    def forward(self, qkv: Tensor, groups: int, rope: RopeTable | None) -> Tensor:
        """Attend from the joint product (V, T, 3C) to the input of `proj` (V, T, C).

        `groups` and `rope` are those of :meth:`depthport.exporters.da3.static.blocks.Attention.forward`.
        """
        views, tokens, _ = qkv.shape
        q, k, v = qkv.view(views, tokens, 3, self.heads, self.head_dim).unbind(2)
        scale = self.scale
        if self.q_norm is not None and self.k_norm is not None and rope is not None:
            q, k = qk_norm_rope(qkv, self.heads, *self._norms(), *rope, scale)
            scale = 1.0
        shape = (groups, views // groups * tokens, self.heads, self.head_dim)
        mixed = attention(q.view(shape), k.view(shape), v.view(shape), scale, self.bounded)
        joined: Tensor = mixed.view(views, tokens, -1)
        return joined

    def by_card(self, qkv: Tensor, cards: int, rope: RopeTable) -> Tensor:
        """The joint product of this card's views to what each card of several gets, (cards, V, T, 3, heads / cards, D)."""
        found: Tensor = qkv_by_card(qkv, self.heads, cards, *self._norms(), *rope, self.scale)
        return found

    def share(self, qkv: Tensor) -> Tensor:
        """Attention of this card's share of the heads over all views: (N, T, 3, heads / cards, D) to the same without 3."""
        q, k, v = (part.flatten(0, 1).unsqueeze(0) for part in qkv.unbind(2))
        found: Tensor = attention(q, k, v, 1.0, self.bounded).view(qkv.shape[:2] + qkv.shape[3:])
        return found

    def _norms(self) -> tuple[Tensor, Tensor, Tensor, Tensor, float]:
        q, k = self.q_norm, self.k_norm
        assert q is not None and k is not None
        return q.weight, q.bias, k.weight, k.bias, q.eps


class FusedBlock(nn.Module):
    """The parts of a block; :class:`FusedBackbone` adds its branches to the stream."""

    norm1: nn.LayerNorm
    norm2: nn.LayerNorm
    scale1: nn.Parameter
    scale2: nn.Parameter

    def __init__(self, source: portable.Block, dtype: torch.dtype) -> None:
        super().__init__()
        self.norm1, self.norm2 = source.norm1.norm, source.norm2.norm
        self.scale1, self.scale2 = source.scale1, source.scale2
        self.attn = FusedAttention(source.attn, dtype)
        if not isinstance(source.mlp, portable.Mlp):
            raise UnsupportedError("the fused kernels have no SwiGLU blocks: leave out the target for da3-giant")
        self.fc1, self.fc2 = adopt(source.mlp.fc1, dtype), adopt(source.mlp.fc2, dtype)


class FusedBackbone(nn.Module):
    """Images to features, for one shape."""

    prefix: Tensor
    positions: Tensor
    camera_tokens: Tensor
    """(2, C), the reference view's and that of all others; (1, C) for a single view."""
    cards: Cards | None
    """GPUs that share a scene; None: this one has all views."""
    local_cos: Tensor
    local_sin: Tensor
    global_cos: Tensor
    global_sin: Tensor
    norm: nn.LayerNorm
    head_norm: nn.LayerNorm

    def __init__(self, source: Backbone, head_norm: nn.LayerNorm, dtype: torch.dtype, head_dtype: torch.dtype) -> None:
        super().__init__()
        self.out_layers, self.alternate_from, self.rope_from = (
            source.out_layers, source.alternate_from, source.rope_from,
        )  # fmt: skip
        blocks = cast("list[portable.Block]", list(source.blocks))
        for index in self.out_layers:
            if not self._across(index) or self._across(index - 1):
                raise UnsupportedError("the fused network needs every output layer to follow one of local attention")
        if self.rope_from != next((i for i, b in enumerate(blocks) if b.attn.q_norm is not None), -1):
            raise UnsupportedError("the fused network needs QK-norm and rotary embedding in the same blocks")
        self.dtype, self.head_dtype = dtype, head_dtype
        self.patch_weight, self.patch_bias = _patch_matrix(source.patch_embed, dtype)
        self.register_buffer("prefix", source.prefix, persistent=False)
        self.register_buffer("positions", source.positions, persistent=False)
        self.register_buffer("camera_tokens", source.camera_tokens[:2, 0], persistent=False)
        self.cards = None
        self.blocks = nn.ModuleList(FusedBlock(block, dtype) for block in blocks)
        self.norm, self.head_norm = source.norm.norm, head_norm
        for name in ("local_cos", "local_sin", "global_cos", "global_sin"):
            self.register_buffer(name, getattr(source, name), persistent=False)

    def forward(self, image: Tensor) -> FusedFeatures:
        """(B, N, 3, H, W) fp32 to features of V = B·N views; with `cards` the N views of this one."""
        batch, views = image.shape[:2]
        blocks = cast("list[FusedBlock]", list(self.blocks))
        reference = torch.zeros(batch, dtype=torch.int64, device=image.device)
        x = self._embed(image.flatten(0, 1))
        y = blocks[0].norm1(x).to(self.dtype)
        camera: Tensor | None = None
        patches = []
        # No name may outlive its use, nor one of a single row of tokens: over many views each keeps hundreds of megabytes.
        for index, block in enumerate(blocks):
            # Here x is the block's input and y its norm.
            if index == self.alternate_from - 1 and (views if self.cards is None else self.cards.views) >= MIN_VIEWS:
                reference = self._reference(x[:, 0], batch)
            if index == self.alternate_from:
                token = self._camera_tokens(reference, views)
                x[:, 0] = token
                y[:, 0] = block.norm1(token).to(self.dtype)
            across = self._across(index)
            rope = self._rope(index, across)
            y = block.attn.qkv(y)
            if across and self.cards is not None:
                assert rope is not None
                y = block.attn.by_card(y, self.cards.count, rope)
                y = self.cards.spread_heads(y)
                y = block.attn.share(y)
                y = self.cards.collect_heads(y)
            else:
                y = block.attn(y, batch if across else batch * views, rope)
            mixed = block.attn.proj(y)
            norm = block.norm2
            y = branch_norm(x, mixed, block.scale1, norm.weight, norm.bias, norm.eps)
            y = linear_gelu(y, block.fc1.weight, block.fc1.bias)
            y = block.fc2(y)
            branches = (mixed, block.scale1, y, block.scale2)
            if index in self.out_layers:
                patches.append(self._feature(x, branches))
            if index == self.out_layers[-1]:
                first, scale1, second, scale2 = (part[..., 0, :] if part.dim() == 3 else part for part in branches)
                last = x[:, 0] + scale1 * first.float() + scale2 * second.float()
                camera = torch.cat((x[:, 0], last), dim=-1)
            if index + 1 < len(blocks):
                norm = blocks[index + 1].norm1
                x, y = residual_norm(x, *branches, norm.weight, norm.bias, norm.eps)
            del mixed, branches
        assert camera is not None
        return FusedFeatures(patches, camera, reference)

    def _reference(self, class_tokens: Tensor, batch: int) -> Tensor:
        """The reference view of each scene, from the class tokens (V, C) of this card's views."""
        tokens = class_tokens if self.cards is None else self.cards.gather(class_tokens)
        chosen: Tensor = select_reference_view(tokens.unflatten(0, (batch, -1)))
        return chosen

    def _across(self, index: int) -> bool:
        """Return whether a block attends across views."""
        return index >= self.alternate_from and index % 2 == 1

    def _rope(self, index: int, across: bool) -> RopeTable | None:
        if index < self.rope_from:
            return None
        return RopeTable(self.global_cos, self.global_sin) if across else RopeTable(self.local_cos, self.local_sin)

    def _feature(self, x: Tensor, branches: tuple[Tensor, Tensor, Tensor, Tensor]) -> Tensor:
        """Return the feature of a block across views: its input is the last state of attention within the view."""
        norm, head = self.norm, self.head_norm
        out: Tensor = feature_norm(
            x, x, *branches, norm.weight, norm.bias, norm.eps, head.weight, head.bias, head.eps,
            self.head_dtype,
        )  # fmt: skip
        return out

    def _camera_tokens(self, reference: Tensor, views: int) -> Tensor:
        """(V, C): in each scene the reference view's token, and that of all others."""
        first = 0 if self.cards is None else self.cards.first
        chosen = torch.arange(first, first + views, device=reference.device) == reference.unsqueeze(-1)
        return torch.where(chosen.unsqueeze(-1), self.camera_tokens[0], self.camera_tokens[-1]).flatten(0, 1)

    def _embed(self, image: Tensor) -> Tensor:
        """(V, 3, H, W) to tokens (V, T, C) fp32; the patch convolution is a matrix product of unfolded patches."""
        views, _, height, width = image.shape
        rows, columns = height // PATCH, width // PATCH
        patches = image.to(self.dtype).view(views, 3, rows, PATCH, columns, PATCH).permute(0, 2, 4, 1, 3, 5)
        patches = patches.reshape(views, rows * columns, -1)
        patches = F.pad(patches, (0, self.patch_weight.shape[1] - patches.shape[-1]))
        patches = F.linear(patches, self.patch_weight, self.patch_bias) + self.positions
        return torch.cat((self.prefix.expand(views, -1, -1), patches), dim=1)


def _patch_matrix(convolution: nn.Conv2d, dtype: torch.dtype) -> tuple[nn.Parameter, nn.Parameter]:
    """The patch convolution's weight as a matrix (C, 3·14·14, padded with zeros), and its bias."""
    matrix = convolution.weight.detach().flatten(1)
    padding = -matrix.shape[1] % ALIGNMENT
    assert convolution.bias is not None
    return parameter(F.pad(matrix, (0, padding)), dtype), parameter(convolution.bias, dtype)
