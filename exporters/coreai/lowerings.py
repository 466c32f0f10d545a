"""Conversions of torch operations that coreai-torch lacks, made of Core AI's own operations.

Reference-view selection (three views and more) needs both: an argmin over the views, and the variance of the class
tokens' channels. Registered per converter, so nothing outside a conversion changes; where a version has one of its own,
that one is used.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod
from typing import Any

from numpy import int32


def register(converter: Any) -> list[str]:
    """Add what `converter` lacks; returns the names of the operations added."""
    from coreai_torch._aten_to_core import _aten_to_core_resolver

    added = [name for name in LOWERINGS if name not in _aten_to_core_resolver]
    for name in added:
        converter.register_torch_lowering(f"aten::{name}")(LOWERINGS[name])
    return added


def argmin(values: Mapping[str, Any], node: Any, _location: Any) -> Any:
    """The first smallest along one dimension: Core AI has an argmax, which takes the first largest."""
    from coreai._compiler.dialects import coreai

    x, axis, keep = values[node.args[0].name], *_arguments(node, dim=None, keepdim=False)
    if axis is None:
        raise ValueError("argmin over all dimensions has no lowering: give one")
    axis %= x.type.rank
    negated = coreai.broadcasting_mul(x, coreai.constant(-1, dtype=x.type.element_type))
    found = coreai.cast(coreai.argmax(negated, axis), int32)
    return found if keep else coreai.shrink_dims(found, [axis])


def var(values: Mapping[str, Any], node: Any, _location: Any) -> Any:
    """The mean of squares around the mean, in two passes, times n / (n - correction)."""
    from coreai._compiler.dialects import coreai

    x, axes = values[node.args[0].name], _arguments(node, dim=None)[0]
    axes = [axis % x.type.rank for axis in (range(x.type.rank) if axes is None else axes)]
    count = prod(x.type.shape[axis] for axis in axes)
    centred = coreai.broadcasting_sub(x, coreai.reduce_mean(x, axes))
    squares = coreai.reduce_mean(coreai.broadcasting_mul(centred, centred), axes)
    correction = node.kwargs.get("correction")
    share = count / (count - (1 if correction is None else correction))
    found = coreai.broadcasting_mul(squares, coreai.constant(share, dtype=x.type.element_type))
    return found if node.kwargs.get("keepdim") else coreai.shrink_dims(found, axes)


def _arguments(node: Any, **defaults: Any) -> tuple[Any, ...]:
    """Arguments after the first, by place or by name."""
    given = dict(zip(defaults, node.args[1:], strict=False))
    return tuple({**defaults, **given, **{k: v for k, v in node.kwargs.items() if k in defaults}}.values())


LOWERINGS: dict[str, Callable[[Mapping[str, Any], Any, Any], Any]] = {"argmin.default": argmin, "var.correction": var}
"""Lowerings by the operation's name and overload in torch."""
