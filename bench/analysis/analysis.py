"""From a run's journal to its results: statistics, verdicts, ranks, controls, parity. Measures nothing itself."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from depthport.bench.analysis import quota
from depthport.bench.analysis.evidence import Evidence, baseline_of
from depthport.bench.analysis.parity import parity, violation, worst
from depthport.bench.analysis.samples import raw_samples
from depthport.bench.plan.cells import CellSpec
from depthport.bench.plan.design import MIN_LAUNCHES
from depthport.bench.plan.protocol import Protocol
from depthport.bench.results.journal import Journal
from depthport.bench.results.model import BOUNDARIES, Boundary, Cell, Control, Memory, Phases, Speedup, Status, Timing
from depthport.bench.statistics.estimate import estimate_log_ratio
from depthport.bench.statistics.latency import summarize
from depthport.bench.statistics.samples import CellSamples
from depthport.bench.statistics.steady_state import drift, should_stop
from depthport.bench.statistics.verdict import Ratio, Verdict, rank, ratio
from depthport.exporters.core.npz import read_whole_npz

MOST_NOISE = 0.10
"""An A/A interval that reaches further shows nothing: twice the delay that the other control injects."""
YARDSTICK = "fp64-0"


def intervals_narrow(journal: Journal, cells: Sequence[CellSpec], protocol: Protocol) -> bool:
    """Whether every ratio to its baseline is known to ±`target_half_width`: the stop rule's first half.

    The second half, the time budget, is the measurement's own (bench/measure/measure.py).
    """
    evidence = Evidence(journal)
    estimates = []
    for cell in cells:
        baseline = baseline_of(cell, cells)
        if baseline is None or cell.id == baseline.id or cell.id in evidence.failed:
            continue
        ours, theirs = evidence.samples(cell.id, "device"), evidence.samples(baseline.id, "device")
        estimates.append(estimate_log_ratio(theirs, ours) if ours is not None and theirs is not None else None)
    stop = should_stop(
        estimates,
        0.0,
        planned_launches=protocol.launches or MIN_LAUNCHES,
        target=protocol.target_half_width,
        budget_s=math.inf,
    )
    return stop is not None


def analyse(
    *, plan_cells: Sequence[CellSpec], journal: Journal, protocol: Protocol, references: Mapping[str, Path], work: Path
) -> tuple[list[Cell], dict[str, Control]]:
    """Every planned cell as a row of the results, and the two controls."""
    evidence = Evidence(journal)
    reference = _load_references(references)
    cells = [_cell(spec, plan_cells, evidence, protocol, reference, work) for spec in plan_cells]
    _rank(cells, plan_cells, evidence, protocol)
    return cells, _controls(plan_cells, evidence, protocol)


def yardstick(references: Mapping[str, Path], size: tuple[int, int]) -> dict[str, Any] | None:
    """Upstream's own fp32 rounding: its fp32 outputs against its fp64 ones on the first input, images of `size`
    (H, W)."""
    reference = _load_references(references)
    if YARDSTICK not in reference or "fp32-0" not in reference:
        return None
    return parity(reference["fp32-0"], reference[YARDSTICK], size)


def _load_references(paths: Mapping[str, Path]) -> dict[str, dict[str, np.ndarray[Any, Any]]]:
    return {name: arrays for name, path in paths.items() if (arrays := read_whole_npz(path)) is not None}


def _cell(
    spec: CellSpec,
    plan_cells: Sequence[CellSpec],
    evidence: Evidence,
    protocol: Protocol,
    reference: Mapping[str, Mapping[str, Any]],
    work: Path,
) -> Cell:
    export = spec.export
    failed = evidence.failed.get(spec.id)
    cell = Cell(
        id=spec.id,
        model=export.model,
        batch=export.shape.batch,
        views=export.shape.views,
        height=export.shape.height,
        width=export.shape.width,
        weights=export.weights or "",
        format=export.format,
        runtime=spec.runtime,
        device=spec.device,
        mode=spec.mode,
        precision=export.precision,
        baseline=spec.baseline,
        mode_description=spec.mode_description,
        off_target=spec.off_target,
        tags=list(spec.tags),
    )
    if failed:
        cell.status, cell.reason = Status(failed["status"]), failed["reason"]
    cell.phases = _phases(spec.id, evidence)
    cell.memory, cell.placement = _reported(spec.id, evidence)
    cell.artifact = _artifact(spec.id, evidence)
    cell.launches = len({e["launch"] for e in evidence.launches if e["cell"] == spec.id})
    for boundary in BOUNDARIES:
        samples = evidence.samples(spec.id, boundary)
        if samples is not None:
            cell.timing[boundary] = _timing(spec, samples, boundary, evidence)
    baseline = baseline_of(spec, plan_cells)
    if baseline is not None and baseline.id != spec.id:
        for boundary in BOUNDARIES:
            ours, theirs = evidence.samples(spec.id, boundary), evidence.samples(baseline.id, boundary)
            if ours is not None and theirs is not None:
                found = speedup(ratio(theirs, ours, protocol.margin))
                cell.speedup[boundary] = quota.carried(
                    found, evidence.quota_share(spec.id), evidence.quota_share(baseline.id)
                )
    cell.parity = _parity(spec, evidence, reference, work)
    if cell.status is Status.OK and cell.parity is not None:
        broken = violation(cell.parity, export.precision, fitted_poses=export.ray_pose)
        if broken:
            cell.status, cell.reason = Status.PARITY_FAILED, broken
    regime = evidence.regimes.get(spec.id)
    if regime is not None:
        cell.regime = {"kind": regime["regime"], **regime["summary"]}
        cell.phases.load_s, cell.phases.first_call_ms = regime["load_s"], regime["first_call_ms"]
    if cell.status is Status.OK and not cell.timing and regime is None:
        cell.status, cell.reason = Status.NOT_MEASURED, "the run was stopped before it"
    return cell


def speedup(found: Ratio) -> Speedup:
    """A ratio as the results keep it."""
    return Speedup(found.ratio, found.ci95, found.verdict.value, found.explanation)


def _phases(cell: str, evidence: Evidence) -> Phases:
    phases = Phases()
    made = evidence.artifacts.get(cell)
    if made:
        phases.export_s = made["export_s"]
        phases.export_cached = made["origin"] == "cached"
    own = [e for e in evidence.launches if e["cell"] == cell]
    if own:
        phases.load_s = float(np.median([e["load_s"] for e in own]))
        # The first process may compile what later ones find cached: what a newcomer waits for is the first.
        phases.first_call_ms = own[0]["first_call_ms"]
        phases.warmup_calls = 2 + len(own[0]["warmup_ms"])
    return phases


def _reported(cell: str, evidence: Evidence) -> tuple[Memory, dict[str, Any] | None]:
    own = [e for e in evidence.reports if e["cell"] == cell]
    if not own:
        return Memory(), None
    return (Memory(_max(e["host_peak_mib"] for e in own), _max(e["device_peak_mib"] for e in own)), own[-1]["placement"])


def _max(values: Any) -> float | None:
    return max((v for v in values if v is not None), default=None)


def _artifact(cell: str, evidence: Evidence) -> dict[str, Any] | None:
    made = evidence.artifacts.get(cell)
    return None if made is None else made.get("facts", {"key": made["key"], "size_bytes": None})


def _timing(spec: CellSpec, samples: CellSamples, boundary: Boundary, evidence: Evidence) -> Timing:
    latency = summarize(samples)
    interval = (latency.ci95_ns[0] / 1e6, latency.ci95_ns[1] / 1e6) if latency.ci95_ns else None
    values = samples.steady_ns() / 1e6
    raw = raw_samples(spec.id, boundary, evidence.blocks, evidence.launches)
    trend = drift(samples)
    minutes = (max(raw.start_s) - min(raw.start_s)) / 60 if raw.start_s else 0.0
    own = [e for e in evidence.launches if e["cell"] == spec.id]
    images = spec.export.shape.images
    events = [b["event_ms"] for b in evidence.blocks if b["cell"] == spec.id and b.get("event_ms") is not None]
    return Timing(
        median_ms=latency.median_ns / 1e6,
        ci95_ms=quota.opened(interval, evidence.quota_share(spec.id)),
        mean_ms=float(values.mean()),
        std_ms=float(values.std(ddof=1)) if len(values) > 1 else None,
        min_ms=latency.min_ns / 1e6,
        p90_ms=_ms(latency.p90_ns),
        p95_ms=_ms(latency.p95_ns),
        p99_ms=_ms(latency.p99_ns),
        n=latency.n,
        img_s=images / (latency.median_ns / 1e9),
        samples=raw,
        cv=latency.cv,
        drift_per_minute=trend.change / minutes if trend and trend.detected and minutes > 0 else None,
        autocorrelation=latency.autocorrelation,
        device_event_ms=float(np.median(events)) if events and boundary == "device" else None,
        steady_state=all(e["steady"] for e in own),
    )


def _ms(ns: float | None) -> float | None:
    return None if ns is None else ns / 1e6


def _parity(
    spec: CellSpec, evidence: Evidence, reference: Mapping[str, Mapping[str, Any]], work: Path
) -> dict[str, Any] | None:
    reports, size = [], (spec.export.shape.height, spec.export.shape.width)
    for index, name in sorted(evidence.outputs(spec.id).items()):
        expected = reference.get(f"fp32-{index}")
        outputs = read_whole_npz(work / name)
        if expected is not None and outputs is not None:
            reports.append(parity(outputs, expected, size))
    return {**worst(reports), "inputs": len(reports)} if reports else None


def _rank(cells: list[Cell], specs: Sequence[CellSpec], evidence: Evidence, protocol: Protocol) -> None:
    """Rank the cells that gave a right answer, per device group and boundary; only cells of one baseline compare."""
    by_id = {cell.id: cell for cell in cells}
    for boundary in BOUNDARIES:
        for base in [s for s in specs if s.baseline]:
            base_samples = evidence.samples(base.id, boundary)
            group = [s for s in specs if baseline_of(s, specs) is base and by_id[s.id].status is Status.OK]
            samples = [found for s in group if (found := evidence.samples(s.id, boundary)) is not None]
            if base_samples is None or not samples:
                continue
            for entry in rank(samples, base_samples, protocol.margin):
                by_id[entry.cell].rank[boundary] = entry.rank


def _nothing_found(found: Speedup) -> bool:
    """Whether an A/A control shows that where nothing differs nothing is found, which a wide interval does not."""
    if found.verdict == Verdict.EQUIVALENT.value:
        return True
    known = found.ci95 is not None and found.ci95[0] >= 1 / (1 + MOST_NOISE) and found.ci95[1] <= 1 + MOST_NOISE
    return found.verdict == Verdict.INCONCLUSIVE.value and known


def _controls(specs: Sequence[CellSpec], evidence: Evidence, protocol: Protocol) -> dict[str, Control]:
    if not protocol.controls or evidence.regimes:
        return {}
    from depthport.bench.plan.controls import control_subject

    usable = [s for s in specs if evidence.samples(s.id, "device") is not None]
    names = {e["cell"] for e in evidence.blocks}
    controls: dict[str, Control] = {}
    for name, tag, expected in (("aa", "control-aa", "equivalent"), ("plus5", "control-plus5", "slower")):
        subject = next((s for s in usable if s.with_tag(tag, tag).id in names), None)
        if subject is None:
            if usable:
                controls[name] = Control(None, None, "not run", expected, False, f"{control_subject(usable).id} has none")
            continue
        ours = evidence.samples(subject.with_tag(tag, tag).id, "device")
        theirs = evidence.samples(subject.id, "device")
        assert ours is not None and theirs is not None
        copy = subject.with_tag(tag, tag).id
        found = quota.carried(
            speedup(ratio(theirs, ours, protocol.margin)), evidence.quota_share(copy), evidence.quota_share(subject.id)
        )
        ok = _nothing_found(found) if name == "aa" else found.verdict == Verdict.SLOWER.value
        controls[name] = Control(found.ratio, found.ci95, found.verdict, expected, ok, found.reason)
    return controls
