"""LayerNorm fused with what comes before it on the fp32 residual stream."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from exporters.da3.kernels.op import operator


@operator(lambda x, branch, *_: (torch.empty_like(x), torch.empty_like(branch)))
def residual_norm(
    x: Tensor, branch: Tensor, scale: Tensor, weight: Tensor, bias: Tensor, eps: float
) -> tuple[Tensor, Tensor]:
    """x + scale · branch, and its LayerNorm.

    Args:
        x: (..., C) fp32, the residual stream.
        branch: (..., C) in the dtype of the matrix products.
        scale: (C,) fp32 (LayerScale).
        weight, bias, eps: of the LayerNorm; (C,) fp32.

    Returns:
        The sum (..., C) fp32, and its norm (..., C) in the dtype of `branch`.
    """
    total = x + scale * branch.float()
    return total, F.layer_norm(total, weight.shape, weight, bias, eps).to(branch.dtype)


def _feature_like(local: Tensor, *others: Any) -> Tensor:
    views, tokens, channels = local.shape
    return local.new_empty(views, tokens - 1, 2 * channels, dtype=others[-1])


@operator(_feature_like)
def feature_norm(
    local: Tensor,
    x: Tensor,
    branch: Tensor,
    scale: Tensor,
    weight: Tensor,
    bias: Tensor,
    eps: float,
    head_weight: Tensor,
    head_bias: Tensor,
    head_eps: float,
    dtype: torch.dtype,
) -> Tensor:
    """What the head reads of one layer: LayerNorm of (local, LayerNorm(x + scale · branch)), of the patch tokens.

    Args:
        local: (V, T, C) fp32, the last state of attention within the view.
        x, branch, scale: as :func:`residual_norm` takes them, (V, T, C); their sum is the state after the layer.
        weight, bias, eps: of the backbone's last LayerNorm, over C channels.
        head_weight, head_bias, head_eps: of the head's LayerNorm, over the 2C channels of both.
        dtype: of the result.

    Returns:
        (V, T - 1, 2C) in `dtype`; the first token of each view is left out.
    """
    state = F.layer_norm(x + scale * branch.float(), weight.shape, weight, bias, eps)
    both = torch.cat((local, state), dim=-1)[:, 1:]
    return F.layer_norm(both, head_weight.shape, head_weight, head_bias, head_eps).to(dtype)
