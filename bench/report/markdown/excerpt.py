"""The parts of pages that show recorded runs.

They are the report's picture with the pick of every run (README.md), and the cells of every run of suite
`alternatives`, ours beside what people would run instead (docs/cpu.md).

`make records` merges `bench/records/*` into `report.md` and `report.png` there (and the page, `report.html`, which git
leaves out) and rewrites these parts, so that no figure is copied by hand; a test compares the two.

    python -m depthport.bench.report.markdown.excerpt README.md bench/records/*/
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from depthport.bench.report.markdown.format import blocks, code, escape, table
from depthport.bench.report.model import rows
from depthport.bench.report.model.merge import Group, MachineReport, Report, Row, merge
from depthport.bench.report.model.ranking import main_boundary, median, timing
from depthport.bench.report.model.recommend import answer
from depthport.bench.results.control_doubt import control_doubt
from depthport.bench.results.metrics import cold_start_s
from depthport.bench.results.model import ALTERNATIVE, Boundary, Status
from depthport.bench.statistics.figures import NONE
from depthport.exporters.core.errors import UsageError
from depthport.exporters.core.files.atomic import write_text

DEMO, SUITE = "demo", "alternatives"
"""Names of the marks around what is rewritten: `<!-- demo:begin -->` and `<!-- demo:end -->`."""
PICTURE = "bench/records/report.png"
REPORT = "bench/records/report.md"


def excerpt(report: Report) -> str:
    """Markdown between the marks, without them."""
    names = ", ".join(machine.name for machine in report.machines)
    synthetic = " Weights are random: timing and parity are valid, depth values are not." if report.synthetic else ""
    picks, doubts = [], []
    choices = iter(answer(report).best)
    for machine in report.machines:
        for group in machine.groups:
            boundary, choice = main_boundary(group.rows), next(choices)
            pick = next((row for row in group.rows if row.cell.id == choice.pick), None)
            if pick is None:
                continue
            picks.append(
                [escape(machine.name), escape(group.workload.label), code(pick.cell.id), rows.latency(pick, boundary),
                 rows.ratio(pick, boundary), rows.depth(pick), rows.memory(pick)]
            )  # fmt: skip
            doubts += [f"{escape(machine.name)}: {line}" for line in _doubt([pick])]
    head = ["machine", "workload", "take", "latency, ms", "vs upstream", "depth error (rel. L2)", "peak memory"]
    return blocks(
        [
            f"[![The report of {escape(names)}]({PICTURE})]({REPORT})",
            f"The page's first screen, and the pick of every recorded run (median [95 % interval], device boundary; all "
            f"cells, samples and versions: [the report]({REPORT})).{synthetic}",
            table(head, picks, "lllrrrr"),
            *dict.fromkeys(doubts),
        ]
    ).rstrip()


def _caption(machine: MachineReport, group: Group, shown: Sequence[Row], boundary: Boundary) -> str:
    counts = [found.n for row in shown if (found := timing(row, boundary)) is not None]
    launches = max(row.cell.launches for row in shown)
    return (
        f"**{escape(machine.name)}** · {escape(group.workload.label)} · {boundary} boundary, median [95 % interval], "
        f"n = {min(counts)}" + (f" to {max(counts)}" if max(counts) > min(counts) else "") + f", {launches} "
        f"launch{'es' if launches != 1 else ''}:"
    )


def _doubt(shown: Sequence[Row]) -> Iterator[str]:
    results = shown[0].run.results
    doubt = control_doubt(results)
    if doubt and results.controls:
        yield f"*{escape(doubt)}: its verdicts are not to be trusted.*"


def alternatives(report: Report) -> str:
    """Markdown of every run of suite `alternatives`, each cell of it; empty where none is recorded."""
    parts: list[str] = []
    for machine in report.machines:
        for group in machine.groups:
            parts += _alternatives(machine, group)
    return blocks(parts).rstrip()


def _alternatives(machine: MachineReport, group: Group) -> Iterator[str]:
    own = [row for row in group.rows if row.run.results.protocol.get("suite") == SUITE]
    boundary = main_boundary(own)
    timed = sorted((row for row in own if timing(row, boundary)), key=lambda row: median(row, boundary))
    if not timed:
        return
    yield _caption(machine, group, timed, boundary)
    head = ["cell", "what it is", "latency, ms", "vs upstream", "depth error (rel. L2)", "camera rotation",
            "first result, s", "peak memory"]  # fmt: skip
    yield table(head, [_alternative(row, boundary) for row in timed], "llrrrrrr")
    # A cell that computes something else is timed anyway; one that could not be is listed with its reason.
    for row in own:
        if row.cell.status not in (Status.OK, Status.UNAVAILABLE, Status.UNSUPPORTED):
            yield f"{code(row.cell.id)}: {escape(rows.status(row))}."
    yield from _doubt(timed)


def _alternative(row: Row, boundary: Boundary) -> list[str]:
    whose = "" if row.cell.baseline else "instead: " if ALTERNATIVE in row.cell.tags else "ours: "
    first = cold_start_s(row.cell)
    return [
        code(row.cell.id), escape(f"{whose}{row.cell.mode_description}"), rows.latency(row, boundary),
        rows.ratio(row, boundary), rows.depth(row), rows.pose(row), NONE if first is None else f"{first:.1f}",
        rows.memory(row),
    ]  # fmt: skip


def replaced(text: str, name: str, part: str) -> str:
    """Replace the part of `text` between the marks of a name.

    Raises:
        UsageError: the marks are missing, repeated or out of order.
    """
    before, after = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    head, begin, rest = text.partition(before)
    _, end, tail = rest.partition(after)
    if not begin or not end:
        raise UsageError(f"the page has no {before} … {after} to write into")
    return f"{head}{before}\n{part}\n{after}{tail}"


def rewritten(text: str, report: Report) -> str:
    """Fill in the parts that the page has marks for; a part without a recorded run stays as it is.

    Raises:
        UsageError: it has no marks.
    """
    parts = {name: make for name, make in {DEMO: excerpt, SUITE: alternatives}.items() if f"<!-- {name}:begin -->" in text}
    if not parts:
        raise UsageError(f"the page has no <!-- {DEMO}:begin --> or <!-- {SUITE}:begin --> to write behind")
    for name, make in parts.items():
        if found := make(report):
            text = replaced(text, name, found)
    return text


def main(arguments: Sequence[str]) -> None:
    """Rewrite the parts of a page from results files."""
    page, *sources = map(Path, arguments)
    write_text(page, rewritten(page.read_text(encoding="utf-8"), merge(sources)))


if __name__ == "__main__":
    main(sys.argv[1:])
