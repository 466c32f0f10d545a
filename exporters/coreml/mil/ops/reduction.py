"""Reductions and normalisations over axes."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from depthport.exporters.coreml.mil.ops.call import Call, operator

_REDUCE: dict[str, Callable[[Tensor, list[int], bool], Tensor]] = {
    "reduce_sum": lambda x, axes, keep: x.sum(axes, keepdim=keep),
    "reduce_mean": lambda x, axes, keep: x.mean(axes, keepdim=keep),
    "reduce_max": lambda x, axes, keep: x.amax(axes, keepdim=keep),
    "reduce_min": lambda x, axes, keep: x.amin(axes, keepdim=keep),
    "reduce_l1_norm": lambda x, axes, keep: x.abs().sum(axes, keepdim=keep),
    "reduce_l2_norm": lambda x, axes, keep: x.square().sum(axes, keepdim=keep).sqrt(),
    "reduce_sum_square": lambda x, axes, keep: x.square().sum(axes, keepdim=keep),
}


@operator(*_REDUCE)
def reduce(call: Call) -> Tensor:
    """Reduce over `axes`, by default all."""
    x = call.tensor("x")
    axes = call.ints("axes") or list(range(x.dim()))
    return _REDUCE[call.type](x, axes, call.flag("keep_dims", False))


@operator("reduce_argmin", "reduce_argmax")
def reduce_arg(call: Call) -> Tensor:
    """The first extreme element; torch leaves ties open, so they are settled by position."""
    x, axis = call.tensor("x"), call.integer("axis", -1)
    best = x.amin(axis, keepdim=True) if call.type == "reduce_argmin" else x.amax(axis, keepdim=True)
    return (x == best).to(torch.int64).argmax(axis, keepdim=call.flag("keep_dims", False))


@operator("softmax")
def softmax(call: Call) -> Tensor:
    """Softmax along an axis."""
    return call.tensor("x").softmax(call.integer("axis", -1))


@operator("layer_norm")
def layer_norm(call: Call) -> Tensor:
    """Biased variance over `axes`, then scale and shift."""
    x = call.tensor("x")
    axes = [a % x.dim() for a in call.ints("axes") or range(x.dim())]
    gamma, beta, epsilon = call.optional("gamma"), call.optional("beta"), call.number("epsilon", 1e-5)
    if axes == list(range(axes[0], x.dim())):
        return F.layer_norm(x, x.shape[axes[0] :], gamma, beta, epsilon)
    moved = x.movedim(axes, list(range(-len(axes), 0)))
    normed = F.layer_norm(moved, moved.shape[-len(axes) :], gamma, beta, epsilon)
    return normed.movedim(list(range(-len(axes), 0)), axes)


@operator("batch_norm")
def batch_norm(call: Call) -> Tensor:
    """Inference form: gamma · (x − mean) / √(variance + epsilon) + beta, along axis 1."""
    mean, variance = call.tensor("mean"), call.tensor("variance")
    gamma, beta = call.optional("gamma"), call.optional("beta")
    return F.batch_norm(call.tensor("x"), mean, variance, gamma, beta, eps=call.number("epsilon", 1e-5))
