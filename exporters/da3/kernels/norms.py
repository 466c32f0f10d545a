"""LayerNorm fused with what comes before it on the fp32 residual stream."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from depthport.exporters.da3.kernels.op import operator


@operator(lambda _x, branch, *_: torch.empty_like(branch))
def branch_norm(x: Tensor, branch: Tensor, scale: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    """LayerNorm of x + scale · branch, without the sum: :func:`residual_norm` makes it when the next branch is known.

    Args:
        x: (..., C) fp32, the residual stream.
        branch: (..., C) in the dtype of the matrix products.
        scale: (C,) fp32 (LayerScale).
        weight, bias, eps: of the LayerNorm; (C,) fp32.

    Returns:
        (..., C) in the dtype of `branch`.
    """
    return F.layer_norm(x + scale * branch.float(), weight.shape, weight, bias, eps).to(branch.dtype)


@operator(lambda x, branch, *_: (torch.empty_like(x), torch.empty_like(branch)))
def residual_norm(
    x: Tensor, branch1: Tensor, scale1: Tensor, branch2: Tensor, scale2: Tensor, weight: Tensor, bias: Tensor, eps: float
) -> tuple[Tensor, Tensor]:
    """X + scale1 · branch1 + scale2 · branch2, and its LayerNorm.

    Both branches of a block at once: the stream, twice as wide as anything else, is written once a block.

    Args:
        x, weight, bias, eps: as :func:`branch_norm` takes them.
        branch1, scale1, branch2, scale2: two branches and their scales, likewise.

    Returns:
        The sum (..., C) fp32, and its norm (..., C) in the dtype of the branches.
    """
    total = x + scale1 * branch1.float() + scale2 * branch2.float()
    return total, F.layer_norm(total, weight.shape, weight, bias, eps).to(branch1.dtype)


def _feature_like(local: Tensor, *others: Any) -> Tensor:
    views, tokens, channels = local.shape
    return local.new_empty(views, tokens - 1, 2 * channels, dtype=others[-1])


@operator(_feature_like)
def feature_norm(
    local: Tensor,
    x: Tensor,
    branch1: Tensor,
    scale1: Tensor,
    branch2: Tensor,
    scale2: Tensor,
    weight: Tensor,
    bias: Tensor,
    eps: float,
    head_weight: Tensor,
    head_bias: Tensor,
    head_eps: float,
    dtype: torch.dtype,
) -> Tensor:
    """Features of one layer for the head: LayerNorm of (local, LayerNorm(x + both branches)), of the patch tokens.

    Args:
        local: (V, T, C) fp32, the last state of attention within the view.
        x, branch1, scale1, branch2, scale2: as :func:`residual_norm` takes them, (V, T, C); their sum is the state
            after the layer.
        weight, bias, eps: of the backbone's last LayerNorm, over C channels.
        head_weight, head_bias, head_eps: of the head's LayerNorm, over the 2C channels of both.
        dtype: of the result.

    Returns:
        (V, T - 1, 2C) in `dtype`; the first token of each view is left out.
    """
    total = x + scale1 * branch1.float() + scale2 * branch2.float()
    state = F.layer_norm(total, weight.shape, weight, bias, eps)
    both = torch.cat((local, state), dim=-1)[:, 1:]
    return F.layer_norm(both, head_weight.shape, head_weight, head_bias, head_eps).to(dtype)
