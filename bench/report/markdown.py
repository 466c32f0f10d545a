"""The report as Markdown for GitHub: the sections of the seed report, with intervals, verdicts and parity in
each table."""

from __future__ import annotations

from bench.report import figures, rows
from bench.report.controls import control_lines, warning_lines
from bench.report.findings import key_findings
from bench.report.markdown_device import device_sections
from bench.report.md import alert, blocks, bullets, code, escape, table
from bench.report.merge import Group, MachineReport, Report
from bench.report.methodology import methodology, technical_notes
from bench.report.standing import by_axis, by_device, main_boundary, ranked, tied_with

TITLE = "Depth Anything 3: export and benchmark report"


def render_markdown(report: Report) -> str:
    """The whole report as one Markdown document."""
    parts = [f"# {TITLE}", _opening(report)]
    parts += ["## Executive summary", _summary(report)]
    parts += ["## Performance overview", _overview(report)]
    parts += ["## Key findings", bullets(map(escape_finding, key_findings(report)))]
    for machine in report.machines:
        parts += device_sections(machine)
    parts += ["## Technical notes", technical_notes(report), "## Methodology", methodology(report)]
    return blocks(parts)


def escape_finding(line: str) -> str:
    return escape(line, longest=600)


def _opening(report: Report) -> str:
    """What a reader must know before the first number: synthetic weights, warnings, damaged files,
    controls."""
    parts = []
    if report.synthetic:
        models = ", ".join(code(name) for name in report.synthetic)
        parts.append(
            alert(
                "IMPORTANT",
                [
                    f"**Synthetic weights** ({models}): random, well-conditioned parameters stand in for "
                    "the checkpoint. "
                    "Latency, memory and parity are those of the real network; depth, pose and accuracy "
                    "mean nothing."
                ],
            )
        )
    for machine in report.machines:
        lines = [escape(line, 400) for line in warning_lines(machine)]
        if lines:
            parts.append(alert("WARNING", [f"**{escape(machine.name)}**", *bullets(lines).splitlines()]))
    if report.notes:
        faults = bullets(escape(note, 300) for note in report.notes).splitlines()
        parts.append(alert("CAUTION", ["**A results file is incomplete or damaged**", *faults]))
    parts.append(_controls(report))
    return blocks(parts).rstrip()


def _controls(report: Report) -> str:
    found = [
        [escape(machine.name), escape(run.created), *map(escape, line)]
        for machine in report.machines
        for run in machine.runs
        for line in control_lines(run)
    ]
    head = ["Machine", "Run", "Control", "Ratio [95 %]", "Verdict", "Expected", "Passed", "What it tells"]
    return table(head, found, "llllllcl")


def _summary(report: Report) -> str:
    body = [_summary_row(machine, group) for machine in report.machines for group in machine.groups]
    head = [
        "Machine",
        "Workload",
        "Fastest that is right",
        "Latency [95 %], ms",
        "img/s",
        "vs upstream [95 %]",
        "Verdict",
        "Depth error",
        "Not told apart from it",
    ]
    return table(head, body, "lllrrrlrl")


def _summary_row(machine: MachineReport, group: Group) -> list[str]:
    boundary = main_boundary(group.rows)
    order = ranked(group.rows, boundary)
    lead = [escape(machine.name), escape(group.workload.label)]
    if not order:
        return [*lead, "nothing ran", *[figures.NONE] * 6]
    best = order[0]
    ties = ", ".join(code(t.cell.id) for t in tied_with(best, order, boundary))
    return [
        *lead,
        f"**{code(best.cell.id)}**",
        rows.latency(best, boundary),
        rows.throughput(best, boundary),
        rows.ratio(best, boundary),
        rows.verdict(best, boundary),
        rows.depth(best),
        ties or "none",
    ]


def _overview(report: Report) -> str:
    body = []
    for machine in report.machines:
        for group in machine.groups:
            boundary = main_boundary(group.rows)
            for device, members in by_device(group).items():
                order = ranked(members, boundary)
                ran = f"{len(order)} of {len(members)}"
                lead = [escape(machine.name), code(device), escape(group.workload.label), ran]
                if not order:
                    body.append([*lead, "nothing ran", *[figures.NONE] * 4])
                    continue
                best, worst = order[0], order[-1]
                means = " · ".join(
                    f"{escape(m.value)} {figures.reading(m.mean_img_s)}"
                    for m in by_axis(members, "precision", boundary)
                )
                body.append(
                    [
                        *lead,
                        f"{code(best.cell.id)} {rows.latency(best, boundary)} ms",
                        rows.throughput(best, boundary),
                        f"{code(worst.cell.id)} {rows.latency(worst, boundary)} ms",
                        rows.throughput(worst, boundary),
                        means,
                    ]
                )
    head = [
        "Machine",
        "Device",
        "Workload",
        "Right",
        "Best",
        "img/s",
        "Slowest",
        "img/s",
        "Mean img/s by precision",
    ]
    return table(head, body, "lllclrlrl")
