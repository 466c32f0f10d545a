"""From a run's journal to its rows: statistics, verdicts, ranks, parity. Measures nothing itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from depthport.bench.analysis import quota
from depthport.bench.analysis.advice import cell_advice
from depthport.bench.analysis.evidence import Evidence, baseline_of
from depthport.bench.analysis.parity import parity, violation, worst
from depthport.bench.analysis.postprocess import cell_facts
from depthport.bench.analysis.samples import raw_samples
from depthport.bench.environment.telemetry_summary import summarize_records
from depthport.bench.plan.cells import CellSpec
from depthport.bench.plan.protocol import Protocol
from depthport.bench.results.journal import Journal
from depthport.bench.results.model import BOUNDARIES, Boundary, Cell, Memory, Phases, Speedup, Status, Timing
from depthport.bench.results.records import SessionReport
from depthport.bench.results.sections import Accuracy, Parity
from depthport.bench.statistics.latency import summarize
from depthport.bench.statistics.samples import CellSamples
from depthport.bench.statistics.steady_state import drift
from depthport.bench.statistics.verdict import rank
from depthport.exporters.core.files.npz import read_whole_npz

FP64 = "fp64-0"


def analyse(
    specs: Sequence[CellSpec],
    evidence: Evidence,
    protocol: Protocol,
    references: Mapping[str, Path],
    work: Path,
    accuracy: Mapping[str, Accuracy],
    pictures: Mapping[str, dict[str, str]],
) -> list[Cell]:
    """Every planned cell as a row of the results.

    Args:
        accuracy, pictures: what the rows' fields of these names hold, by the cells' ids.
    """
    reference = _load_references(references)
    parities = {spec.id: _parity(spec, evidence, reference, work) for spec in specs}
    ended = {spec.id: _ended(spec, evidence, parities[spec.id]) for spec in specs}
    right = [spec for spec in specs if ended[spec.id][0] is Status.OK and not spec.numerics_only]
    ranks = _ranks(specs, right, evidence, protocol)
    return [
        _cell(
            spec,
            ended[spec.id],
            _speedups(spec, baseline_of(spec, specs), evidence, protocol),
            ranks.get(spec.id, {}),
            evidence,
            parity=parities[spec.id],
            accuracy=accuracy.get(spec.id),
            pictures=pictures.get(spec.id, {}),
        )
        for spec in specs
    ]


def wrong_cells(specs: Sequence[CellSpec], journal: Journal, references: Mapping[str, Path], work: Path) -> frozenset[str]:
    """Ids of the cells whose outputs so far are not upstream's: they are timed, and nothing loses to them."""
    evidence, reference = Evidence(journal), _load_references(references)
    found = ((spec, _parity(spec, evidence, reference, work)) for spec in specs)
    return frozenset(spec.id for spec, own in found if _ended(spec, evidence, own)[0] is Status.PARITY_FAILED)


def fp64_error(references: Mapping[str, Path], size: tuple[int, int]) -> Parity | None:
    """Return the error of upstream's own fp32: against its fp64 on the first input, images of `size` (H, W)."""
    reference = _load_references(references)
    if FP64 not in reference or "fp32-0" not in reference:
        return None
    return parity(reference["fp32-0"], reference[FP64], size)


def _load_references(paths: Mapping[str, Path]) -> dict[str, dict[str, np.ndarray]]:
    return {name: arrays for name, path in paths.items() if (arrays := read_whole_npz(path)) is not None}


def _ended(spec: CellSpec, evidence: Evidence, parity: Parity | None) -> tuple[Status, str | None]:
    """Return how a cell ended, and why."""
    failed = evidence.failed.get(spec.id)
    if failed is not None:
        return failed.status, failed.reason
    broken = violation(parity, spec.export.precision, fitted_poses=spec.export.ray_pose) if parity is not None else None
    if broken:
        return Status.PARITY_FAILED, broken
    if spec.id not in evidence.regimes and all(evidence.samples(spec.id, b) is None for b in BOUNDARIES):
        return Status.NOT_MEASURED, "the run was stopped before it"
    return Status.OK, None


def _cell(
    spec: CellSpec,
    ended: tuple[Status, str | None],
    speedups: dict[Boundary, Speedup],
    ranks: dict[Boundary, int],
    evidence: Evidence,
    *,
    parity: Parity | None,
    accuracy: Accuracy | None,
    pictures: dict[str, str],
) -> Cell:
    export, shape = spec.export, spec.export.shape
    regime = None if spec.numerics_only else evidence.regimes.get(spec.id)
    reports = [report for report in evidence.reports if report.cell == spec.id]
    placement = reports[-1].placement if reports else None
    timing = {
        boundary: _timing(spec, samples, boundary, evidence)
        for boundary in BOUNDARIES
        if not spec.numerics_only and (samples := evidence.samples(spec.id, boundary)) is not None
    }
    return Cell(
        id=spec.id,
        model=export.model.name,
        batch=shape.batch,
        views=shape.views,
        height=shape.height,
        width=shape.width,
        weights=export.weights.id,
        format=export.format,
        runtime=spec.runtime,
        device=spec.device,
        mode=spec.mode,
        precision=export.precision,
        baseline=spec.baseline,
        status=ended[0],
        reason=ended[1],
        log=evidence.failed[spec.id].log if spec.id in evidence.failed else None,
        phases=_phases(spec.id, evidence),
        timing=timing,
        speedup=speedups,
        rank=ranks,
        memory=_memory(reports),
        parity=parity,
        accuracy=accuracy,
        placement=placement,
        artifact=made.facts if (made := evidence.artifacts.get(spec.id)) is not None else None,
        pictures=pictures,
        telemetry=summarize_records(visit.telemetry for visit in evidence.visits if visit.cell == spec.id),
        advice=[one.to_json() for one in cell_advice(cell_facts(spec, timing, placement, evidence))] if timing else [],
        regime=regime.summary if regime is not None else None,
        stages_ms=_stages(spec.id, evidence),
        mode_description=spec.mode_description,
        off_target=spec.off_target,
        numerics_only=spec.numerics_only,
        launches=len({launch.launch for launch in evidence.launches if launch.cell == spec.id}),
        tags=list(spec.tags),
    )


def _speedups(spec: CellSpec, baseline: CellSpec | None, evidence: Evidence, protocol: Protocol) -> dict[Boundary, Speedup]:
    if baseline is None or baseline.id == spec.id or spec.numerics_only:
        return {}
    found = {boundary: evidence.speedup(spec.id, baseline.id, boundary, protocol.margin) for boundary in BOUNDARIES}
    return {boundary: speedup for boundary, speedup in found.items() if speedup is not None}


def _phases(cell: str, evidence: Evidence) -> Phases:
    made, regime = evidence.artifacts.get(cell), evidence.regimes.get(cell)
    own = [launch for launch in evidence.launches if launch.cell == cell]
    load_s = float(np.median([launch.load_s for launch in own])) if own else None
    # The first process may compile what later ones find cached: what a newcomer waits for is the first.
    first_call_ms = own[0].first_call_ms if own else None
    if regime is not None:
        load_s, first_call_ms = regime.load_s, regime.first_call_ms
    return Phases(
        export_s=made.export_s if made else None,
        load_s=load_s,
        first_call_ms=first_call_ms,
        warmup_calls=2 + len(own[0].warmup_ms) if own else None,
        export_cached=made.origin == "cached" if made else None,
    )


def _stages(cell: str, evidence: Evidence) -> dict[str, float] | None:
    """Medians of what the parts of a scene took, in their order."""
    found = [block.stages_ns for block in evidence.blocks if block.cell == cell and block.stages_ns]
    return {name: float(np.median([one[name] for one in found])) / 1e6 for name in found[0]} if found else None


def _memory(reports: Sequence[SessionReport]) -> Memory:
    """Peaks of the processes after the first, which compiles where nothing is kept yet; its own are told apart."""
    first, later = reports[:1], reports[1:]
    steady = later or first
    return Memory(
        host_peak_mib=_max(r.host_peak_mib for r in steady),
        device_peak_mib=_max(r.device_peak_mib for r in steady),
        first_host_peak_mib=_max(r.host_peak_mib for r in first) if later else None,
    )


def _max(values: Iterable[float | None]) -> float | None:
    return max((v for v in values if v is not None), default=None)


def _timing(spec: CellSpec, samples: CellSamples, boundary: Boundary, evidence: Evidence) -> Timing:
    latency = summarize(samples)
    interval = (latency.ci95_ns[0] / 1e6, latency.ci95_ns[1] / 1e6) if latency.ci95_ns else None
    values = samples.steady_ns() / 1e6
    raw = raw_samples(spec.id, boundary, evidence.blocks, evidence.launches, calm=evidence.calm)
    trend = drift(samples)
    minutes = (max(raw.start_s) - min(raw.start_s)) / 60 if raw.start_s else 0.0
    own = [e for e in evidence.launches if e.cell == spec.id]
    images = spec.export.shape.images
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
        steady_state=all(e.steady for e in own),
    )


def _ms(ns: float | None) -> float | None:
    return None if ns is None else ns / 1e6


def _parity(
    spec: CellSpec, evidence: Evidence, reference: Mapping[str, Mapping[str, np.ndarray]], work: Path
) -> Parity | None:
    reports, size = [], (spec.export.shape.height, spec.export.shape.width)
    for index, name in sorted(evidence.outputs(spec.id).items()):
        expected = reference.get(f"fp32-{index}")
        outputs = read_whole_npz(work / name)
        if expected is not None and outputs is not None:
            reports.append(parity(outputs, expected, size))
    return {**worst(reports), "inputs": len(reports)} if reports else None


def _ranks(
    specs: Sequence[CellSpec], right: Sequence[CellSpec], evidence: Evidence, protocol: Protocol
) -> dict[str, dict[Boundary, int]]:
    """Ranks of the cells that gave a right answer, per device group and boundary; only cells of one baseline compare."""
    found: dict[str, dict[Boundary, int]] = {}
    for boundary in BOUNDARIES:
        for base in [s for s in specs if s.baseline]:
            base_samples = evidence.samples(base.id, boundary)
            group = [s for s in right if baseline_of(s, specs) is base]
            samples = [own for s in group if (own := evidence.samples(s.id, boundary)) is not None]
            if base_samples is None or not samples:
                continue
            for entry in rank(samples, base_samples, protocol.margin):
                found.setdefault(entry.cell, {})[boundary] = entry.rank
    return found
