"""LayerNorm and rotary embedding of queries and keys, with the softmax's scale folded into the queries."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from depthport.exporters.da3.kernels.op import operator
from depthport.exporters.da3.static.rope import RopeTable, apply_rope


def _queries_and_keys(qkv: Tensor, heads: int, q_weight: Tensor, *_: object) -> tuple[Tensor, Tensor]:
    shape = (*qkv.shape[:2], heads, q_weight.shape[0])
    return qkv.new_empty(shape), qkv.new_empty(shape)


@operator(_queries_and_keys)
def qk_norm_rope(
    qkv: Tensor,
    heads: int,
    q_weight: Tensor,
    q_bias: Tensor,
    k_weight: Tensor,
    k_bias: Tensor,
    eps: float,
    cos: Tensor,
    sin: Tensor,
    scale: float,
) -> tuple[Tensor, Tensor]:
    """Queries and keys as attention wants them, from the product with the joint weight.

    Args:
        qkv: (V, T, 3·heads·D), queries, keys and values side by side.
        heads: number of heads.
        q_weight, q_bias, k_weight, k_bias, eps: of the two LayerNorms over a head's channels; (D,) fp32.
        cos, sin: (T, 1, D) fp32 (:class:`depthport.exporters.da3.static.rope.RopeTable`).
        scale: multiplies the queries after everything else, before they are rounded.

    Returns:
        Queries and keys, each (V, T, heads, D) in the dtype of `qkv`; computed in fp32 and rounded once.
    """
    views, tokens, _ = qkv.shape
    q, k, _ = qkv.float().reshape(views, tokens, 3 * heads, -1).chunk(3, dim=2)
    table = RopeTable(cos, sin)
    q = apply_rope(F.layer_norm(q, q_weight.shape, q_weight, q_bias, eps), table) * scale
    k = apply_rope(F.layer_norm(k, k_weight.shape, k_weight, k_bias, eps), table)
    return q.to(qkv.dtype), k.to(qkv.dtype)


def _by_card(qkv: Tensor, heads: int, cards: int, q_weight: Tensor, *_: object) -> Tensor:
    return qkv.new_empty(cards, *qkv.shape[:2], 3, heads // cards, q_weight.shape[0])


@operator(_by_card)
def qkv_by_card(
    qkv: Tensor,
    heads: int,
    cards: int,
    q_weight: Tensor,
    q_bias: Tensor,
    k_weight: Tensor,
    k_bias: Tensor,
    eps: float,
    cos: Tensor,
    sin: Tensor,
    scale: float,
) -> Tensor:
    """:func:`qk_norm_rope`, with the values beside its results, laid out to be sent to the cards that share the heads.

    Args:
        cards: how many; a divisor of `heads`.

    Returns:
        (cards, V, T, 3, heads / cards, D), contiguous, in the dtype of `qkv`: what card 0 gets, then card 1.
    """
    views, tokens, _ = qkv.shape
    v = qkv.reshape(views, tokens, 3, heads, -1)[:, :, 2]
    q, k = qk_norm_rope(qkv, heads, q_weight, q_bias, k_weight, k_bias, eps, cos, sin, scale)
    found: Tensor = torch.stack((q, k, v), dim=2).unflatten(3, (cards, -1)).permute(3, 0, 1, 2, 4, 5).contiguous()
    return found
