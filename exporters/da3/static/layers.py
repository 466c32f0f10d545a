"""Taking over upstream's layers: the same parameters, in the dtype the policy wants."""

from __future__ import annotations

import copy
from typing import TypeVar

import torch
from torch import Tensor, nn

from depthport.exporters.core.artifact import DType

Layer = TypeVar("Layer", bound=nn.Module)


def torch_dtype(name: DType) -> torch.dtype:
    """The torch dtype of a policy's dtype name."""
    dtype: torch.dtype = getattr(torch, name)
    return dtype


def cast(x: Tensor, dtype: torch.dtype) -> Tensor:
    """`x` in `dtype`; leaves no node in a graph where it has that dtype already."""
    return x if x.dtype == dtype else x.to(dtype)


def apply(layer: nn.Linear | nn.Conv2d, x: Tensor) -> Tensor:
    """`layer` of `x` in the layer's own dtype, which a plan may have made another than its neighbours'."""
    out: Tensor = layer(cast(x, layer.weight.dtype))
    return out


def adopt(layer: Layer, dtype: torch.dtype = torch.float32) -> Layer:
    """A copy of an upstream layer with its parameters in `dtype`, without gradient.

    Parameters that have the dtype already share their storage with upstream's; moving either module to another device
    leaves the other where it is.
    """
    memo: dict[int, object] = {id(p): nn.Parameter(p.detach().to(dtype), requires_grad=False) for p in layer.parameters()}
    return copy.deepcopy(layer, memo)


def parameter(tensor: Tensor, dtype: torch.dtype = torch.float32) -> nn.Parameter:
    """`tensor` as a parameter without gradient, sharing its storage where the dtype allows."""
    return nn.Parameter(tensor.detach().to(dtype), requires_grad=False)


class Norm(nn.Module):
    """LayerNorm in fp32 whatever comes in, cast to `dtype` on the way out.

    This is what autocast does, and what low precision needs: the mean of squares of a token with massive activations
    overflows fp16, and bf16 can't accumulate a thousand channels.
    """

    def __init__(self, norm: nn.LayerNorm, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.norm = adopt(norm)
        self.dtype = dtype

    def forward(self, x: Tensor) -> Tensor:
        return cast(self.norm(cast(x, torch.float32)), self.dtype)
