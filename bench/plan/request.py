"""What the user asked to be measured, and the cells that follow from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from depthport.bench.plan.cells import CellSpec, ExportSpec
from depthport.exporters.core.artifact import Shape
from depthport.exporters.core.precision import auto_precision
from depthport.runtimes.base import Device, Mode, Runtime

BASELINE_RUNTIME, BASELINE_MODE = "pytorch", "upstream"


# What people deploy on a kind of device, best known first; the first is the default suite's precision.
_DEPLOYED: dict[str, tuple[str, ...]] = {"cpu": ("fp32",), "cuda": ("bf16", "fp16"), "mps": ("fp16",), "ane": ("fp16",)}


# Artifacts made for one runtime on one kind of device, where that beats the portable one.
_TARGETS = {("onnxruntime", "cpu"): "ort-cpu"}


_INT8_TARGETS = {**_TARGETS, ("openvino", "cpu"): "openvino"}


@dataclass(frozen=True)
class Filters:
    """Keep only cells whose field is among the values; an empty field keeps all. The baseline is always kept."""

    runtimes: Sequence[str] = ()
    devices: Sequence[str] = ()
    modes: Sequence[str] = ()
    precisions: Sequence[str] = ()
    formats: Sequence[str] = ()
    cells: Sequence[str] = ()
    """Whole cell ids."""

    def keep(self, cell: CellSpec) -> bool:
        pairs = (
            (self.runtimes, cell.runtime),
            (self.devices, cell.device),
            (self.precisions, cell.export.precision),
            (self.formats, cell.export.format),
            (self.cells, cell.id),
        )
        named = not self.modes or any(name in self.modes for name in (cell.mode, *cell.mode_aliases))
        return named and all(not wanted or value in wanted for wanted, value in pairs)


@dataclass(frozen=True)
class Request:
    """What the user asked to be measured."""

    model: str
    shape: Shape
    weights: str | None
    suite: str = "default"
    filters: Filters = field(default_factory=Filters)
    precisions: tuple[str, ...] = ()
    """Precisions to add to every cell's own; empty: the suite's."""
    threads: int | None = None
    memory_fraction: float | None = None
    """Share of a device's memory every cell may take (LoadOptions.memory_fraction)."""
    interpreters: dict[str, str] = field(default_factory=dict)
    """Python interpreter per runtime, where requirements conflict."""
    dynamic: tuple[str, ...] = ()
    """Measure ONNX artifacts that leave these dimensions open too, beside the static ones."""
    pose_input: bool = False
    preprocess: bool = False
    source_size: tuple[int, int] | None = None

    def export(self, format: str, precision: str, target: str | None = None) -> ExportSpec:
        """The artifact of this request in a format."""
        return ExportSpec(
            self.model,
            format,
            precision,
            self.shape,
            self.weights,
            target=target,
            pose_input=self.pose_input,
            preprocess=self.preprocess,
            source_size=self.source_size,
        )


def make_cell(runtime: Runtime, device: Device, mode: Mode, precision: str, request: Request) -> CellSpec:
    """One cell; the baseline is upstream at its own precision on that device."""
    baseline = is_baseline(runtime.name, mode.name, device.name, precision)
    target = mode.target or default_target(runtime.name, device.name, precision)
    return CellSpec(
        export=replace(request.export(runtime.formats[0], precision, target), options=dict(mode.export_options)),
        runtime=runtime.name,
        device=device.name,
        mode=mode.name,
        mode_description=mode.description,
        mode_aliases=mode.aliases,
        baseline=baseline,
        threads=request.threads,
        memory_fraction=request.memory_fraction,
        python=request.interpreters.get(runtime.name),
    )


def default_target(runtime: str, device: str, precision: str) -> str | None:
    """The export target that suits a runtime on a device at a precision; None is the portable artifact."""
    return (_INT8_TARGETS if precision == "int8" else _TARGETS).get((runtime, _kind(device)))


def unavailable_cell(runtime: Runtime, device: Device, request: Request) -> CellSpec:
    """The row of a device that can't run here, with the reason and the line that would change it."""
    precision = next(iter(_DEPLOYED.get(_kind(device.name), ("fp32",))))
    reason = device.unavailable or ""
    options = dict(device.modes[0].export_options) if device.modes else {}
    return CellSpec(
        export=replace(request.export(runtime.formats[0], precision), options=options),
        runtime=runtime.name,
        device=device.name,
        mode=device.modes[0].name if device.modes else "-",
        unavailable=f"{reason}: {device.remedy}" if device.remedy else reason,
    )


def is_baseline(runtime: str, mode: str, device: str, precision: str) -> bool:
    """Upstream as its users run it: its own forward at the precision it would choose on that device."""
    return runtime == BASELINE_RUNTIME and mode == BASELINE_MODE and precision == auto_precision(device)


def _kind(device: str) -> str:
    return device.partition(":")[0]


def deployed_precision(device: Device, mode: Mode) -> str:
    """The precision people deploy on a device, of those that the mode knows."""
    deployed = mode.precisions or _DEPLOYED.get(_kind(device.name), ("fp32",))
    known = mode.precisions or device.precisions
    return next((p for p in deployed if p in known), auto_precision(device.name))
