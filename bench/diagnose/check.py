"""Check that an export computes what upstream computes.

The check is a run of the ordinary engine that times nothing: every cell computes one input once, in its own process,
and is compared with upstream fp32.

`depthport export` checks so what it made, wherever a runtime for it is here, and what was found is kept beside the
artifact (bench/results/kept_parity.py), as that of every artifact that `depthport bench` measures. `depthport doctor
--self-check` checks every runtime of this machine so.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from depthport.bench.inputs.inputs import load_scenes
from depthport.bench.measure import engine
from depthport.bench.measure.observer import Observer
from depthport.bench.measure.plan import RunPlan
from depthport.bench.plan.cells import CellSpec
from depthport.bench.plan.protocol import CHECK
from depthport.bench.plan.request import MeasureRequest
from depthport.bench.results.model import Results, Status
from depthport.bench.results.sections import Parity
from depthport.exporters.core.artifact import Artifact
from depthport.exporters.core.store import ArtifactStore
from depthport.exporters.da3.request import ExportRequest
from depthport.runtimes.base import Mode
from depthport.runtimes.registry import survey


@dataclass(frozen=True)
class Check:
    """Findings of the check of an artifact."""

    cell: str | None
    """`runtime/device/mode/precision` that ran it; None where nothing here runs it."""
    parity: Parity | None
    """Parity per output, as in `results.json`; None where it could not be run."""
    problem: str | None
    """One line: why it is wrong, or why it could not be checked."""

    @property
    def failed(self) -> bool:
        """True if it ran and computes something else than upstream."""
        return self.parity is not None and self.problem is not None


def check(request: ExportRequest, artifact: Artifact, store: ArtifactStore, observer: Observer) -> Check:
    """Run `artifact`, which `request` made, on the first runtime of this machine that takes it, against upstream fp32.

    The finding is kept beside the artifact, by the cell that ran it.
    """
    spec = _cell(request, artifact)
    if isinstance(spec, str):
        return Check(None, None, spec)
    (cell,) = check_cells(MeasureRequest(request, CHECK, suite="check"), [spec], store, observer).cells
    if cell.parity is None:
        return Check(cell.id, None, cell.reason or "upstream's own outputs could not be computed")
    return Check(cell.id, cell.parity, cell.reason if cell.status is Status.PARITY_FAILED else None)


def check_cells(
    request: MeasureRequest, cells: Iterable[CellSpec], store: ArtifactStore | None, observer: Observer
) -> Results:
    """Check cells under a request's protocol.

    Args:
        store: where artifacts are made; None: a temporary folder.

    Raises:
        Interrupted: Ctrl-C; nothing of it is kept.
    """
    scenes = load_scenes(request.export.shape, sets=1, source_size=request.export.source_size)
    plan = RunPlan(request, tuple(cell.untimed() for cell in cells), scenes, fp64=False)
    with tempfile.TemporaryDirectory(prefix="depthport-check-") as folder:
        try:
            return engine.run(plan, Path(folder) / "run", store or ArtifactStore(Path(folder) / "artifacts"), observer)
        except engine.Interrupted as stop:
            raise engine.Interrupted("stopped", stop.exit_code) from None


def worst_relative_l2(parity: Parity) -> tuple[str, float]:
    """The output that is furthest from upstream, and its relative L2."""
    found = [(d, k) for k, f in parity.items() if isinstance(f, Mapping) and (d := f.get("rel_l2")) is not None]
    distance, name = max(found)
    return name, distance


def _cell(request: ExportRequest, artifact: Artifact) -> CellSpec | str:
    """The cell that runs the artifact here, on its first suitable device; else why there is none."""
    reasons = []
    takers = [
        (one.runtime, device)
        for one in survey()
        if one.runtime is not None and request.format in one.runtime.formats
        for device in one.devices
    ]
    for runtime, device in sorted(takers, key=lambda taker: taker[1].preference):
        if not device.available:
            reasons.append(f"{runtime.name} on {device.name}: {device.unavailable}")
            continue
        taking = [
            mode
            for mode in device.modes
            if mode.name != runtime.baseline_mode
            and request.target in (mode.target, runtime.target(device.name, mode, request.precision))
        ]
        if taking:
            mode = min(taking, key=lambda mode: _strangeness(mode, request))
            return CellSpec(request, runtime.name, device.name, mode.name, artifact=str(artifact.path))
    return "; ".join(reasons) or f"no runtime on this machine runs {request.format} for target {request.target or 'any'}"


def _strangeness(mode: Mode, request: ExportRequest) -> tuple[bool, int, bool]:
    """Distance of a mode's own artifacts from a request's.

    Options of another kind come first, then those it says nothing of, then what people would run without this package.
    """
    own = dict(mode.export_options).items()
    return not own <= request.options.items(), -len(own), mode.alternative
