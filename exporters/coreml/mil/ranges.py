"""Distance of activations from the limits of fp16: overflow at 65504, less than full precision below 6.1e-5."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from depthport.exporters.coreml.mil.interpreter import Interpreter
from depthport.exporters.coreml.mil.program import Function

HALF_MAX = 65504.0
HALF_SMALLEST_NORMAL = 2.0**-14


@dataclass(frozen=True)
class ActivationRange:
    """Magnitudes of one floating result, computed in fp32."""

    name: str
    type: str
    dtype: str
    """Declared."""
    largest: float
    rms: float
    subnormal_share: float
    """Elements other than zero that fp16 holds with less than its full precision, or rounds to zero."""

    @property
    def headroom(self) -> float:
        """fp16's largest number over the largest magnitude; below 1 it overflows."""
        return HALF_MAX / self.largest if self.largest else float("inf")


def activation_ranges(function: Function, inputs: Mapping[str, object]) -> list[ActivationRange]:
    """Every floating result of a function on the given inputs, in order."""
    rows = []
    for step in Interpreter(function, "fp32").steps(inputs):
        for variable, x in zip(step.operation.outputs, step.outputs, strict=True):
            if variable.type is None or not x.is_floating_point() or not x.numel():
                continue
            magnitude = x.abs()
            small = (magnitude > 0) & (magnitude < HALF_SMALLEST_NORMAL)
            rows.append(
                ActivationRange(
                    variable.name, step.operation.type, variable.type.dtype,
                    largest=float(magnitude.max()), rms=float(x.double().square().mean().sqrt()),
                    subnormal_share=float(small.double().mean()),
                )
            )  # fmt: skip
    return rows


def tightest(rows: list[ActivationRange], count: int = 10) -> list[ActivationRange]:
    """The results with the least headroom."""
    return sorted(rows, key=lambda row: row.headroom)[:count]
