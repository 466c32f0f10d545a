"""What is made of a run once it has been measured: pictures, telemetry, advice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from depthport.bench.analysis.advice import CellFacts, RunFacts, cell_advice, repeatability, run_advice
from depthport.bench.analysis.evidence import Evidence
from depthport.bench.analysis.pictures import save_depth, save_error, save_views
from depthport.bench.environment.telemetry_summary import machine_facts, summarize_records
from depthport.bench.inputs.inputs import Scene
from depthport.bench.results.journal import Journal
from depthport.bench.results.model import Cell, Results
from depthport.exporters.core.atomic import storage_errors
from depthport.exporters.core.errors import StorageError
from depthport.exporters.core.npz import read_whole_npz


def draw(
    cells: Sequence[Cell], journal: Journal, scenes: Sequence[Scene], references: Mapping[str, Path], work: Path, out: Path
) -> str | None:
    """Save the first input's views, and every cell's depth and error to the reference, below `out/pictures`.

    Returns the relative path of the views' picture; None where there is no reference to compare with, no depth in it, or
    no room for pictures: what was measured is written all the same.
    """
    try:
        with storage_errors(out):
            return _draw(cells, journal, scenes, references, work, out)
    except StorageError:
        for cell in cells:
            cell.pictures = {}
        return None


def _draw(
    cells: Sequence[Cell], journal: Journal, scenes: Sequence[Scene], references: Mapping[str, Path], work: Path, out: Path
) -> str | None:
    evidence = Evidence(journal)
    if "fp32-0" not in references:
        return None
    reference = read_whole_npz(references["fp32-0"]) or {}
    if "depth" not in reference:
        return None  # other outputs were asked for

    folder = out / "pictures"
    folder.mkdir(exist_ok=True)
    for cell in cells:
        name = evidence.outputs(cell.id).get(0)
        outputs = read_whole_npz(work / name) if name is not None else None
        if outputs is None:
            continue
        stem = cell.id.replace("/", "-").replace(":", "-")
        save_depth(outputs["depth"], folder / f"{stem}-depth.png", like=reference["depth"])
        save_error(outputs["depth"], reference["depth"], folder / f"{stem}-error.png")
        cell.pictures = {"depth": f"pictures/{stem}-depth.png", "error": f"pictures/{stem}-error.png"}
    save_views(scenes[0].rgb, folder / "views.jpg")
    return "pictures/views.jpg"


def advise(results: Results, journal: Journal) -> None:
    """Fill in every cell's telemetry and advice, and the warnings that concern the whole run."""
    evidence = Evidence(journal)
    for cell in results.cells:
        records = [v["telemetry"] for v in evidence.visits if v["cell"] == cell.id]
        cell.telemetry = summarize_records(records)
        if cell.timing:
            cell.advice = [advice.to_json() for advice in cell_advice(_facts(cell, evidence))]
    facts = RunFacts(
        controls=results.controls,
        synthetic_weights=[w["id"] for w in results.weights.values() if w["synthetic"]],
        relaunched=evidence.relaunched,
        machine=machine_facts(v["telemetry"] for v in evidence.visits),
    )
    results.warnings = [advice.to_json() for advice in run_advice(facts)]


def _facts(cell: Cell, evidence: Evidence) -> CellFacts:
    device, host = cell.timing.get("device"), cell.timing.get("host")
    launches = [e for e in evidence.launches if e["cell"] == cell.id]
    own = [b for b in evidence.blocks if b["cell"] == cell.id]
    return CellFacts(
        device=cell.device,
        device_ms=device.median_ms if device else None,
        host_ms=host.median_ms if host else None,
        enqueue_ms=_enqueue_ms(launches),
        sync_ms=min((e["sync_ns"] / 1e6 for e in launches), default=None),
        cv=device.cv if device else None,
        drift_per_minute=device.drift_per_minute if device else None,
        steady_state=all(e["steady"] for e in launches),
        fallback=(cell.placement or {}).get("fallback", ()),
        repeatability=repeatability((b["launch"], b["input"], b["outputs_sha256"]) for b in own),
        machine=machine_facts(v["telemetry"] for v in evidence.visits if v["cell"] == cell.id),
    )


def _enqueue_ms(launches: Sequence[Mapping[str, float]]) -> float | None:
    """Time until `run` returns; None where it returned no earlier than the work was done (a CPU runtime)."""
    asynchronous = [e for e in launches if e["enqueue_ns"] < 0.95 * e["call_ns"]]
    return min(e["enqueue_ns"] for e in asynchronous) / 1e6 if asynchronous else None
