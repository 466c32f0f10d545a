"""The part of README.md that shows recorded runs: picture, and per machine and workload the cells worth naming.

`make records` merges `bench/records/*` into `report.md` and `report.png` there (and the page, `report.html`, which git
leaves out) and rewrites this part, so that no figure in the README is copied by hand; a test compares the two.

    python -m depthport.bench.report.markdown.excerpt README.md bench/records/*/
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from depthport.bench.choice.choice import Choice
from depthport.bench.report.markdown.format import blocks, code, escape, table
from depthport.bench.report.model import rows
from depthport.bench.report.model.merge import Group, MachineReport, Report, Row, merge
from depthport.bench.report.model.recommend import answer
from depthport.bench.report.model.standing import main_boundary, ranked, timing
from depthport.bench.results.control_doubt import control_doubt
from depthport.exporters.core.errors import UsageError
from depthport.exporters.core.files.atomic import write_text

BEGIN, END = "<!-- demo:begin -->", "<!-- demo:end -->"
MOST_CELLS = 6
PICTURE = "bench/records/report.png"
REPORT = "bench/records/report.md"


def excerpt(report: Report) -> str:
    """Markdown between the marks, without them."""
    names = ", ".join(machine.name for machine in report.machines)
    synthetic = " Weights are synthetic: speed and parity hold, depth means nothing." if report.synthetic else ""
    choices = iter(answer(report).best)
    parts = [
        f"[![The report of {escape(names)}]({PICTURE})]({REPORT})",
        f"That is the page's first screen, made from the recorded runs of `bench/records/` by `make records`, as is what "
        f"follows.{synthetic}",
    ]
    for machine in report.machines:
        for group in machine.groups:
            parts += _group(machine, group, next(choices))
    return blocks(parts).rstrip()


def _group(machine: MachineReport, group: Group, choice: Choice) -> Iterator[str]:
    boundary = main_boundary(group.rows)
    order = ranked(group.rows, boundary)
    shown = _worth_naming(group, order, choice)
    if not shown:
        return
    counts = [found.n for row in shown if (found := timing(row, boundary)) is not None]
    launches = max(row.cell.launches for row in shown)
    yield (
        f"**{escape(machine.name)}** · {escape(group.workload.label)} · {boundary} boundary, median [95 % interval], "
        f"n = {min(counts)}" + (f" to {max(counts)}" if max(counts) > min(counts) else "") + f", {launches} "
        f"launch{'es' if launches != 1 else ''}:"
    )
    head = ["cell", "latency, ms", "img/s", "vs upstream", "depth error (rel. L2)", "peak memory"]
    yield table(
        head,
        [
            [f"**{code(row.cell.id)}**" if row.cell.id == choice.pick else code(row.cell.id),
             rows.latency(row, boundary), rows.throughput(row, boundary), rows.ratio(row, boundary),
             rows.depth(row), rows.memory(row)]
            for row in shown
        ],
        "lrrrrr",
    )  # fmt: skip
    results = shown[0].run.results
    doubt = control_doubt(results)
    if doubt and results.controls:
        yield f"*{escape(doubt)}: its verdicts are not to be trusted.*"


def _worth_naming(group: Group, order: Sequence[Row], choice: Choice) -> list[Row]:
    """The fastest, the pick and the baseline, fastest first."""
    fixed = [row for row in order if row.cell.baseline or row.cell.id == choice.pick]
    rest = [row for row in order if row not in fixed][: max(0, MOST_CELLS - len(fixed))]
    return [row for row in order if row in fixed or row in rest]


def replaced(text: str, part: str) -> str:
    """`text` with what stands between the marks replaced.

    Raises:
        UsageError: the marks are not there, once each and in order.
    """
    head, begin, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise UsageError(f"the page has no {BEGIN} … {END} to write into")
    return f"{head}{BEGIN}\n{part}\n{END}{tail}"


def main(arguments: Sequence[str]) -> None:
    page, *sources = map(Path, arguments)
    write_text(page, replaced(page.read_text(encoding="utf-8"), excerpt(merge(sources))))


if __name__ == "__main__":
    main(sys.argv[1:])
