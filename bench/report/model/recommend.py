"""Recommendations by use case, each the answer of `choose` to a question people ask.

The use cases are the first report's (server, Mac development, CPU fallback) and four that its readers asked
for. Each is a :class:`depthport.bench.choice.choose.Request`, nothing more: `depthport choose` gives the same answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from depthport.bench.choice.candidates import Candidate, candidate
from depthport.bench.choice.choice import Choice, Constraint, Request
from depthport.bench.choice.choose import choose
from depthport.bench.report.model.merge import Group, MachineReport, Report
from depthport.bench.report.model.ranking import main_boundary

EXACT = 1e-4
"""Depth error that counts as the same result: what the fp32 parity gate allows."""


@dataclass(frozen=True)
class UseCase:
    """A question and the request that answers it."""

    key: str
    title: str
    asks: str
    """The question, in words."""
    request: Request
    elsewhere: str | None = None
    """Advice where no machine in the report has such a device."""


USE_CASES: tuple[UseCase, ...] = (
    UseCase(
        "server",
        "Server, throughput",
        "most images per second on an NVIDIA GPU",
        Request(goal="throughput_img_s", devices=("cuda",)),
        "run `depthport run` on a machine with an NVIDIA GPU and merge its results",
    ),
    UseCase(
        "mac",
        "Mac development",
        "lowest latency on an Apple GPU or neural engine",
        Request(devices=("mps", "ane")),
        "run `depthport run` on a Mac and merge its results",
    ),
    UseCase("cpu", "CPU fallback", "lowest latency without an accelerator", Request(devices=("cpu",))),
    UseCase(
        "exact",
        "Reference quality",
        "lowest latency with a depth error of at most 1e-4",
        Request(constraints=(Constraint("depth_error", EXACT),)),
    ),
    UseCase("memory", "Little memory", "lowest peak memory", Request(goal="memory_mib")),
    UseCase("short", "Short-lived processes", "soonest first result", Request(goal="cold_start_s")),
    UseCase(
        "open",
        "Open source only",
        "lowest latency with a runtime under an open-source licence",
        Request(licences=("open",)),
    ),
)


@dataclass(frozen=True)
class Recommendation:
    """The answer of one use case for one workload of one machine."""

    use_case: UseCase
    machine: str
    group: Group
    choice: Choice


@dataclass(frozen=True)
class Answers:
    """Everything `choose` says about a report, found once and shared by its renderers."""

    best: tuple[Choice, ...]
    """The lowest latency without constraints, per group in the report's order."""
    recommendations: tuple[Recommendation, ...]
    """Every use case on every group that has its device; in the order of the use cases."""
    unanswered: tuple[UseCase, ...]
    """Use cases for which no machine of the report has a device."""


def answer(report: Report) -> Answers:
    """Ask `choose` for the best cell of every group and for every use case, at the boundary each group is ranked at."""
    pools = [(m, g, _candidates(m, g)) for m in report.machines for g in m.groups]
    best = tuple(_choose(pool, group, Request()) for _, group, pool in pools)
    found = tuple(
        Recommendation(case, machine.name, group, _choose(pool, group, case.request))
        for case in USE_CASES
        for machine, group, pool in pools
        if _applies(case, group)
    )
    asked = {r.use_case.key for r in found}
    return Answers(best, found, tuple(c for c in USE_CASES if c.elsewhere and c.key not in asked))


def _candidates(machine: MachineReport, group: Group) -> list[Candidate]:
    """A group's cells to choose from, each with the number of the run that measured it."""
    numbers = {id(run): number for number, run in enumerate(machine.runs)}
    return [candidate(row.run.results, row.cell, numbers[id(row.run)]) for row in group.rows]


def _choose(pool: list[Candidate], group: Group, request: Request) -> Choice:
    return choose(pool, replace(request, boundary=main_boundary(group.rows)))


def _applies(case: UseCase, group: Group) -> bool:
    """Return whether the group has a cell that ran on a device the use case is about."""
    wanted: Sequence[str] = case.request.devices
    timed = [row.cell.device.partition(":")[0] for row in group.rows if row.ok and row.cell.timing]
    return any(not wanted or device in wanted for device in timed)
