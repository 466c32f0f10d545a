"""The first report's matrix as real cells: 36 configurations, mode × precision × compile on CUDA, MPS and CPU.

In the report this project started from (docs/first-report.md; a fork of upstream) the mode was stored and
read by nothing and compile was always off, so its 36 rows were 9 configurations. Here a mode is what the PyTorch
runtime does, and a row that would repeat another is marked so instead of being measured twice:

| there | here |
|---|---|
| minimal | mode `upstream`: upstream's own forward |
| balanced | mode `eager`: the static network |
| max, compile off | mode `graph`: the static network in a CUDA graph; off CUDA that is `balanced` again |
| max, compile on | mode `compile`: the static network compiled whole |
| precision None | what upstream's API does on that device: its autocast (bf16 on CUDA, fp16 elsewhere) |
| precision False | fp32, TF32 off |
| float16, bfloat16 | upstream: its autocast in that dtype; static network: fp16 or bf16, head included |
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from depthport.bench.plan.cells import CellSpec
from depthport.bench.plan.request import MeasureRequest, broken_cell, deployed_precision, make_cell, unavailable_cell
from depthport.runtimes.base import Device, Runtime
from depthport.runtimes.registry import Surveyed, baseline_runtime, survey

# In the order of that report's tables.
PRECISIONS: Mapping[str, tuple[str, ...]] = {
    "cuda": ("bfloat16", "float16", "None", "False"),
    "mps": ("bfloat16", "None", "False"),
    "cpu": ("None", "False"),
}
ROWS = (("minimal", False), ("balanced", False), ("max", False), ("max", True))
"""Mode and compile."""


@dataclass(frozen=True)
class FirstReportRow:
    """One row of the first report."""

    device: str
    mode: str
    precision: str
    compile: bool

    @property
    def label(self) -> str:
        return f"first-{self.mode}-{self.precision}" + ("-compiled" if self.compile else "")


def first_report_rows() -> Iterator[FirstReportRow]:
    """All 36, in that report's order: 16 CUDA, 12 MPS, 8 CPU."""
    for device, precisions in PRECISIONS.items():
        for mode, compiled in ROWS:
            for precision in precisions:
                yield FirstReportRow(device, mode, precision, compiled)


def mode_of(row: FirstReportRow) -> str | None:
    """The baseline runtime's mode for a row; None where it would be `balanced` again."""
    if row.mode == "minimal":
        return "upstream"
    if row.mode == "balanced":
        return "eager"
    if row.compile:
        return "compile"
    return "graph" if row.device == "cuda" else None


def precision_of(row: FirstReportRow) -> str:
    """The policy for a row."""
    if row.precision == "False":
        return "fp32"
    half = {"float16": "fp16", "bfloat16": "bf16"}.get(row.precision)
    if half is None:
        return "bf16-mixed" if row.device == "cuda" else "fp16-mixed"
    # Upstream keeps its heads in fp32 under autocast, whatever one asks for.
    return f"{half}-mixed" if row.mode == "minimal" else half


INT8 = "int8"
"""A precision that the first report listed as future work, beside other runtimes."""


def paper_cells(request: MeasureRequest) -> Iterator[CellSpec]:
    """The first report's rows as cells, then its future work: every other installed runtime, and int8."""
    runtime = baseline_runtime()
    devices = {device.name.partition(":")[0]: device for device in runtime.probe()}
    for row in first_report_rows():
        yield _cell(runtime, row, devices.get(row.device), request)
    others = [surveyed for surveyed in survey() if surveyed.name != runtime.name]
    future = list(_future(others, request))
    if not any(cell.export.precision == INT8 for cell in future):
        future += [_no_int8(able, request) for s in others if (able := s.runtime) is not None and INT8 in able.quantized][
            :1
        ]
    for cell in future:
        yield replace(cell, baseline=False, tags=(*cell.tags, "future"))


def _future(others: Sequence[Surveyed], request: MeasureRequest) -> Iterator[CellSpec]:
    """Each runtime at the precision people deploy on each of its devices, and in int8 where it says it can."""
    for surveyed in others:
        runtime = surveyed.runtime
        if runtime is None:
            yield broken_cell(surveyed.name, surveyed.problem or "", request)
            continue
        for device in surveyed.devices:
            if device.available and device.numerics_only is not None:
                continue
            if not device.available or not device.modes:
                yield unavailable_cell(runtime, device, request)
                continue
            mode = device.modes[0]
            precisions = [deployed_precision(device, mode)]
            if INT8 in (mode.precisions or device.precisions):
                precisions.append(INT8)
            for precision in dict.fromkeys(precisions):
                yield make_cell(runtime, device, mode, precision, request)


def _no_int8(runtime: Runtime, request: MeasureRequest) -> CellSpec:
    """A row for int8, which the first report promised, where no runtime has it."""
    export = request.artifact(runtime.formats[0], INT8)
    reason = "no installed runtime reports that it computes in int8"
    return CellSpec(export=export, runtime=runtime.name, device="cpu", mode="-", unavailable=reason)


def _cell(runtime: Runtime, row: FirstReportRow, device: Device | None, request: MeasureRequest) -> CellSpec:
    mode, precision = mode_of(row), precision_of(row)
    cell = CellSpec(
        export=request.artifact(runtime.formats[0], precision),
        runtime=runtime.name,
        device=row.device if device is None else device.name,
        mode=mode or "eager",
        label=row.label,
        tags=("first-report", "compile" if row.compile else "no-compile"),
        threads=request.threads,
        memory_fraction=request.memory_fraction,
    )
    if device is None or not device.available:
        return replace(cell, unavailable=_why_not(runtime, row.device, device))
    if mode is None:
        return replace(cell, unsupported="off CUDA this is the balanced configuration again: not measured twice")
    known = {m.name: m for m in device.modes}
    if mode not in known:
        return replace(cell, unsupported=f"runtime {runtime.name!r} has no mode {mode!r} on {device.name}")
    # The first report's ratios are to its minimal configuration at the device's own precision.
    baseline = row.mode == "minimal" and row.precision == ("None" if row.device == "cuda" else "False")
    return replace(cell, mode_description=known[mode].description, baseline=baseline)


def _why_not(runtime: Runtime, name: str, device: Device | None) -> str:
    if device is None:
        return f"{runtime.title} finds no {name} device here" + (": run the same command on a Mac" if name == "mps" else "")
    return f"{device.unavailable}: {device.remedy}" if device.remedy else device.unavailable or ""
