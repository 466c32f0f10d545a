"""The Neural Engine's part of a report: its predicted refusals, and Core ML's decisions where a run on a Mac has them.

The prediction (exporters/coreml/mil/ane.py) was made when the package was exported, on any machine, and lies with the
cell's artifact. What `MLComputePlan` said is in the placement of cells that ran on a Mac. Both are counts of operations,
never times.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from depthport.bench.report.model.merge import Group, MachineReport, Row
from depthport.bench.statistics import figures
from depthport.exporters.coreml.mil.ane import against_plan, family_of

TITLE = "Neural Engine: predicted, and placed by Core ML"
HEAD = (
    "Cell",
    "Chips",
    "Refused (predicted)",
    "Share of FLOPs refused (predicted)",
    "Switches (predicted)",
    "Because (predicted)",
    "Placed by Core ML (MLComputePlan)",
    "Where they differ",
)
NOTE = (
    "Predicted from third-party tables of what each chip's Neural Engine accepts, on any machine; Core ML decides on the "
    "Mac, operation by operation. Core ML's own plan is shown where the cell ran on one."
)
MOST_REASONS = 3


class Line(NamedTuple):
    """One cell, or one artifact, on one chip family; plain text."""

    cell: str
    chips: str
    refused: str
    share: str
    switches: str
    because: str
    placed: str
    differ: str


def lines(machine: MachineReport, group: Group) -> list[Line]:
    """Lines of a workload on a machine: per cell for that Mac's own chip; off a Mac per artifact and family."""
    family = family_of(machine.machine.cpu or "")
    found: list[Line] = []
    seen: set[object] = set()
    for row in group.rows:
        prediction = _prediction(row)
        plan = _plan(row)
        artifact = (row.cell.artifact or {}).get("key")
        if prediction is None or (not plan and artifact in seen):
            continue
        seen.add(artifact)
        # A Mac's own chip where it is known; packages that ran nowhere are for any.
        own = [f for f in _families(prediction) if family is None or not plan or f.get("family") == family]
        found += [_line(row, known, plan) for known in own]
    return found


def block(machine: MachineReport, group: Group) -> Iterator[dict[str, object]]:
    """The same for the page, as a titled table; nothing where no cell has a prediction."""
    body = lines(machine, group)
    if body:
        yield {"title": TITLE, "note": NOTE, "head": list(HEAD), "rows": [list(line) for line in body]}


def _prediction(row: Row) -> Mapping[str, object] | None:
    return (row.cell.artifact or {}).get("neural_engine")


def _plan(row: Row) -> dict[str, str]:
    plan = row.cell.placement.details.get("plan") if row.cell.placement else None
    return {str(k): str(v) for k, v in plan.items()} if isinstance(plan, Mapping) else {}


def _families(prediction: Mapping[str, object]) -> list[Mapping[str, object]]:
    found = prediction.get("families")
    return [f for f in found if isinstance(f, Mapping)] if isinstance(found, list) else []


def _line(row: Row, family: Mapping[str, Any], plan: Mapping[str, str]) -> Line:
    blockers = [b for b in family.get("blockers") or () if isinstance(b, Mapping)]
    reasons = [f"{b.get('count')} {b.get('operation')}: {b.get('reason')}" for b in blockers[:MOST_REASONS]]
    more = len(blockers) - MOST_REASONS
    share = family.get("blocked_flop_share")
    return Line(
        row.cell.id,
        str(family.get("family", figures.NONE)),
        f"{family.get('blocked')} of {family.get('operations')}",
        f"{share:.2%}" if isinstance(share, int | float) else figures.NONE,
        str(family.get("switches", figures.NONE)),
        "; ".join([*reasons, *([f"{more} more"] if more > 0 else [])]) or "nothing",
        _placed(plan),
        _difference(family, plan),
    )


def _placed(plan: Mapping[str, str]) -> str:
    if not plan:
        return figures.NONE
    devices = [str(device) for device in plan.values()]
    return ", ".join(f"{devices.count(name)} {name}" for name in ("ane", "gpu", "cpu") if name in devices)


def _difference(family: Mapping[str, Any], plan: Mapping[str, str]) -> str:
    refused = [str(name) for name in family.get("refused") or ()]
    if not plan or (family.get("blocked") and not refused):
        return figures.NONE
    elsewhere, taken = against_plan(refused, plan)
    parts = [f"{len(elsewhere)} accepted by the tables run elsewhere"] if elsewhere else []
    parts += [f"{len(taken)} refused by the tables run on it"] if taken else []
    return "; ".join(parts) or "nowhere"
