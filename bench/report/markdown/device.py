"""The report's section per machine and device: overview, best, slowest, by precision, by mode, all configurations."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from depthport.bench.report.markdown.format import as_markdown, blocks, bullets, code, escape, table
from depthport.bench.report.model import neural_engine, regime, rows
from depthport.bench.report.model.accuracy import ALIGNMENT, HEADS, MEANINGLESS, accuracy_lines, meaningless
from depthport.bench.report.model.merge import Group, MachineReport, Row
from depthport.bench.report.model.pictures import KINDS
from depthport.bench.report.model.standing import BOUNDARY_TEXT, OTHER, by_axis, by_device, main_boundary, median, ranked
from depthport.bench.results.model import Boundary
from depthport.bench.statistics import figures
from depthport.exporters.core.inspection import Table

PictureOf = Callable[[Row, str], str | None]
MOST_PICTURES = 6


def device_sections(machine: MachineReport, picture_of: PictureOf) -> list[str]:
    """One `##` section a machine with a `###` a device and, if it ran several workloads, a `####` a workload."""
    parts = [f"## {escape(machine.name)}", as_markdown(Table("", ("", ""), tuple(machine.machine.facts())))]
    if len(machine.runs) > 1:
        dates = ", ".join(escape(run.created) for run in machine.runs)
        parts.append(f"Runs of this machine, newest first: {dates}. Where two measured a cell, the newer is shown.")
    for group in machine.groups:
        boundary = main_boundary(group.rows)
        idle: list[Row] = []
        for device, members in by_device(group).items():
            if not any(row.cell.timing for row in members):
                idle += [row for row in members if not row.cell.regime]
                continue
            parts.append(f"### {code(device)} · {escape(group.workload.label)}")
            parts.append(_device(members, boundary))
        parts += [_idle(idle, group), _regimes(group), _phases(group), _neural_engine(machine, group)]
        parts += [_accuracy(group), _pictures(group, picture_of)]
    return [part for part in parts if part]


def _device(members: Sequence[Row], boundary: Boundary) -> str:
    order = ranked(members, boundary)
    other = OTHER[boundary]
    lines = [
        f"{len(order)} of {len(members)} configurations ran and passed parity. "
        f"Latency at the {boundary} boundary: {BOUNDARY_TEXT[boundary]}."
    ]
    if order:
        best, worst = order[0], order[-1]
        lines.append(f"**Best**: {_headline(best, boundary)}")
        lines.append(f"**Slowest**: {_headline(worst, boundary)}")
    for reason in dict.fromkeys(row.cell.off_target for row in order if row.cell.off_target):
        cells = ", ".join(code(row.cell.id) for row in order if row.cell.off_target == reason)
        lines.append(f"**Not the target device**: {cells}. {escape(reason)}.")
    parts = [bullets(lines)]
    if order:
        parts += ["**By precision**", _axis(members, "precision", boundary)]
        parts += ["**By mode**", _axis(members, "mode", boundary)]
    parts += ["**All configurations**", _all(members, boundary, other)]
    return blocks(parts).rstrip()


def _idle(members: Sequence[Row], group: Group) -> str:
    """Devices on which nothing gave a figure: every cell with its reason."""
    if not members:
        return ""
    head = ["Configuration", "Device", "Precision", "Compile", "Status"]
    body = [
        [
            code(row.cell.id),
            code(row.cell.device),
            escape(row.cell.precision),
            rows.compile_mark(row),
            escape(rows.status(row), 300),
        ]
        for row in members
    ]
    return f"### Not run here · {escape(group.workload.label)}\n\n{table(head, body, 'lllcl')}"


def _headline(row: Row, boundary: Boundary) -> str:
    text = f"{code(row.cell.id)}, {rows.latency(row, boundary)} ms, {rows.throughput(row, boundary)} img/s"
    ratio = rows.ratio(row, boundary)
    if row.cell.baseline:
        return f"{text} (the baseline)"
    return f"{text}, {ratio} ({rows.verdict(row, boundary)}) vs upstream"


def _axis(members: Sequence[Row], axis: str, boundary: Boundary) -> str:
    head = [axis.capitalize(), "Cells", "Mean img/s", "Best cell", "Best [95 %], ms", "Best img/s"]
    head += ["vs upstream [95 %]", "Verdict", "Depth error"]
    means = by_axis(members, axis, boundary)
    body = [
        [
            code(m.value),
            str(m.cells),
            figures.reading(m.mean_img_s),
            code(m.best.cell.id),
            rows.latency(m.best, boundary),
            rows.throughput(m.best, boundary),
            rows.ratio(m.best, boundary),
            rows.verdict(m.best, boundary),
            rows.depth(m.best),
        ]
        for m in means
    ]
    if axis == "mode":
        head.append("What the mode does")
        body = [[*line, escape(m.description) or figures.NONE] for line, m in zip(body, means, strict=True)]
    return table(head, body, "lrrlrrrlrl")


def _all(members: Sequence[Row], boundary: Boundary, other: Boundary) -> str:
    head = [
        "Configuration",
        "Precision",
        "Compile",
        f"Latency ({boundary}) [95 %], ms",
        "Mean ± std",
        "n",
        "img/s",
        f"Latency ({other}) [95 %], ms",
        "vs upstream [95 %]",
        "Verdict",
        "Depth error",
        "Rotation",
        "Memory",
        "Artifact",
        "Stability",
        "Status",
    ]
    order = sorted(members, key=lambda row: (not row.ok, median(row, boundary)))
    body = []
    for row in order:
        timed = row.cell.timing.get(boundary)
        body.append(
            [
                code(row.cell.id),
                escape(row.cell.precision),
                rows.compile_mark(row),
                rows.latency(row, boundary),
                rows.mean_std(row, boundary),
                str(timed.n) if timed else figures.NONE,
                rows.throughput(row, boundary),
                rows.latency(row, other),
                rows.ratio(row, boundary),
                rows.verdict(row, boundary),
                rows.depth(row),
                rows.pose(row),
                rows.memory(row),
                rows.size(row),
                escape(rows.stability(row, boundary)),
                escape(rows.status(row), 300),
            ]
        )
    return table(head, body, "llcrrrrrrlrrrrll")


def _regimes(group: Group) -> str:
    """Latency over minutes and deadlines at a fixed rate, where a run measured them."""
    parts = []
    for kind in regime.KINDS:
        body = [
            [code(cell), *map(escape, regime.regime_line(found))] for cell, found in regime.regimes_of(group.rows, kind)
        ]
        if body:
            head = ["Configuration", *regime.HEADS[kind]]
            parts += [f"### {regime.TITLES[kind]}", table(head, body, "l" + "r" * len(regime.HEADS[kind]))]
    return blocks(parts).rstrip() if parts else ""


def _phases(group: Group) -> str:
    """Export, load and first call, apart from steady state."""
    body = []
    for row in group.rows:
        phases = row.cell.phases
        if phases.load_s is None and phases.export_s is None and phases.first_call_ms is None:
            continue
        cached = " (cached)" if phases.export_cached else ""
        first = None if phases.first_call_ms is None else phases.first_call_ms / 1e3
        body.append(
            [
                code(row.cell.id),
                figures.seconds(phases.export_s) + cached,
                figures.seconds(phases.load_s),
                figures.seconds(first),
                rows.memory(row),
                figures.mib(row.cell.memory.host_peak_mib),
            ]
        )
    if not body:
        return ""
    head = ["Configuration", "Export", "Load", "First call", "Peak memory", "Peak host memory"]
    title = f"### Phases and memory · {escape(group.workload.label)}"
    return f"{title}\n\n{table(head, body, 'lrrrrr')}"


def _neural_engine(machine: MachineReport, group: Group) -> str:
    """What Apple's Neural Engine is predicted to refuse of each Core ML package, and what Core ML placed on it."""
    body = [[code(line.cell), *(escape(text, 300) for text in line[1:])] for line in neural_engine.lines(machine, group)]
    if not body:
        return ""
    title = f"### {neural_engine.TITLE} · {escape(group.workload.label)}"
    return f"{title}\n\n{neural_engine.NOTE}\n\n{table(neural_engine.HEAD, body, 'llrrrlll')}"


def _accuracy(group: Group) -> str:
    """Against ground truth, per cell and scene; said to mean nothing where the weights are synthetic."""
    body = [[code(row.cell.id), *map(escape, line)] for row in group.rows for line in accuracy_lines(row.cell)]
    if not body:
        return ""
    title = f"### Accuracy against ground truth · {escape(group.workload.label)}"
    void = any(meaningless(row.cell) for row in group.rows if row.cell.accuracy)
    doubt = f"**Every figure here {MEANINGLESS}**: it shows that the way works. " if void else ""
    return f"{title}\n\n{doubt}{ALIGNMENT}\n\n{table(['Configuration', *HEADS], body, 'll' + 'r' * (len(HEADS) - 1))}"


def _pictures(group: Group, picture_of: PictureOf) -> str:
    """Depth and error of the baseline and the fastest cells, side by side."""
    boundary = main_boundary(group.rows)
    order = [row for row in (group.baseline, *ranked(group.rows, boundary)) if row is not None]
    body: list[list[str]] = []
    for row in {id(row): row for row in order}.values():
        links = [(kind, picture_of(row, kind)) for kind in KINDS] if len(body) < MOST_PICTURES else []
        if any(link for _, link in links):
            shown = [f"![{kind}]({link})" if link else figures.NONE for kind, link in links]
            body.append([code(row.cell.id), *shown])
    if not body:
        return ""
    title = f"### Depth and error · {escape(group.workload.label)}"
    return f"{title}\n\n{table(['Configuration', 'Depth', 'Error to upstream fp32'], body)}"
