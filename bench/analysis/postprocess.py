"""Postprocessing of a measured run: pictures, and the facts that advice is based on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from depthport.bench.analysis.advice import CellFacts, RunFacts, repeatability, run_advice
from depthport.bench.analysis.evidence import Evidence
from depthport.bench.analysis.pictures import save_depth, save_error, save_views
from depthport.bench.environment.telemetry_summary import machine_facts
from depthport.bench.inputs.inputs import Scene
from depthport.bench.plan.cells import CellSpec
from depthport.bench.results.model import Boundary, Control, Timing
from depthport.bench.results.records import Launch
from depthport.exporters.core.errors import StorageError
from depthport.exporters.core.files.atomic import storage_errors
from depthport.exporters.core.files.npz import read_whole_npz
from depthport.runtimes.terms import Placement


def draw(
    cells: Iterable[str], evidence: Evidence, scenes: Sequence[Scene], references: Mapping[str, Path], work: Path, out: Path
) -> tuple[str | None, dict[str, dict[str, str]]]:
    """Save the first input's views, and every cell's depth and error to the reference, below `out/pictures`.

    Returns the relative paths of the views' picture and of each cell's; None and none where there is no reference to
    compare with, no depth in it, or no room for pictures: the measurements are written anyway.
    """
    try:
        with storage_errors(out):
            return _draw(cells, evidence, scenes, references, work, out)
    except StorageError:
        return None, {}


def _draw(
    cells: Iterable[str], evidence: Evidence, scenes: Sequence[Scene], references: Mapping[str, Path], work: Path, out: Path
) -> tuple[str | None, dict[str, dict[str, str]]]:
    if "fp32-0" not in references:
        return None, {}
    reference = read_whole_npz(references["fp32-0"]) or {}
    if "depth" not in reference:
        return None, {}  # other outputs were asked for
    folder = out / "pictures"
    folder.mkdir(exist_ok=True)
    found = {}
    for cell in cells:
        name = evidence.outputs(cell).get(0)
        outputs = read_whole_npz(work / name) if name is not None else None
        if outputs is None:
            continue
        stem = cell.replace("/", "-").replace(":", "-")
        save_depth(outputs["depth"], folder / f"{stem}-depth.png", like=reference["depth"])
        save_error(outputs["depth"], reference["depth"], folder / f"{stem}-error.png")
        found[cell] = {"depth": f"pictures/{stem}-depth.png", "error": f"pictures/{stem}-error.png"}
    save_views(scenes[0].rgb, folder / "views.jpg")
    return "pictures/views.jpg", found


def warnings(controls: Mapping[str, Control], synthetic_weights: Sequence[str], evidence: Evidence) -> list[dict[str, str]]:
    """Return the warnings that concern the whole run."""
    facts = RunFacts(
        controls=controls,
        synthetic_weights=synthetic_weights,
        relaunched=evidence.relaunched,
        machine=machine_facts(visit.telemetry for visit in evidence.visits),
    )
    return [advice.to_json() for advice in run_advice(facts)]


def cell_facts(
    spec: CellSpec, timing: Mapping[Boundary, Timing], placement: Placement | None, evidence: Evidence
) -> CellFacts:
    """Return the facts that advice on a measured cell is based on."""
    device, host = timing.get("device"), timing.get("host")
    launches = [launch for launch in evidence.launches if launch.cell == spec.id]
    own = [block for block in evidence.blocks if block.cell == spec.id]
    return CellFacts(
        device=spec.device,
        device_ms=device.median_ms if device else None,
        host_ms=host.median_ms if host else None,
        enqueue_ms=_enqueue_ms(launches),
        sync_ms=min((launch.calibration.sync_ns / 1e6 for launch in launches), default=None),
        cv=device.cv if device else None,
        drift_per_minute=device.drift_per_minute if device else None,
        steady_state=all(launch.steady for launch in launches),
        fallback=placement.fallback if placement else (),
        repeatability=repeatability((b.launch, b.input, b.outputs_sha256) for b in own),
        machine=machine_facts(visit.telemetry for visit in evidence.visits if visit.cell == spec.id),
    )


def _enqueue_ms(launches: Sequence[Launch]) -> float | None:
    """Time until `run` returns; None where it returned no earlier than the work was done (a CPU runtime)."""
    costs = [launch.calibration for launch in launches]
    return min((c.enqueue_ns / 1e6 for c in costs if c.enqueue_ns < 0.95 * c.call_ns), default=None)
