"""Open dimensions: which of an input's sizes an artifact leaves to run time, within which limits.

`dynamic` names what is open: `views` (N), `size` (H and W), `batch` (B). A dimension is written by name in the manifest
(`"height"`), or as a small expression of one (`"height*8/14"`), and gets its value from the inputs that are bound.
Imports no framework.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from depthport.exporters.core.artifact import Shape, TensorSpec
from depthport.exporters.core.errors import InputError, UsageError

NAMES = ("views", "size", "batch")
"""Names that `dynamic` may hold, in the order of manifests."""

Limits = dict[str, tuple[int, int, int]]
"""Dimension to smallest size, largest size and step."""

_LIMITS: dict[str, Limits] = {
    "views": {"views": (1, 32, 1)},
    "size": {"height": (14, 1008, 14), "width": (14, 1008, 14)},
    "batch": {},
}


def validate_dynamic(dynamic: Sequence[str], shape: Shape) -> tuple[str, ...]:
    """`dynamic` without repetition in the order of :data:`NAMES`.

    Raises:
        UsageError: an unknown name, or a shape that lies outside of what its open dimensions take.
    """
    unknown = [name for name in dynamic if name not in NAMES]
    if unknown:
        raise UsageError(f"unknown dimension {', '.join(map(repr, unknown))}: --dynamic takes {', '.join(NAMES)}")
    opened = tuple(name for name in NAMES if name in dynamic)
    values = {"views": shape.views, "height": shape.height, "width": shape.width}
    if problem := _outside(values, limits_of(opened)):
        raise UsageError(f"--dynamic {','.join(opened)}: {problem}")
    return opened


def limits_of(dynamic: Iterable[str]) -> Limits:
    """The limits of everything that is open; a batch has none."""
    return {dim: limit for name in dynamic for dim, limit in _LIMITS[name].items()}


def bound_sizes(
    arrays: Mapping[str, Any], specs: Sequence[TensorSpec], limits: Mapping[str, Sequence[int]]
) -> dict[str, int]:
    """The size of every open dimension of inputs that have the specs' ranks and fixed sizes.

    Args:
        arrays: by name, with a `shape`.
        specs: of the inputs.
        limits: as :data:`Limits` has them.

    Raises:
        InputError: two inputs disagree about a dimension, or it lies outside of its limits.
    """
    sizes: dict[str, int] = {}
    owner: dict[str, str] = {}
    for spec in specs:
        for dim, size in zip(spec.shape, arrays[spec.name].shape, strict=True):
            if not isinstance(dim, str):
                continue
            if sizes.setdefault(dim, size) != size:
                raise InputError(f"{owner[dim]} has {dim} {sizes[dim]}, {spec.name} has {size}: give both the same")
            owner.setdefault(dim, spec.name)
    if problem := _outside(sizes, limits):
        raise InputError(problem)
    return sizes


def resolve(specs: Iterable[TensorSpec], sizes: Mapping[str, int]) -> tuple[TensorSpec, ...]:
    """The specs with every open dimension as a number."""
    return tuple(
        TensorSpec(spec.name, tuple(_value(dim, sizes) for dim in spec.shape), spec.dtype, spec.file_name) for spec in specs
    )


def _value(dim: int | str, sizes: Mapping[str, int]) -> int:
    if isinstance(dim, int):
        return dim
    name, _, rest = dim.partition("*")
    factor, _, divisor = rest.partition("/")
    return sizes[name] * int(factor or 1) // int(divisor or 1)


def _outside(sizes: Mapping[str, int], limits: Mapping[str, Sequence[int]]) -> str | None:
    for dim, (low, high, step) in limits.items():
        size = sizes.get(dim, low)
        if not low <= size <= high or size % step:
            multiple = f", a multiple of {step}" if step > 1 else ""
            return f"{dim} must be {low} to {high}{multiple}, not {size}: give another size or export for this one alone"
    return None
