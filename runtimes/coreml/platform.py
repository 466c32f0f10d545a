"""The calls that only a Mac can answer, behind one small interface.

Everything else of the adapter runs, and is tested, anywhere. :class:`CoreMLTools` is as thin as it can be made: each
method is one or two calls of coremltools. It has not been run on a Mac by this project's tests.
"""

from __future__ import annotations

import platform
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from depthport.exporters.core import install


@dataclass(frozen=True)
class PlannedOperation:
    """Core ML's planned placement of one operation."""

    name: str
    operator: str
    """MIL name with its opset, e.g. `ios17.conv`."""
    device: str
    """`cpu`, `gpu`, `ane`, or `none` for constants."""
    supported: tuple[str, ...]
    cost: float
    """Share of the model's estimated work, 0 to 1."""


class Model(Protocol):
    """A loaded model."""

    def predict(self, inputs: Mapping[str, object]) -> dict[str, np.ndarray]:
        """Run; returns when the outputs are there."""
        ...


class Platform(Protocol):
    """Core ML on this machine."""

    def unavailable(self) -> tuple[str, str] | None:
        """Return why it can't be used and the line that remedies it; None where it can."""
        ...

    def system(self) -> str:
        """Name and version of the system, which a compiled model is bound to."""
        ...

    def devices(self) -> tuple[str, ...]:
        """Any of `cpu`, `gpu`, `ane`."""
        ...

    def compile(self, package: Path, destination: Path) -> None:
        """Compile a package to a `.mlmodelc` folder."""
        ...

    def load(self, compiled: Path, unit: str, function: str | None) -> Model:
        """Load a compiled model for a compute unit; Core ML specialises it here."""
        ...

    def plan(self, compiled: Path, unit: str, function: str) -> list[PlannedOperation]:
        """Core ML's compute plan, operation by operation (macOS 14.4 or newer)."""
        ...


class CoreMLTools:
    """Core ML through coremltools' Python API."""

    def unavailable(self) -> tuple[str, str] | None:
        if sys.platform != "darwin":
            return "Core ML runs on macOS only", "run the same command on a Mac (runtimes/APPLE.md)"

        if find_spec("coremltools") is None:
            return "coremltools is not installed", str(install.COREML)
        if find_spec("coremltools.libcoremlpython") is None:
            return (
                "this coremltools was built without Core ML for this Python",
                f"use Python 3.10 to 3.13 and: {install.COREML_AGAIN}",
            )
        return None

    def system(self) -> str:
        version, _, machine = platform.mac_ver()
        return f"macOS-{version}-{machine}"

    def devices(self) -> tuple[str, ...]:
        ct = _coremltools()
        found = [_kind(d) for d in ct.models.compute_device.MLComputeDevice.get_all_compute_devices()]
        return tuple(name for name in ("cpu", "gpu", "ane") if name in found)

    def compile(self, package: Path, destination: Path) -> None:
        _coremltools().models.utils.compile_model(str(package), str(destination))

    def load(self, compiled: Path, unit: str, function: str | None) -> Model:
        ct = _coremltools()
        model: Model = ct.models.CompiledMLModel(str(compiled), getattr(ct.ComputeUnit, unit), function)
        return model

    def plan(self, compiled: Path, unit: str, function: str) -> list[PlannedOperation]:
        ct = _coremltools()
        plan = ct.models.compute_plan.MLComputePlan.load_from_path(str(compiled), getattr(ct.ComputeUnit, unit))
        operations = plan.model_structure.program.functions[function].block.operations
        return [_planned(plan, operation) for operation in operations]


def _coremltools() -> Any:
    import coremltools

    return coremltools


def _planned(plan: Any, operation: Any) -> PlannedOperation:
    usage = plan.get_compute_device_usage_for_mlprogram_operation(operation)
    cost = plan.get_estimated_cost_for_mlprogram_operation(operation)
    return PlannedOperation(
        name=operation.outputs[0].name if operation.outputs else operation.operator_name,
        operator=operation.operator_name,
        device="none" if usage is None else _kind(usage.preferred_compute_device),
        supported=() if usage is None else tuple(_kind(d) for d in usage.supported_compute_devices),
        cost=0.0 if cost is None else float(cost.weight),
    )


def _kind(device: Any) -> str:
    """`MLNeuralEngineComputeDevice` and its like by their short names."""
    name = type(device).__name__
    return next((short for part, short in (("NeuralEngine", "ane"), ("GPU", "gpu")) if part in name), "cpu")
