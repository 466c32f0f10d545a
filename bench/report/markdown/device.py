"""The report's section per machine and device: overview, best, slowest, by precision, by mode, all configurations."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence

from depthport.bench.report.markdown.format import as_markdown, blocks, bullets, code, details, escape, table
from depthport.bench.report.model import neural_engine, regime, rows
from depthport.bench.report.model.accuracy import ALIGNMENT, HEADS, MEANINGLESS, accuracy_lines, meaningless
from depthport.bench.report.model.merge import Group, MachineReport, Row, is_synthetic
from depthport.bench.report.model.pictures import KINDS
from depthport.bench.report.model.ranking import (
    BOUNDARY_TEXT,
    OTHER,
    by_axis,
    by_device,
    main_boundary,
    median,
    ranked,
    timing,
)
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
        parts += [_idle(idle, group), _stages(group), _regimes(group), _phases(group), _neural_engine(machine, group)]
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
        lines.append(f"**Fastest**: {_headline(best, boundary)}")
        lines.append(f"**Slowest**: {_headline(worst, boundary)}")
    for reason in dict.fromkeys(row.cell.off_target for row in order if row.cell.off_target):
        cells = ", ".join(code(row.cell.id) for row in order if row.cell.off_target == reason)
        lines.append(f"**Not the target device**: {cells}. {escape(reason)}.")
    parts = [bullets(lines)]
    parts += ["**All configurations**", _all(members, boundary)]
    if order:
        parts += [_axis(members, "precision", boundary), _axis(members, "mode", boundary)]
    parts.append(_more(members, boundary, other))
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
    return details(f"Not run here: {len(body)} configurations of {_plain(group)}", table(head, body, "lllcl"))


def _plain(group: Group) -> str:
    """A workload in a summary line, which is HTML."""
    return html.escape(" ".join(group.workload.label.split())[:120])


def _by_speed(members: Sequence[Row], boundary: Boundary) -> list[Row]:
    return sorted(members, key=lambda row: (not row.ok, median(row, boundary)))


def _headline(row: Row, boundary: Boundary) -> str:
    text = f"{code(row.cell.id)}, {rows.latency(row, boundary)} ms, {rows.throughput(row, boundary)} img/s"
    ratio = rows.ratio(row, boundary)
    if row.cell.baseline:
        return f"{text} (the baseline)"
    return f"{text}, {ratio} ({rows.verdict(row, boundary)}) vs upstream"


def _axis(members: Sequence[Row], axis: str, boundary: Boundary) -> str:
    """Means by a precision or a mode; folded where there is one of it, and for modes with what each does."""
    head = [axis.capitalize(), "Cells", "Mean img/s", "Fastest cell", "vs upstream [95 %]"]
    means = by_axis(members, axis, boundary)
    body = [
        [code(m.value), str(m.cells), figures.reading(m.mean_img_s), code(m.best.cell.id), rows.against(m.best, boundary)]
        for m in means
    ]
    shown = table(head, body, "lrrlr")
    what = bullets(f"{code(m.value)}: {escape(m.description, 300)}" for m in means if m.description)
    if what or len(body) < 2:
        return details(f"By {axis}", blocks([shown, what]).rstrip())
    return f"**By {axis}**\n\n{shown}"


def _all(members: Sequence[Row], boundary: Boundary) -> str:
    """Return the table of every timed cell's main figures; the rest is in :func:`_more`."""
    head = ["Configuration", "Latency [95 %], ms", "img/s", "vs upstream [95 %]", "Depth error"]
    timed = [row for row in _by_speed(members, boundary) if row.cell.timing]
    body = [
        [
            code(row.cell.id),
            rows.latency(row, boundary),
            rows.throughput(row, boundary),
            rows.against(row, boundary),
            rows.depth(row) if row.ok else f"{rows.depth(row)} {rows.NO}",
        ]
        for row in timed
    ]
    failed = bullets(f"{code(row.cell.id)}: {escape(rows.status(row), 300)}" for row in members if not row.ok)
    return blocks([table(head, body, "lrrrr"), failed]).rstrip()


def _more(members: Sequence[Row], boundary: Boundary, other: Boundary) -> str:
    timed = [row for row in _by_speed(members, boundary) if row.cell.timing.get(boundary)]
    spread = [
        [
            code(row.cell.id),
            rows.mean_std(row, boundary),
            str(row.cell.timing[boundary].n),
            rows.latency(row, other),
            escape(rows.stability(row, boundary)),
        ]
        for row in timed
    ]
    needs = [[code(row.cell.id), rows.compile_mark(row), rows.pose(row), rows.memory(row), rows.size(row)] for row in timed]
    if not timed:
        return ""
    tables = [
        table(["Configuration", "Mean ± std, ms", "n", f"At the {other} boundary, ms", "Stability"], spread, "lrrrl"),
        table(["Configuration", "Compile", "Rotation", "Peak memory", "Artifact"], needs, "lcrrr"),
    ]
    return details("More figures: spread, samples, the other boundary, rotation, memory, size", blocks(tables).rstrip())


def _stages(group: Group) -> str:
    """Return the stages of a scene alone, from files to arrays, and a stream's share of the network's own rate."""
    body = []
    for row in group.rows:
        stages = row.cell.stages_ms
        if stages:
            shown = ", ".join(f"{name.replace('_', ' + ')} {figures.reading(ms, 3)}" for name, ms in stages.items())
            stream = timing(row, "stream")
            share = stages["network"] / stream.median_ms if stream and stream.median_ms and "network" in stages else None
            of_network = figures.NONE if share is None else f"{100 * share:.0f} %"
            body.append([code(row.cell.id), shown, rows.throughput(row, "stream"), of_network])
    if not body:
        return ""
    head = ["Configuration", "Parts of a scene alone, ms", "Stream, img/s", "Of the network's own rate"]
    return f"### From photographs: where the time goes\n\n{table(head, body, 'llrr')}"


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
                figures.mib(row.cell.memory.first_host_peak_mib),
            ]
        )
    if not body:
        return ""
    head = [
        "Configuration",
        "Export",
        "Load",
        "First call",
        "Peak memory",
        "Peak host memory",
        "First process, which may compile",
    ]
    return details(f"Phases and memory of {_plain(group)}", table(head, body, "lrrrrrr"))


def _neural_engine(machine: MachineReport, group: Group) -> str:
    """Return the operations that Apple's Neural Engine is predicted to refuse, and those that Core ML placed on it."""
    body = [[code(line.cell), *(escape(text, 300) for text in line[1:])] for line in neural_engine.lines(machine, group)]
    if not body:
        return ""
    shown = f"{neural_engine.NOTE}\n\n{table(neural_engine.HEAD, body, 'llrrrlll')}"
    return details(f"{neural_engine.TITLE}, {_plain(group)}", shown)


def _accuracy(group: Group) -> str:
    """Accuracy against ground truth, per cell and scene; marked meaningless where the weights are synthetic."""
    body = [[code(row.cell.id), *map(escape, line)] for row in group.rows for line in accuracy_lines(row.cell)]
    if not body:
        return ""
    void = any(meaningless(row.cell) for row in group.rows if row.cell.accuracy)
    doubt = f"**{MEANINGLESS}**: they only show that the pipeline works. " if void else ""
    # One factor and the cameras, then scale and shift: ten columns are more than a page has.
    tables = [
        table([("Configuration", *HEADS)[i] for i in kept], [[line[i] for i in kept] for line in body], "llrrrrr")
        for kept in ((0, 1, 2, 3, 4, 8, 9), (0, 1, 5, 6, 7))
    ]
    return details(f"Accuracy against ground truth, {_plain(group)}", blocks([f"{doubt}{ALIGNMENT}", *tables]).rstrip())


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
    pictures = table(["Configuration", "Depth", "Error to upstream fp32"], body)
    if any(is_synthetic(row.run.results, row.cell) for row in group.rows):
        return details(f"Depth and error of {_plain(group)}, synthetic weights", pictures)
    return f"### Depth and error · {escape(group.workload.label)}\n\n{pictures}"
