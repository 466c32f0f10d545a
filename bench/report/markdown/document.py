"""The report as Markdown for GitHub: the seed report's sections, with intervals, verdicts and parity in each table."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from depthport.bench.choice.choice import Choice
from depthport.bench.report.markdown.device import device_sections
from depthport.bench.report.markdown.format import alert, blocks, bullets, code, details, escape, table
from depthport.bench.report.markdown.methodology import SYNTHETIC, methodology, technical_notes
from depthport.bench.report.model import rows
from depthport.bench.report.model.controls import control_lines, warning_lines
from depthport.bench.report.model.cross_device import FLEET_HEAD, cross_device, measured_where
from depthport.bench.report.model.findings import group_findings
from depthport.bench.report.model.merge import Group, MachineReport, Report, Row
from depthport.bench.report.model.recommend import USE_CASES, Answers
from depthport.bench.report.model.sentences import break_even_lines, figures_of
from depthport.bench.report.model.standing import by_axis, by_device, main_boundary, ranked
from depthport.bench.statistics import figures

TITLE = "Depth Anything 3: export and benchmark report"
PictureOf = Callable[[Row, str], str | None]
"""From a row and `depth` or `error` to the picture's address relative to the report, or None."""


def render_markdown(report: Report, answers: Answers, picture_of: PictureOf = lambda row, kind: None) -> str:
    """The whole report as one Markdown document."""
    parts = [f"# {TITLE}", *_opening(report)]
    parts += ["## Executive summary", _summary(report, answers), _sentences(report, answers)]
    parts += ["## Performance overview", _overview(report)]
    parts += ["## Key findings", _findings(report, answers)]
    for machine in report.machines:
        parts += device_sections(machine, picture_of)
    parts += _across(report)
    parts += ["## Recommendations", *_recommendations(answers)]
    parts += ["## Technical notes", technical_notes(report), "## Methodology", methodology(report)]
    return blocks(parts)


def _groups(report: Report, answers: Answers) -> Iterator[tuple[MachineReport, Group, Choice]]:
    pairs = [(machine, group) for machine in report.machines for group in machine.groups]
    for (machine, group), choice in zip(pairs, answers.best, strict=True):
        yield machine, group, choice


def _opening(report: Report) -> Iterator[str]:
    """What a reader must know before the first number: synthetic weights, warnings, damaged files, controls."""
    if report.synthetic:
        models = ", ".join(code(name) for name in report.synthetic)
        yield alert("IMPORTANT", [f"**Synthetic weights** ({models}). {SYNTHETIC}"])
    for machine in report.machines:
        lines = [escape(line, 400) for line in warning_lines(machine)]
        if lines:
            yield alert("WARNING", [f"**{escape(machine.name)}**", *bullets(lines).splitlines()])
    if report.notes:
        faults = bullets(escape(note, 300) for note in report.notes).splitlines()
        yield alert("CAUTION", ["**A results file is incomplete or damaged**", *faults])
    found = [
        [escape(machine.name), escape(run.created), *map(escape, line)]
        for machine in report.machines
        for run in machine.runs
        for line in control_lines(run)
    ]
    head = ["Machine", "Run", "Control", "Ratio [95 %]", "Verdict", "Expected", "Passed", "What it tells"]
    if found:
        passed = sum(line[6] == "✓" for line in found)
        yield details(f"Controls: {passed} of {len(found)} came out as they must", table(head, found, "lllrllcl"))


def _summary(report: Report, answers: Answers) -> str:
    """One line a machine and workload: what to take, and how sure that is."""
    head = ["Machine", "Workload", "Take", "Latency [95 %], ms", "img/s", "vs upstream [95 %]", "Verdict"]
    head += ["Depth error", "Not told apart from it"]
    body = []
    for machine, group, choice in _groups(report, answers):
        lead = [escape(machine.name), escape(group.workload.label)]
        pick = next((row for row in group.rows if row.cell.id == choice.pick), None)
        if pick is None:
            body.append([*lead, escape(choice.why), *[figures.NONE] * 6])
            continue
        boundary = choice.boundary
        ties = ", ".join(map(code, choice.ties)) or "none"
        body.append(
            [*lead, f"**{code(pick.cell.id)}**", rows.latency(pick, boundary), rows.throughput(pick, boundary),
             rows.ratio(pick, boundary), rows.verdict(pick, boundary), rows.depth(pick), ties]
        )  # fmt: skip
    return table(head, body, "lllrrrlrl")


def _sentences(report: Report, answers: Answers) -> str:
    """Why that one, what would change it, and when its build pays."""
    lines = []
    for machine, group, choice in _groups(report, answers):
        if choice.pick is None:
            continue
        where = f"**{escape(machine.name)}**, {escape(group.workload.label)}"
        lines.append(f"{where}: {code(choice.pick)}, {escape(choice.why, 300)}.")
        lines += [f"  - {escape(flip.text, 300)}" for flip in choice.flips[:3]]
        lines += [f"  - {escape(line, 300)}" for line in break_even_lines(choice.break_even)]
    return "\n".join(line if line.startswith("  -") else f"- {line}" for line in lines)


def _findings(report: Report, answers: Answers) -> str:
    """Machine by machine, so that no line repeats whose it is."""
    return blocks(
        f"**{escape(machine.name)}** · {escape(group.workload.label)}\n\n"
        + bullets(escape(line, longest=600) for line in group_findings(group, choice))
        for machine, group, choice in _groups(report, answers)
    ).rstrip()


def _overview(report: Report) -> str:
    body = []
    idle: dict[str, list[str]] = {}
    for machine in report.machines:
        for group in machine.groups:
            boundary = main_boundary(group.rows)
            for device, members in by_device(group).items():
                order = ranked(members, boundary)
                ran = f"{len(order)} of {len(members)}"
                lead = [escape(machine.name), code(device), escape(group.workload.label), ran]
                if not order:
                    idle.setdefault(escape(machine.name), []).append(f"{code(device)} (0 of {len(members)})")
                    continue
                best, worst = order[0], order[-1]
                means = " · ".join(
                    f"{escape(m.value)} {figures.reading(m.mean_img_s)}" for m in by_axis(members, "precision", boundary)
                )
                body.append(
                    [*lead, f"{code(best.cell.id)} {rows.latency(best, boundary)} ms", rows.throughput(best, boundary),
                     rows.ratio(best, boundary), rows.verdict(best, boundary), rows.depth(best),
                     f"{code(worst.cell.id)} {rows.latency(worst, boundary)} ms", rows.throughput(worst, boundary),
                     means]
                )  # fmt: skip
    head = ["Machine", "Device", "Workload", "Right", "Best [95 %]", "img/s", "vs upstream [95 %]", "Verdict"]
    head += ["Depth error", "Slowest [95 %]", "img/s", "Mean img/s by precision"]
    nothing = [f"Nothing ran on {', '.join(dict.fromkeys(devices))} of {name}." for name, devices in idle.items()]
    return blocks([table(head, body, "lllclrrlrlrl"), *nothing]).rstrip()


def _across(report: Report) -> list[str]:
    """The one section with ratios across machines."""
    found = cross_device(report)
    parts = ["## Cross-device comparison"]
    if runs := measured_where(report):
        parts += ["One suite, frozen and carried to each machine:"]
        parts += [table(FLEET_HEAD, [[*map(escape, line[:5]), code(line[5])] for line in runs])]
    if not found:
        return [*parts, "One device gave figures. To set machines side by side, merge their results: "
                "`depthport report A B --out merged`."]  # fmt: skip
    parts += [
        "The only part that sets one machine against another: different days, baselines and drivers. “Times” is "
        "throughput over that of the slowest device listed; its interval is that of two independent medians."
    ]
    head = ["Machine", "Device", "Best cell", "Latency [95 %], ms", "img/s", "Times [95 %]"]
    head += ["vs its own upstream [95 %]", "Verdict", "Depth error"]
    for block in found:
        body = [
            [escape(r["machine"]), code(r["device"]), code(r["cell"]), r["latency"], r["img_s_text"], r["times_text"],
             r["upstream"], r["verdict"], r["depth_error"]]
            for r in block["rows"]
        ]  # fmt: skip
        parts += [f"**{escape(block['workload'])}**, {block['boundary']} boundary", table(head, body, "lllrrrrlr")]
    return parts


def _recommendations(answers: Answers) -> Iterator[str]:
    """By use case, from the same code as `depthport choose`."""
    head = ["Use case", "Machine and workload", "Take", "Figures", "Why"]
    body = []
    for case in USE_CASES:
        for found in (r for r in answers.recommendations if r.use_case is case):
            choice = found.choice
            where = f"{escape(found.machine)}, {escape(choice.workload)}"
            shown = figures_of(choice)
            take = f"**{code(choice.pick)}**" if choice.pick else "no cell meets this"
            body.append([f"**{case.title}**: {case.asks}", where, take, escape(shown), escape(choice.why, 300)])
        if case in answers.unanswered:
            elsewhere = (case.elsewhere or "").replace("`", "")
            body.append([f"**{case.title}**: {case.asks}", "not measured", escape(elsewhere), "", ""])
    yield table(head, body)
    rejected = [
        f"- {escape(r.machine)}, {escape(r.choice.workload)}, {r.use_case.title.lower()}: {code(x.cell)}: "
        f"{escape(x.reason, 300)}"
        for r in answers.recommendations
        for x in r.choice.rejected
        if x.kind in ("constraint", "licence", "unmeasured")
    ]
    if rejected:
        yield details("Why others were not eligible", "\n".join(rejected[:200]))
