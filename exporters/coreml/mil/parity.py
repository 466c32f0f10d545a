"""Distance of a package's outputs from the network's, and the limits within which a package is right.

Errors are against the spread of the output, not against zero: depth that is off by 1e-4 of its standard deviation is
off by 1e-4 of what distinguishes one pixel from another.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TypedDict, cast

import torch
from torch import Tensor

from depthport.exporters.core.errors import ExportError

POSES = frozenset({"extrinsics", "intrinsics", "pose_enc"})
MAX_OVER_STD = 1e-4
"""Largest error of a dense output over its standard deviation. Clean packages have 1e-5; the subtlest planted
corruption that a wrong conversion could be (tests/exporters/coreml/test_corruptions.py) is well above 1e-4."""
RMS_OVER_STD = 1e-5
"""RMS error of a dense output over its standard deviation: errors everywhere, none of them large."""
POSE_RELATIVE = 1e-5
"""Relative L2 error of a pose. The reciprocal that coremltools 9.0 gets wrong makes it 1.5e-4."""


class ErrorFacts(TypedDict):
    """:class:`OutputError` as JSON."""

    name: str
    max_over_std: float
    rms_over_std: float
    relative: float
    equal: bool
    integer: bool


@dataclass(frozen=True)
class OutputError:
    """One output against its reference."""

    name: str
    max_over_std: float
    rms_over_std: float
    relative: float
    """L2 error over the reference's L2 norm."""
    equal: bool
    """All elements the same; what counts for integers."""
    integer: bool = False

    def to_json(self) -> ErrorFacts:
        return cast(ErrorFacts, asdict(self))


def compare(found: Mapping[str, Tensor], reference: Mapping[str, Tensor]) -> dict[str, OutputError]:
    """Every output of `reference` against the one of that name.

    Raises:
        ExportError: an output is missing or has another shape.
    """
    return {name: _error(name, found.get(name), expected) for name, expected in reference.items()}


def violations(errors: Mapping[str, OutputError]) -> list[str]:
    """Return what exceeds the limits of a conversion without rounding, in words; empty for a right package."""
    found = []
    for e in errors.values():
        if e.integer:
            if not e.equal:
                found.append(f"{e.name} differs")
        elif e.name in POSES:
            if not e.relative <= POSE_RELATIVE:
                found.append(f"{e.name} is off by {e.relative:.1e} relative (limit {POSE_RELATIVE:.0e})")
        elif not e.max_over_std <= MAX_OVER_STD:
            found.append(f"{e.name} is off by {e.max_over_std:.1e} of its std (limit {MAX_OVER_STD:.0e})")
        elif not e.rms_over_std <= RMS_OVER_STD:
            found.append(f"{e.name} is off by {e.rms_over_std:.1e} of its std in the mean (limit {RMS_OVER_STD:.0e})")
    return found


def _error(name: str, found: Tensor | None, expected: Tensor) -> OutputError:
    if found is None:
        raise ExportError(f"the package has no output {name!r}")
    if found.shape != expected.shape:
        raise ExportError(f"output {name!r} of the package is {tuple(found.shape)}, not {tuple(expected.shape)}")
    integer = not expected.is_floating_point()
    a, b = found.to(torch.float64), expected.to(torch.float64)
    difference = a - b
    # One view's pose has few elements, but they are never all equal.
    spread = float(b.std(correction=0)) or 1.0
    norm = float(b.norm()) or 1.0
    return OutputError(
        name=name,
        max_over_std=float(difference.abs().max()) / spread,
        rms_over_std=float(difference.square().mean().sqrt()) / spread,
        relative=float(difference.norm()) / norm,
        equal=bool(torch.equal(a, b)),
        integer=integer,
    )
