"""The page's data: every figure twice, as a number for plots and sorting and as the text that is printed.

The texts come from the same functions as the Markdown report's, so the two can't disagree; the page's script
formats no statistic itself.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from depthport.bench.choice.choice import Choice
from depthport.bench.report.markdown.methodology import READING
from depthport.bench.report.model import neural_engine, regime, rows
from depthport.bench.report.model.accuracy import ALIGNMENT, HEADS
from depthport.bench.report.model.controls import control_lines
from depthport.bench.report.model.cross_device import FLEET_HEAD, cross_device, measured_where
from depthport.bench.report.model.findings import group_findings
from depthport.bench.report.model.merge import Group, MachineReport, Report, Row, is_synthetic
from depthport.bench.report.model.pictures import KINDS, Album, shipped_inputs
from depthport.bench.report.model.ranking import by_axis, main_boundary
from depthport.bench.report.model.recommend import USE_CASES, Answers, Recommendation
from depthport.bench.report.model.sentences import break_even_lines, figures_of
from depthport.bench.report.model.series import limit_per_series, thin
from depthport.bench.report.page.payload_cell import cell_payload, flat
from depthport.bench.results.metrics import METRICS, number
from depthport.bench.results.model import Boundary
from depthport.bench.statistics import figures
from depthport.exporters.core.json_types import JsonObject

PAGE_BYTES = 4_600_000
"""Largest size of the whole page."""
PICTURES_SHARE = 0.6
"""Most share for pictures of the size that the tables leave; samples take the rest."""


def payload(report: Report, answers: Answers, page_bytes: float = PAGE_BYTES, *, own_images: bool = False) -> JsonObject:
    """Everything the page shows, JSON types only.

    Pictures and samples are thinned so that the JSON stays below `page_bytes`, pictures of the cells worth the least
    first; the page says what was left out.
    """
    cells: list[dict[str, object]] = []
    groups: list[dict[str, object]] = []
    for index, machine in enumerate(report.machines):
        for group in machine.groups:
            best = answers.best[len(groups)]
            cells += [cell_payload(row, len(groups), row.cell.id in best.pareto, machine) for row in group.rows]
            groups.append(_group(machine, index, group, best))
    data = {
        "machines": [_machine(machine) for machine in report.machines],
        "groups": groups,
        "cells": cells,
        "cross": cross_device(report),
        "fleet": {"head": FLEET_HEAD, "runs": measured_where(report)},
        "recommendations": _recommendations(answers),
        "reading": list(READING),
        "stable": rows.STABLE,
        "accuracy": {"head": list(HEADS), "note": ALIGNMENT},
    }
    budget = max(0.0, page_bytes - len(json.dumps(data)))
    album = Album(budget * PICTURES_SHARE)
    rows_ = [row for group in report.groups for row in group.rows]
    cell_of = {id(row): cell for row, cell in zip(rows_, cells, strict=True)}
    for group, choice, shown in zip(report.groups, answers.best, groups, strict=True):
        for row in _picture_order(group, choice):
            cell_of[id(row)]["pictures"] = {k: album.add(row.run, row.cell.pictures.get(k)) for k in KINDS}
        run = group.rows[0].run
        shipped = shipped_inputs(run)
        shown["inputs"] = album.add(run, run.results.inputs.get("picture")) if shipped or own_images else None
        shown["own_images"] = not shipped
    return {
        **data,
        "pictures": album.urls,
        "pictures_left_out": album.left_out,
        "series": _series(rows_, budget - album.spent),
    }


def _machine(machine: MachineReport) -> dict[str, object]:
    return {
        "name": machine.name,
        "facts": machine.machine.facts(),
        "versions": sorted(machine.machine.versions.items()),
        "runs": [
            {
                "created": run.created,
                "controls": control_lines(run),
                "protocol": {k: flat(v) for k, v in run.results.protocol.items() if k != "yardstick" and v is not None},
                "inputs": run.results.inputs.get("name", ""),
                "weights": [
                    [model, info.get("id", ""), info.get("licence") or "unknown", info.get("sha256", "")]
                    for model, info in run.results.weights.items()
                ],
            }
            for run in machine.runs
        ],
    }


def _fp64_error(group: Group) -> float | None:
    """Upstream's own rounding: the depth error of its fp32 outputs against its fp64 ones, where the run measured it."""
    for row in group.rows:
        depth = (row.run.results.protocol.get("yardstick") or {}).get("depth")
        value = number(depth.get("rel_l2")) if isinstance(depth, Mapping) else None
        if value:
            return value
    return None


def _regimes(group: Group) -> list[dict[str, object]]:
    """Tables and lines of cells that ran in another regime than `burst`."""
    blocks: list[dict[str, object]] = []
    for kind in regime.KINDS:
        members = regime.regimes_of(group.rows, kind)
        if members:
            blocks.append(
                {
                    "kind": kind,
                    "title": regime.TITLES[kind],
                    "head": ["Cell", *regime.HEADS[kind]],
                    "rows": [[cell, *regime.regime_line(found)] for cell, found in members],
                    "lines": [[cell, regime.windows(found)] for cell, found in members],
                    "marks": [[cell, regime.marks(found)] for cell, found in members],
                }
            )
    return blocks


def _group(machine: MachineReport, index: int, group: Group, choice: Choice) -> dict[str, object]:
    boundary = main_boundary(group.rows)
    return {
        "machine": index,
        "workload": group.workload.label,
        "tab": _tab(group, machine),
        "images": group.workload.images,
        "boundary": boundary,
        "pick": choice.pick,
        "objectives": [METRICS[name].label for name in choice.objectives],
        "findings": list(group_findings(group, choice)),
        "synthetic": any(is_synthetic(row.run.results, row.cell) for row in group.rows),
        "fp64_error": _fp64_error(group),
        "regimes": _regimes(group),
        "burst": not regime.without_burst(group.rows),
        "tables": list(neural_engine.block(machine, group)),
        "axes": {axis: _axis(group, axis, boundary) for axis in ("precision", "mode")},
        "ran": sum(row.ok for row in group.rows),
        "count": len(group.rows),
    }


def _tab(group: Group, machine: MachineReport) -> str:
    """Return what distinguishes a workload from the machine's others, in a word or two; empty if it is the only one."""
    others = [other.workload for other in machine.groups if other is not group]
    own = group.workload
    if not others:
        return ""
    parts = [own.model] if any(other.model != own.model for other in others) else []
    if any(other.views != own.views for other in others) or not parts:
        parts.append(f"{own.views} view{'s' if own.views != 1 else ''}")
    return ", ".join(parts)


def _axis(group: Group, axis: str, boundary: Boundary) -> list[dict[str, object]]:
    return [
        {
            "value": m.value,
            "cells": m.cells,
            "mean": figures.reading(m.mean_img_s),
            "best": m.best.cell.id,
            "latency": rows.latency(m.best, boundary),
            "img_s": rows.throughput(m.best, boundary),
            "description": m.description,
        }
        for m in by_axis(group.rows, axis, boundary)
    ]


def _picture_order(group: Group, choice: Choice) -> list[Row]:
    """Rows in the order their pictures are worth the page's budget: baseline, pick, ties, front, the rest."""
    places = {cell: place for place, cell in enumerate(dict.fromkeys([choice.pick, *choice.ties, *choice.pareto]))}

    def worth(row: Row) -> tuple[bool, int]:
        return not row.cell.baseline, places.get(row.cell.id, len(places))

    return sorted(group.rows, key=worth)


def _series(rows_: list[Row], budget_bytes: float) -> list[dict[str, object]]:
    """Return each cell's samples at each boundary, in the payload's order."""
    limit = limit_per_series([len(t.samples.ms) for row in rows_ for t in row.cell.timing.values()], budget_bytes)
    return [
        {boundary: thin(t.samples, limit).to_json() for boundary, t in row.cell.timing.items() if t.samples.ms}
        for row in rows_
    ]


def _recommendations(answers: Answers) -> list[dict[str, object]]:
    """One entry a use case, with the answer of every machine that has its device."""
    found = answers.recommendations
    return [
        {
            "title": case.title,
            "asks": case.asks,
            "elsewhere": case.elsewhere if case in answers.unanswered else None,
            "answers": [_recommendation(r) for r in found if r.use_case is case],
        }
        for case in USE_CASES
        if case.elsewhere or any(r.use_case is case for r in found)
    ]


def _recommendation(found: Recommendation) -> dict[str, object]:
    choice = found.choice
    return {
        "machine": found.machine,
        "workload": choice.workload,
        "pick": choice.pick,
        "why": choice.why,
        "figures": figures_of(choice),
        "sensitivity": [found.text for found in choice.sensitivity[:3]],
        "break_even": break_even_lines(choice.break_even)[:2],
    }
