"""Does one artifact compute what upstream computes? One inference in a process of its own, compared with upstream fp32.

`depthport export` does this for what it made, wherever a runtime for it is here, and the answer is kept beside the
artifact (bench/results/kept_parity.py), as that of every artifact that `depthport bench` measures.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from depthport.bench.inputs.inputs import load_scenes
from depthport.bench.measure import engine
from depthport.bench.measure.observer import Observer
from depthport.bench.measure.plan import Plan
from depthport.bench.plan.cells import CellSpec
from depthport.bench.plan.protocol import PAPER
from depthport.bench.plan.request import MeasureRequest
from depthport.bench.results.model import Status
from depthport.exporters.core.artifact import Artifact
from depthport.exporters.core.store import ArtifactStore
from depthport.exporters.da3.request import ExportRequest
from depthport.runtimes.registry import survey

CHECK = replace(PAPER, name="check", inputs=1, timed_calls=1, warmup_calls=1)
"""One input, one call after the first; its time is of no interest."""


@dataclass(frozen=True)
class Check:
    """What the check of an artifact found."""

    cell: str | None
    """`runtime/device/mode/precision` that ran it; None where nothing here runs it."""
    parity: Mapping[str, object] | None
    """Per output, as in `results.json`; None where it could not be run."""
    problem: str | None
    """One line: why it is wrong, or why it could not be checked."""

    @property
    def failed(self) -> bool:
        """Whether it ran and computes something else than upstream."""
        return self.parity is not None and self.problem is not None


def check(request: ExportRequest, artifact: Artifact, store: ArtifactStore, observer: Observer) -> Check:
    """Run `artifact`, which `request` made, on the first runtime of this machine that takes it, against upstream fp32.

    The finding is kept beside the artifact, by the cell that ran it.
    """
    spec = _cell(request, artifact)
    if isinstance(spec, str):
        return Check(None, None, spec)
    wanted = MeasureRequest(request, CHECK, suite="check")
    plan = Plan(wanted, (spec,), load_scenes(request.shape, sets=1, source_size=request.source_size), yardstick=False)
    with tempfile.TemporaryDirectory(prefix="depthport-check-") as folder:
        cell = engine.run(plan, Path(folder), store, observer).cells[0]
    if cell.parity is None:
        return Check(cell.id, None, cell.reason or "upstream's own outputs could not be computed")
    return Check(cell.id, cell.parity, cell.reason if cell.status is Status.PARITY_FAILED else None)


def worst_relative_l2(parity: Mapping[str, object]) -> tuple[str, float]:
    """The output that is furthest from upstream, and its relative L2."""
    distances = {k: f["rel_l2"] for k, f in parity.items() if isinstance(f, Mapping) and "rel_l2" in f}
    name = max(distances, key=lambda key: distances[key])
    return name, float(distances[name])


def _cell(request: ExportRequest, artifact: Artifact) -> CellSpec | str:
    """The cell that runs the artifact here, on its first suitable device; else why there is none."""
    reasons = []
    for surveyed in survey():
        runtime = surveyed.runtime
        if runtime is None or request.format not in runtime.formats:
            continue
        for device in surveyed.devices:
            if not device.available:
                reasons.append(f"{runtime.name} on {device.name}: {device.unavailable}")
                continue
            for mode in device.modes:
                made_for = runtime.target(device.name, mode, request.precision)
                if mode.name != runtime.baseline_mode and request.target in (mode.target, made_for):
                    return CellSpec(request, runtime.name, device.name, mode.name, artifact=str(artifact.path))
    return "; ".join(reasons) or f"no runtime here runs {request.format} for target {request.target or 'any'}"
