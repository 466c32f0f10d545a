"""Cross-device comparison: the only place with ratios between figures of two machines.

Per workload, the best cell of each machine and device, its throughput, and how many times that is of the
slowest listed. Machines were measured on different days with different baselines, so no verdict is given and
the interval is that of two independent medians. Before that, of a fleet: which machine measured what, when, with which
controls.
"""

from __future__ import annotations

from typing import TypedDict

from depthport.bench.report.model import rows
from depthport.bench.report.model.merge import Group, MachineReport, Report, Row, Run, Workload
from depthport.bench.report.model.ranking import main_boundary, ranked, timing
from depthport.bench.results.model import Boundary
from depthport.bench.statistics import figures

CONTROLS = {"aa": "A/A", "plus5": "+5 %"}
FLEET_HEAD = ["Machine", "Hardware", "Job", "Measured", "Controls", "Bundle"]


class Place(TypedDict):
    """The best cell of a machine's device, ready for a table."""

    machine: str
    device: str
    cell: str
    runtime: str
    latency: str
    img_s: float | None
    img_s_text: str
    times: float
    times_text: str
    upstream: str
    verdict: str
    depth_error: str


class RankedWorkload(TypedDict):
    """Places of one workload, the fastest first."""

    workload: str
    boundary: Boundary
    rows: list[Place]


def cross_device(report: Report) -> list[RankedWorkload]:
    """One block a workload that two or more devices ran, slowest device last."""
    places: dict[tuple[object, ...], list[tuple[MachineReport, Group, str]]] = {}
    for machine in report.machines:
        for group in machine.groups:
            for device in dict.fromkeys(row.cell.device for row in group.rows if row.ok):
                places.setdefault(_same_work(group.workload), []).append((machine, group, device))
    blocks = []
    for found in places.values():
        boundary = main_boundary(row for _, group, _ in found for row in group.rows)
        best = [(machine, row) for machine, group, device in found if (row := _best(group, device, boundary)) is not None]
        if len(best) > 1:
            blocks.append(_block(best, boundary, found[0][1].workload))
    return blocks


def _same_work(workload: Workload) -> tuple[object, ...]:
    """Return the key that must agree across machines; weights need not, as they do not change the time."""
    return workload[:5]


def _best(group: Group, device: str, boundary: Boundary) -> Row | None:
    order = ranked([row for row in group.rows if row.cell.device == device], boundary)
    return order[0] if order else None


def _block(best: list[tuple[MachineReport, Row]], boundary: Boundary, workload: Workload) -> RankedWorkload:
    ordered = sorted(best, key=lambda pair: timing(pair[1], boundary).median_ms or 0.0)  # type: ignore[union-attr]
    slowest = timing(ordered[-1][1], boundary)
    lines: list[Place] = []
    for machine, row in ordered:
        own = timing(row, boundary)
        assert own is not None and slowest is not None and own.median_ms and slowest.median_ms
        ci = None
        if own.ci95_ms and slowest.ci95_ms:
            ci = (slowest.ci95_ms[0] / own.ci95_ms[1], slowest.ci95_ms[1] / own.ci95_ms[0])
        ratio = slowest.median_ms / own.median_ms
        last = row is ordered[-1][1]
        lines.append(
            {
                "machine": machine.name,
                "device": row.cell.device,
                "cell": row.cell.id,
                "runtime": row.cell.runtime,
                "latency": rows.latency(row, boundary),
                "img_s": own.img_s,
                "img_s_text": rows.throughput(row, boundary),
                "times": ratio,
                "times_text": "1×" if last else figures.ratio(ratio, ci),
                "upstream": rows.ratio(row, boundary),
                "verdict": rows.verdict(row, boundary),
                "depth_error": rows.depth(row),
            }
        )
    label = workload._replace(weights="").label
    return {"workload": label, "boundary": boundary, "rows": lines}


def measured_where(report: Report) -> list[list[str]]:
    """One line a run of a fleet: machine as the fleet calls it, hardware, job, when, controls, bundle. Empty without."""
    return [
        [bundle.machine, machine.name, bundle.job, run.created, _controls(run), bundle.sha256[:12]]
        for machine in report.machines
        for run in machine.runs
        if (bundle := run.results.bundle) is not None
    ]


def _controls(run: Run) -> str:
    """`A/A equivalent ✓ · +5 % slower ✓`, or that there were none."""
    found = run.results.controls
    said = (f"{CONTROLS.get(key, key)} {control.verdict} {'✓' if control.ok else '✗'}" for key, control in found.items())
    return " · ".join(said) or "none"
