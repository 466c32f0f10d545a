"""A transformer block of the backbone (DINOv2 with QK-norm and RoPE), in a policy's dtype.

Source: upstream's `model/dinov2/layers/{block,attention,mlp,layer_scale}.py`. The residual stream is fp32 in every
policy and the branches are in the policy's dtype, which is what upstream's autocast amounts to.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from depthport.exporters.da3.parts import AttentionParts, BlockParts, MlpParts, SwiGluParts, is_mlp
from depthport.exporters.da3.static.layers import Norm, adopt, apply, cast, parameter
from depthport.exporters.da3.static.rope import RopeTable, apply_rope

AttentionKernel = Callable[[Tensor, Tensor, Tensor], Tensor]


def attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """softmax(q kᵀ / √D) v over (B, heads, L, D), statistics in fp32; the one place where attention is computed."""
    return F.scaled_dot_product_attention(q, k, v)


class Attention(nn.Module):
    """Multi-head self-attention within groups of tokens.

    `kernel` computes the attention proper; assign another function of the same signature to swap it.
    """

    kernel: AttentionKernel

    def __init__(self, source: AttentionParts, dtype: torch.dtype) -> None:
        super().__init__()
        self.heads = source.num_heads
        self.dtype = dtype
        self.kernel = attention
        self.qkv = adopt(source.qkv, dtype)
        self.proj = adopt(source.proj, dtype)
        # Normalised and rotated in fp32, rounded once for the kernel, as under autocast.
        self.q_norm = Norm(source.q_norm) if isinstance(source.q_norm, nn.LayerNorm) else None
        self.k_norm = Norm(source.k_norm) if isinstance(source.k_norm, nn.LayerNorm) else None

    def forward(self, x: Tensor, groups: int, rope: RopeTable | None) -> Tensor:
        """Attend.

        Args:
            x: (V, T, C), V views of T tokens, in the policy's dtype.
            groups: V for attention within each view; B for attention across the views of each of B scenes.
            rope: rotation of each of the T tokens.
        """
        views, tokens, channels = x.shape
        q, k, v = (self.grouped(part, groups) for part in self.heads_of(x, rope))
        return apply(self.proj, self.kernel(q, k, v).transpose(1, 2).reshape(views, tokens, channels))

    def heads_of(self, x: Tensor, rope: RopeTable | None) -> tuple[Tensor, Tensor, Tensor]:
        """q, k, v (V, T, heads, D) of `x` (V, T, C): q and k normalised and rotated, in fp32 where they are."""
        q, k, v = apply(self.qkv, x).reshape(*x.shape[:2], 3 * self.heads, -1).chunk(3, dim=2)
        if self.q_norm is not None and self.k_norm is not None:
            q, k = self.q_norm(q), self.k_norm(k)
        if rope is not None:
            q, k = apply_rope(q, rope), apply_rope(k, rope)
        return q, k, v

    def grouped(self, x: Tensor, groups: int) -> Tensor:
        """(V, T, heads, D) to what the kernel takes: (groups, heads, L, D) in the policy's dtype."""
        return cast(x, self.dtype).reshape(groups, -1, *x.shape[2:]).transpose(1, 2)


class Mlp(nn.Module):
    """Linear, GELU (exact), linear."""

    def __init__(self, source: MlpParts, dtype: torch.dtype) -> None:
        super().__init__()
        self.fc1 = adopt(source.fc1, dtype)
        self.fc2 = adopt(source.fc2, dtype)

    def forward(self, x: Tensor) -> Tensor:
        return apply(self.fc2, F.gelu(apply(self.fc1, x)))


class SwiGlu(nn.Module):
    """Linear to twice the width, SiLU of one half times the other, linear: the giant's feed-forward network.

    Source: upstream's `model/dinov2/layers/swiglu_ffn.py`, the plain path.
    """

    def __init__(self, source: SwiGluParts, dtype: torch.dtype) -> None:
        super().__init__()
        self.w12 = adopt(source.w12, dtype)
        self.w3 = adopt(source.w3, dtype)

    def forward(self, x: Tensor) -> Tensor:
        gate, value = apply(self.w12, x).chunk(2, dim=-1)
        return apply(self.w3, F.silu(gate) * value)


def feed_forward(source: MlpParts | SwiGluParts, dtype: torch.dtype) -> Mlp | SwiGlu:
    """The static form of a block's feed-forward network, of either kind."""
    return Mlp(source, dtype) if is_mlp(source) else SwiGlu(source, dtype)


class Block(nn.Module):
    """x + scale · attention(norm(x)), then x + scale · mlp(norm(x)), on an fp32 residual stream."""

    def __init__(self, source: BlockParts, dtype: torch.dtype) -> None:
        super().__init__()
        self.norm1 = Norm(source.norm1, dtype)
        self.attn = Attention(source.attn, dtype)
        self.scale1 = parameter(source.ls1.gamma)
        self.norm2 = Norm(source.norm2, dtype)
        self.mlp = feed_forward(source.mlp, dtype)
        self.scale2 = parameter(source.ls2.gamma)

    def forward(self, x: Tensor, groups: int, rope: RopeTable | None) -> Tensor:
        """(V, T, C) fp32 in and out; `groups` and `rope` as :meth:`Attention.forward` takes them."""
        x = x + cast(self.attn(self.norm1(x), groups, rope), torch.float32) * self.scale1
        return x + cast(self.mlp(self.norm2(x)), torch.float32) * self.scale2
