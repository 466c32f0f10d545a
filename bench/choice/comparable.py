"""Conditions for comparing two runs, and the cautions that apply where they hold.

Two lists, for runs and for cells. A *bar* makes a verdict impossible (other hardware, protocol, shape,
precision, weights). A *flag* stands beside the verdict: it may be what changed the figure (driver, versions,
inputs), which is often the very question asked.
"""

from __future__ import annotations

from collections.abc import Mapping

from depthport.bench.environment.identity import Machine, machine_of
from depthport.bench.environment.telemetry_summary import THROTTLED_SHARE
from depthport.bench.results.model import Boundary, Cell, Results, Status
from depthport.bench.results.sections import WeightsSection
from depthport.bench.statistics.figures import percent

PROTOCOL_BARS = ("name", "regime", "rate_hz", "order", "threads", "timed_calls")
"""Parameters that change what a sample means. Seeds, budgets and counts only change how many there are."""
AXES = ("model", "batch", "views", "height", "width", "format", "runtime", "device", "mode", "precision")
SHAPE = ("batch", "views", "height", "width")


def run_bars(a: Results, b: Results, across_machines: bool = False) -> list[str]:
    """Return why no cell of these two runs can be compared; empty where they can."""
    bars = []
    first, second = machine_of(a.environment), machine_of(b.environment)
    if first.key != second.key and not across_machines:
        bars.append(f"another machine: {first.name} and {second.name}")
    for name in PROTOCOL_BARS:
        one, two = a.protocol.get(name), b.protocol.get(name)
        if one != two:
            bars.append(f"another protocol: {name} is {_show(one)} and {_show(two)}")
    return bars


def run_flags(a: Results, b: Results) -> list[str]:
    """Differences between the runs that may explain a difference in their figures."""
    flags = []
    first, second = machine_of(a.environment), machine_of(b.environment)
    if first.key != second.key:
        flags.append(f"machines differ: {first.name} and {second.name}")
    flags += _driver_flags(first, second)
    if first.system != second.system:
        flags.append(f"system: {first.system or 'unknown'} and {second.system or 'unknown'}")
    for package in sorted({*first.versions, *second.versions}):
        one, two = first.versions.get(package), second.versions.get(package)
        if one != two:
            flags.append(f"{package}: {one or 'not installed'} and {two or 'not installed'}")
    if a.inputs.get("sha256") != b.inputs.get("sha256"):
        flags.append("the inputs differ")
    for side, results in (("A", a), ("B", b)):
        flags += [
            f"a control of {side} {'was too short to tell' if c.undecided else 'failed'}: {k}"
            for k, c in results.controls.items()
            if not c.ok
        ]
        if not results.complete:
            flags.append(f"{side} was stopped before its end")
    return flags


def control_doubt(a: Results, b: Results) -> str | None:
    """Return why nothing can be concluded from these runs: a control that did not come out as it had to. None: all did."""
    unpassed = [f"{name} of {side}" for side, run in (("A", a), ("B", b)) for name, c in run.controls.items() if not c.ok]
    return f"not to be trusted: control {' and '.join(unpassed)} did not pass" if unpassed else None


def quota_doubt(a: Cell, b: Cell) -> str | None:
    """Return why nothing can be concluded from these cells: the container's CPU quota decided how long calls took."""
    for side, cell in (("A", a), ("B", b)):
        spread = (cell.telemetry or {}).get("quota_throttled_share")
        share = spread.get("median") if isinstance(spread, dict) else None
        if isinstance(share, int | float) and share > THROTTLED_SHARE:
            return f"the container's CPU quota held {side} back {percent(min(share, 1.0))} of the time"
    return None


def _driver_flags(first: Machine, second: Machine) -> list[str]:
    pairs = zip(first.accelerators, second.accelerators, strict=False)
    return [
        f"driver of {one.name}: {one.driver or 'unknown'} and {two.driver or 'unknown'}"
        for one, two in pairs
        if one.driver != two.driver
    ]


def cell_bar(
    a: Cell, b: Cell, weights_a: Mapping[str, WeightsSection], weights_b: Mapping[str, WeightsSection], boundary: Boundary
) -> str | None:
    """Return why two cells of one id can't be compared at a boundary, or None."""
    for axis in AXES:
        one, two = getattr(a, axis), getattr(b, axis)
        if one != two:
            what = "shape" if axis in SHAPE else axis
            return f"another {what}: {axis} is {_show(one)} and {_show(two)}"
    if a.weights != b.weights or _sha(a, weights_a) != _sha(b, weights_b):
        return f"other weights: {_show(a.weights)} and {_show(b.weights)}, or different files under that name"
    for side, cell in (("A", a), ("B", b)):
        timing = cell.timing.get(boundary)
        if cell.status not in (Status.OK, Status.PARITY_FAILED):
            return f"{side}: {cell.status.value.replace('_', ' ')}{f' ({cell.reason})' if cell.reason else ''}"
        if timing is None or timing.median_ms is None:
            return f"{side} was not measured at the {boundary} boundary"
    return None


def nearest(cell: Cell, others: list[Cell]) -> str | None:
    """The other run's cell that differs in a single axis, to say what was compared with nothing."""
    for other in others:
        apart = [axis for axis in AXES if getattr(cell, axis) != getattr(other, axis)]
        if len(apart) == 1:
            return f"the nearest is {other.id} (another {apart[0]})"
    return None


def parity_flag(a: Cell, b: Cell) -> str | None:
    """Return whether correctness moved: a parity gate that is now broken, or kept again."""
    if a.status is not b.status:
        return f"status was {a.status.value.replace('_', ' ')}, is {b.status.value.replace('_', ' ')}"
    return None


def _sha(cell: Cell, weights: Mapping[str, WeightsSection]) -> str | None:
    return weights.get(cell.model, {}).get("sha256")


def _show(value: object) -> str:
    return "not given" if value is None else str(value)[:80]
