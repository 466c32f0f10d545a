"""Names, shapes and dtypes of arrays against those of a manifest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np

from depthport.exporters.core.artifact import Manifest, TensorSpec
from depthport.exporters.core.errors import InputError, LoadError, RunError

_dtype = lru_cache(maxsize=None)(np.dtype)


def _exactly(arrays: Mapping[str, np.ndarray], specs: tuple[TensorSpec, ...]) -> bool:
    """Return whether names, shapes and dtypes are the specs' own: the quick way out of every timed call."""
    if len(arrays) != len(specs):
        return False
    for spec in specs:
        array = arrays.get(spec.name)
        if not isinstance(array, np.ndarray) or array.shape != spec.shape or array.dtype != _dtype(spec.dtype):
            return False
    return True


def check_signature(
    takes: Mapping[str, Sequence[object]], gives: Mapping[str, Sequence[object]], manifest: Manifest
) -> None:
    """Refuse a model whose inputs or outputs are not its manifest's.

    Args:
        takes, gives: native names and shapes, as the runtime tells them; an empty shape is not known, nor is a dimension
            that is not a whole number.

    Raises:
        LoadError: a name, or a size that both know, differs.
    """
    for does, found, specs in (("takes", takes, manifest.inputs), ("gives", gives, manifest.outputs)):
        wanted = {spec.native_name: spec.shape for spec in specs}
        if found.keys() != wanted.keys():
            raise LoadError(f"the model {does} {sorted(found)}, its manifest says {sorted(wanted)}: export it again")
        for name, shape in wanted.items():
            own = found[name]
            pairs = zip(own, shape, strict=False)
            if own and (
                len(own) != len(shape) or any(isinstance(a, int) and isinstance(b, int) and a != b for a, b in pairs)
            ):
                sizes = ["x".join(map(str, dims)) for dims in (own, shape)]
                raise LoadError(f"the model {does} {name} of {sizes[0]}, its manifest says {sizes[1]}: export it again")


def check_arrays(
    arrays: Mapping[str, np.ndarray],
    specs: tuple[TensorSpec, ...],
    error: type[InputError] | type[RunError] | type[LoadError],
    what: str,
) -> None:
    """Raise `error` with one line if names, shapes or dtypes differ from `specs` (an open dimension fits any size)."""
    if _exactly(arrays, specs):
        return
    if missing := [s.name for s in specs if s.name not in arrays]:
        raise error(f"{what} {missing[0]!r} is missing (got {', '.join(arrays) or 'none'})")
    if unknown := [name for name in arrays if name not in {s.name for s in specs}]:
        raise error(f"unknown {what} {unknown[0]!r}: the artifact has {', '.join(s.name for s in specs)}")
    for spec in specs:
        array = arrays[spec.name]
        if not isinstance(array, np.ndarray):
            kind = type(array).__name__
            raise error(f"{what} {spec.name!r} is a {kind}, not a numpy array: give numpy.asarray(..., {spec.dtype!r})")
        fits = len(array.shape) == len(spec.shape) and all(
            isinstance(want, str) or have == want for have, want in zip(array.shape, spec.shape, strict=True)
        )
        if not fits or array.dtype != np.dtype(spec.dtype):
            want = "x".join(map(str, spec.shape))
            have = "x".join(map(str, array.shape))
            if what == "input" and fits_but_for_views(array.shape, spec.shape):
                raise error(
                    f"{spec.name} has {array.shape[1]} views, the artifact takes {spec.shape[1]}: give {spec.shape[1]}, "
                    f"or export for {array.shape[1]} views (--views {array.shape[1]}, or --dynamic views)"
                )
            raise error(f"{what} {spec.name!r} is {array.dtype} {have}, the artifact has {spec.dtype} {want}")


def check_finite(arrays: Mapping[str, np.ndarray]) -> None:
    """Refuse NaN and infinity, which some runtimes turn into finite depth.

    Raises:
        InputError: some array holds them; the message has the first one's name and how many.
    """
    for name, array in arrays.items():
        # A sum is finite only if all are; it may overflow though they are, so that then each is looked at.
        with np.errstate(over="ignore", invalid="ignore"):
            suspect = array.dtype.kind == "f" and not np.isfinite(array.sum())
        if suspect and (wrong := int((~np.isfinite(array)).sum())):
            raise InputError(
                f"input {name!r} holds NaN or infinity ({wrong} of its {array.size} values): give finite numbers"
            )


def fits_but_for_views(have: tuple[int, ...], want: tuple[int | str, ...]) -> bool:
    """Return whether an input (B, N, ...) is wrong in N alone."""
    pairs = list(zip(have, want, strict=False))
    wrong = [axis for axis, (size, dim) in enumerate(pairs) if isinstance(dim, int) and size != dim]
    return len(have) == len(want) and wrong == [1]
