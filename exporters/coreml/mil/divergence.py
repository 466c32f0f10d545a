"""Divergence of fp16 from fp32: the error that each operation of a package adds, and what has built up by then.

The package runs twice in step, once in fp32 without rounding, once rounding every result as declared.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from depthport.exporters.coreml.mil.dtypes import FLOATS
from depthport.exporters.coreml.mil.interpreter import Interpreter
from depthport.exporters.coreml.mil.program import Function


@dataclass(frozen=True)
class Divergence:
    """One operation."""

    name: str
    type: str
    dtype: str
    added: float
    """RMS of what rounding its own result changes, over the result's RMS."""
    accumulated: float
    """RMS difference to the run without any rounding, over that run's RMS."""


def divergence(function: Function, inputs: Mapping[str, object]) -> list[Divergence]:
    """Every floating result of a function, in order.

    Args:
        function: of a package with fp16 in it; in an fp32 one everything is 0.
        inputs: real ones: rounding depends on values.
    """
    exact, declared = Interpreter(function, "fp32"), Interpreter(function, "declared", keep_exact=True)
    rows = []
    for clean, rough in zip(exact.steps(inputs), declared.steps(inputs), strict=True):
        operation = clean.operation
        for index, variable in enumerate(operation.outputs):
            if variable.type is None or variable.type.dtype not in FLOATS:
                continue
            a, b, computed = clean.outputs[index], rough.outputs[index], rough.exact[index]
            rows.append(
                Divergence(
                    variable.name, operation.type, variable.type.dtype,
                    added=_relative(b - computed, computed), accumulated=_relative(b - a, a),
                )
            )  # fmt: skip
    return rows


def largest_jumps(rows: list[Divergence], count: int = 10) -> list[tuple[Divergence, float]]:
    """The operations at which the accumulated error grows most over the worst before it, with that growth."""
    worst = 0.0
    jumps = []
    for row in rows:
        if row.accumulated > worst:
            jumps.append((row, row.accumulated - worst))
            worst = row.accumulated
    return sorted(jumps, key=lambda jump: -jump[1])[:count]


def _relative(error: Tensor, reference: Tensor) -> float:
    return float(error.double().square().mean().sqrt() / reference.double().square().mean().sqrt().clamp_min(1e-30))
