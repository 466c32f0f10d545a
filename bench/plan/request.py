"""What the user asked to be measured, and the cells that follow from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from depthport.bench.plan.cells import CellSpec, ExportSpec
from depthport.exporters.core.artifact import Shape
from depthport.exporters.core.precision import auto_precision
from depthport.runtimes.base import Device, Mode, Runtime

# What people deploy on a kind of device, best known first; the first is the default suite's precision.
_DEPLOYED: dict[str, tuple[str, ...]] = {"cpu": ("fp32",), "cuda": ("bf16", "fp16"), "mps": ("fp16",), "ane": ("fp16",)}


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
    """Measure artifacts that leave these dimensions open too, beside the static ones, where the format is for that."""
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
    """One cell of what the user asked for."""
    # The baseline is upstream as its users run it: its own forward at the precision it would choose on that device.
    baseline = mode.name == runtime.baseline_mode and precision == auto_precision(device.name)
    target = runtime.target(device.name, mode, precision)
    return CellSpec(
        export=replace(request.export(runtime.formats[0], precision, target), options=dict(mode.export_options)),
        runtime=runtime.name,
        device=device.name,
        mode=mode.name,
        mode_description=mode.description,
        mode_aliases=mode.aliases,
        off_target=device.off_target,
        baseline=baseline,
        threads=request.threads,
        memory_fraction=request.memory_fraction,
        python=request.interpreters.get(runtime.name),
    )


def unavailable_cell(runtime: Runtime, device: Device, request: Request) -> CellSpec:
    """The row of a device that can't run here, with the reason and the line that would change it."""
    precision = next(iter(_DEPLOYED.get(kind_of(device.name), ("fp32",))))
    reason = device.unavailable or ""
    options = dict(device.modes[0].export_options) if device.modes else {}
    return CellSpec(
        export=replace(request.export(runtime.formats[0], precision), options=options),
        runtime=runtime.name,
        device=device.name,
        mode=device.modes[0].name if device.modes else "-",
        unavailable=f"{reason}: {device.remedy}" if device.remedy else reason,
    )


def broken_cell(runtime: str, problem: str, request: Request) -> CellSpec:
    """The row of an adapter that can't even be asked what it can run on."""
    return CellSpec(request.export("-", "fp32"), runtime, "-", "-", unavailable=problem)


def kind_of(device: str) -> str:
    """`cuda` of `cuda:1`."""
    return device.partition(":")[0]


def deployed_precision(device: Device, mode: Mode) -> str:
    """The precision people deploy on a device, of those that the mode knows."""
    deployed = mode.precisions or _DEPLOYED.get(kind_of(device.name), ("fp32",))
    known = mode.precisions or device.precisions
    return next((p for p in deployed if p in known), auto_precision(device.name))
