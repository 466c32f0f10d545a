"""One cell on the page: figures as numbers and texts, and what its row unfolds to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

import msgspec

from depthport.bench.choice.reproduce import command_line
from depthport.bench.report.model import rows
from depthport.bench.report.model.accuracy import accuracy_lines, meaningless, truths
from depthport.bench.report.model.matrix import slot
from depthport.bench.report.model.merge import MachineReport, Row
from depthport.bench.report.model.ranking import compiled
from depthport.bench.report.model.sentences import short_name
from depthport.bench.results.metrics import METRICS, cold_start_s, memory_mib, number
from depthport.bench.results.model import BOUNDARIES, Boundary
from depthport.bench.statistics import figures


def cell_payload(row: Row, group: int, front: bool, machine: MachineReport) -> dict[str, object]:
    """The row `row` of group number `group`; `front`: whether it is on the Pareto set, `choose`'s."""
    cell = row.cell
    return {
        "group": group,
        "id": cell.id,
        "name": short_name(row),
        "runtime": cell.runtime,
        "device": cell.device,
        "mode": cell.mode,
        "precision": cell.precision,
        "format": cell.format,
        "baseline": cell.baseline,
        "status": cell.status.value,
        "status_text": rows.status(row),
        "compiled": compiled(row),
        "front": front,
        "at": {boundary: _at(row, boundary) for boundary in BOUNDARIES if boundary in cell.timing},
        "depth_error": METRICS["depth_error"].read(cell, "device")[0],
        "depth_text": rows.depth(row),
        "pose_text": rows.pose(row),
        "rotation": METRICS["rotation_deg"].read(cell, "device")[0],
        "export_s": cell.phases.export_s,
        "export_text": figures.seconds(cell.phases.export_s) + (" (cached)" if cell.phases.export_cached else ""),
        "load_s": cell.phases.load_s,
        "load_text": figures.seconds(cell.phases.load_s),
        "first_s": None if cell.phases.first_call_ms is None else cell.phases.first_call_ms / 1e3,
        "first_text": figures.seconds(None if cell.phases.first_call_ms is None else cell.phases.first_call_ms / 1e3),
        "cold_text": figures.seconds(cold_start_s(cell)),
        "host_mib": cell.memory.host_peak_mib,
        "host_text": figures.mib(cell.memory.host_peak_mib),
        "device_mib": cell.memory.device_peak_mib,
        "device_text": figures.mib(cell.memory.device_peak_mib),
        "memory_mib": memory_mib(cell),
        "memory_text": rows.memory(row),
        "size_mib": METRICS["artifact_mib"].read(cell, "device")[0],
        "size_text": rows.size(row),
        "slot": slot(row),
        "accuracy": accuracy_lines(cell),
        "truth": [[name, number(scene.get("abs_rel"))] for name, scene in truths(cell)],
        "meaningless": meaningless(cell),
        "pictures": {},
        "launches": cell.launches,
        "details": _details(row, machine),
        "advice": [
            " – ".join(part for part in (a.get("message") or a.get("code", ""), a.get("advice", "")) if part)
            for a in cell.advice
        ],
        "command": command_line(row.run.results, cell),
    }


def _at(row: Row, boundary: Boundary) -> dict[str, object]:
    """One boundary's figures of a cell."""
    timing = row.cell.timing[boundary]
    speedup = row.cell.speedup.get(boundary)
    return {
        "median": timing.median_ms,
        "ci": timing.ci95_ms,
        "text": rows.latency(row, boundary),
        "mean_std": rows.mean_std(row, boundary),
        "img_s": timing.img_s,
        "img_s_text": rows.throughput(row, boundary),
        "min": timing.min_ms,
        "p90": timing.p90_ms,
        "p95": timing.p95_ms,
        "p99": timing.p99_ms,
        "p95_text": figures.NONE if timing.p95_ms is None else figures.reading(timing.p95_ms, 4),
        "n": timing.n,
        "cv": timing.cv,
        "ratio": None if speedup is None else speedup.ratio,
        "ratio_ci": None if speedup is None else speedup.ci95,
        "ratio_text": rows.ratio(row, boundary),
        "verdict": rows.verdict(row, boundary),
        "verdict_reason": "" if speedup is None else speedup.reason,
        "stability": rows.stability(row, boundary),
        "rank": row.cell.rank.get(boundary),
        "steady": timing.steady_state,
    }


def _details(row: Row, machine: MachineReport) -> list[tuple[str, str]]:
    """Return the content that a row unfolds to."""
    cell = row.cell
    lines = [("Runtime", f"{row.runtime.title}, licence {row.runtime.licence or 'unknown'}")]
    lines += [("Mode", cell.mode_description), ("Format", cell.format), ("Device", cell.device)]
    if cell.off_target:
        lines.append(("Not the target device", cell.off_target))
    for boundary, timing in cell.timing.items():
        parts = [
            f"{name} {figures.reading(value, 4)}"
            for name, value in (
                ("min", timing.min_ms),
                ("p90", timing.p90_ms),
                ("p95", timing.p95_ms),
                ("p99", timing.p99_ms),
            )
            if value is not None
        ]
        summary = f"{rows.latency(row, boundary)} ms, n = {timing.n}, {rows.mean_std(row, boundary)} mean ± std"
        lines.append((f"Latency ({boundary})", "; ".join([summary, *parts])))
        if timing.device_event_ms is not None and boundary == "device":
            lines.append(("Device events", f"{figures.reading(timing.device_event_ms, 4)} ms"))
        ratio = cell.speedup.get(boundary)
        if ratio is not None and ratio.reason:
            lines.append((f"Verdict ({boundary})", f"{ratio.verdict}: {ratio.reason}"))
    if cell.stages_ms:
        lines.append(("Stages", ", ".join(f"{name} {figures.reading(ms, 3)} ms" for name, ms in cell.stages_ms.items())))
    for output, block in (cell.parity or {}).items():
        if isinstance(block, Mapping):
            lines.append((f"Parity: {output}", ", ".join(f"{k} {_figure(v)}" for k, v in block.items())))
    if cell.placement is not None:
        lines.append(("Placement", ", ".join(f"{k}: {flat(v)}" for k, v in asdict(cell.placement).items())[:600]))
    for label, found in (("Telemetry", cell.telemetry), ("Regime", msgspec.to_builtins(cell.regime))):
        shown = {k: v for k, v in (found or {}).items() if k != "windows"}
        lines.append((label, "; ".join(f"{k}: {flat(v)}" for k, v in shown.items())[:600]))
    key = (cell.artifact or {}).get("key")
    if key is not None:
        lines.append(("Artifact", f"{key[:16]}, {rows.size(row)}"))
    if len(machine.runs) > 1:
        lines.append(("Measured", row.run.created))
    for run, older in row.history:
        timing_then = next(iter(older.timing.values()), None)
        then = "" if timing_then is None else f", {figures.interval(timing_then.median_ms, timing_then.ci95_ms)} ms"
        lines.append(("Earlier run", f"{run.created}: {older.status.value}{then}"))
    return [(label, text) for label, text in lines if text]


def _figure(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not isinstance(value, int | float):
        return str(value)[:60]
    return figures.reading(value) if 0.01 <= abs(value) < 1e5 else figures.scientific(value)


def flat(value: object) -> str:
    """Any JSON value in one line, numbers to three digits."""
    if isinstance(value, float):
        return _figure(value)
    if isinstance(value, dict):
        return ", ".join(f"{k} {flat(v)}" for k, v in value.items()) or "none"
    if isinstance(value, list | tuple):
        return ", ".join(map(flat, value)) or "none"
    return "unknown" if value is None else str(value)
