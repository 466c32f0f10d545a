"""Suites, the sets of cells a run measures, made from what the installed runtimes can do here.

* `default`: every runtime and device of this machine at the precision people deploy there, and in what a measurement on
  this machine finds faster (`Runtime.gains`), upstream as baseline.
* `quick`: the same without what compiles for minutes; two minutes on a laptop's CPU.
* `paper`: the first report's 36 configurations (bench/plan/first_report.py).
* `alternatives`: the default one and int8, beside what people would run without this package.
* `check`: the quick one and what shows numerics alone (`Device.numerics_only`).
* `full`: every valid cell.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from depthport.bench.plan.cells import CellSpec
from depthport.bench.plan.first_report import paper_cells
from depthport.bench.plan.request import (
    MeasureRequest,
    broken_cell,
    deployed_precision,
    kind_of,
    make_cell,
    unavailable_cell,
)
from depthport.bench.results.cell_id import short_id
from depthport.bench.results.model import FROM_FILES
from depthport.exporters.core.asked import known_name
from depthport.exporters.core.errors import UsageError
from depthport.exporters.core.precision import auto_precision, policy_name, resolve_policy
from depthport.exporters.registry import get_exporter
from depthport.runtimes.base import Device, Mode, Runtime
from depthport.runtimes.registry import Surveyed, runtimes, survey
from depthport.runtimes.terms import WORTH, first_device

SUITES = ("default", "quick", "alternatives", "paper", "check", "full")


def build_cells(request: MeasureRequest) -> tuple[CellSpec, ...]:
    """The cells of a suite on this machine, baselines first, filtered.

    Raises:
        UsageError: no such suite, or the filters leave nothing to measure.
    """
    known_name("suite", request.suite, SUITES)
    for runtime in (*request.filters.runtimes, *request.interpreters):
        known_name("runtime", runtime, runtimes())
    for precision in (*request.precisions, *request.filters.precisions):
        resolve_policy(precision)
    request = replace(
        request,
        precisions=tuple(map(policy_name, request.precisions)),
        filters=replace(request.filters, precisions=tuple(map(policy_name, request.filters.precisions))),
    )
    if request.suite == "paper":
        cells = list(paper_cells(request))
    else:
        cells = [cell for surveyed in survey() for cell in _runtime_cells(surveyed, request)]
    _refuse_unmatched(request, cells)
    kept = [cell for cell in cells if request.filters.keep(cell)]
    if not any(not cell.unavailable and not cell.unsupported for cell in kept):
        ids = ", ".join(c.id for c in cells if not c.unavailable and not c.unsupported)
        raise UsageError(f"the filters leave nothing to measure; this machine has {ids or 'no usable runtime'}")
    if request.protocol.boundary == "pipeline":
        # What has no time to show has nothing to do here.
        cells, kept = (
            [replace(c, tags=(*c.tags, FROM_FILES)) for c in some if not c.numerics_only] for some in (cells, kept)
        )
    devices = {first_device(cell.device) for cell in kept if not cell.unavailable}
    baselines = [c for c in cells if c.baseline and c not in kept and c.device in devices and not c.unavailable]
    found = tuple(sorted([*baselines, *kept], key=lambda cell: not cell.baseline))
    return tuple(cell.untimed() for cell in found) if request.protocol.untimed else found


def _refuse_unmatched(request: MeasureRequest, cells: Sequence[CellSpec]) -> None:
    """Check that every name of a filter is that of a cell: a dropped name would change what is measured.

    Raises:
        UsageError: a name that no cell of the suite has.
    """
    filters = request.filters
    has = f"(of suite {request.suite})"
    for what, wanted, known in (
        ("device", filters.devices, [c.device for c in cells]),
        ("mode", filters.modes, [name for c in cells for name in (c.mode, *c.mode_aliases)]),
        ("precision", filters.precisions, [c.export.precision for c in cells]),
        ("format", filters.formats, [c.export.format for c in cells]),
        ("cell", map(short_id, filters.cells), [c.id for c in cells]),
    ):
        for name in wanted:
            known_name(f"{what} {has}", name, known, "another --suite" if what != "cell" else "")


def _runtime_cells(surveyed: Surveyed, request: MeasureRequest) -> Iterable[CellSpec]:
    runtime = surveyed.runtime
    if runtime is None:
        yield broken_cell(surveyed.name, surveyed.problem or "", request)
        return
    for device in (*surveyed.devices, *runtime.groups(request.filters.device_names())):
        if not device.available:
            yield unavailable_cell(runtime, device, request)
            continue
        for mode in device.modes:
            if request.suite != "full" and not _in_default(runtime, device, mode, request):
                continue
            for precision in _precisions(runtime, device, mode, request):
                cell = make_cell(runtime, device, mode, precision, request)
                yield cell
                if request.dynamic and get_exporter(cell.export.format).one_artifact_many_shapes:
                    yield replace(cell, export=replace(cell.export, dynamic=request.dynamic))


def _in_default(runtime: Runtime, device: Device, mode: Mode, request: MeasureRequest) -> bool:
    # A cell without timing is run only if it is asked for by name; `full` has it.
    asked = runtime.name in request.filters.runtimes or set(runtime.formats) & set(request.filters.formats)
    if device.numerics_only is not None and not asked and request.suite != "check":
        return False
    if mode.alternative:
        return request.suite == "alternatives" or mode.name in request.filters.modes
    # On a CPU a compiler takes minutes to gain a few per cent; `full` has it.
    return not (mode.name in (runtime.compiles or ()) and kind_of(device.name) == "cpu")


def _precisions(runtime: Runtime, device: Device, mode: Mode, request: MeasureRequest) -> list[str]:
    own = auto_precision(device.name)
    known = mode.precisions or device.precisions
    if mode.name == runtime.baseline_mode:
        wanted = [own] if request.suite != "full" else [own, "fp32", *(("fp16-mixed",) if own != "fp32" else ())]
    elif request.suite == "full":
        wanted = list(known or ("fp32",))
    else:
        paying = [] if mode.precisions else [name for name, gain in runtime.gains(device).items() if gain >= WORTH]
        wanted = [deployed_precision(device, mode), *paying]
        if request.suite == "alternatives":
            wanted += [precision for precision in known if precision in runtime.quantized]
    return list(dict.fromkeys([*wanted, *request.precisions]))
