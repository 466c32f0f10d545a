"""The report as Markdown for GitHub: the first report's sections, with intervals, verdicts and parity in each table."""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Callable, Iterator

from depthport.bench.choice.choice import Choice
from depthport.bench.report.markdown.device import device_sections
from depthport.bench.report.markdown.format import alert, blocks, bullets, code, details, escape, table
from depthport.bench.report.markdown.methodology import SYNTHETIC_SHORT, methodology, technical_notes
from depthport.bench.report.model import rows
from depthport.bench.report.model.controls import control_lines, doubt, warning_lines
from depthport.bench.report.model.cross_device import FLEET_HEAD, cross_device, measured_where
from depthport.bench.report.model.findings import group_findings
from depthport.bench.report.model.headline import headline, pick_of
from depthport.bench.report.model.merge import Group, MachineReport, Report, Row
from depthport.bench.report.model.ranking import by_device, main_boundary, ranked
from depthport.bench.report.model.recommend import USE_CASES, Answers
from depthport.bench.report.model.sentences import break_even_lines, figures_of

TITLE = "Depth Anything 3: export and benchmark report"
PictureOf = Callable[[Row, str], str | None]
"""Function of a row and `depth` or `error` that gives the picture's address relative to the report, or None."""


def render_markdown(report: Report, answers: Answers, picture_of: PictureOf = lambda *_: None) -> str:
    """The whole report as one Markdown document."""
    parts = [f"# {TITLE}", _synthetic(report)]
    parts += ["## Executive summary", _summary(report, answers), *_doubts(report), _sentences(report, answers)]
    parts += ["## Performance overview", _overview(report)]
    parts += ["## Key findings", _findings(report, answers)]
    for machine in report.machines:
        parts += device_sections(machine, picture_of)
    parts += _across(report)
    parts += ["## Recommendations", *_recommendations(answers)]
    parts += ["## Technical notes", details("Versions, weights, licences, modes", technical_notes(report))]
    parts += ["## Methodology", details("How to read the figures, and the protocol of every run", methodology(report))]
    return blocks(parts)


def _groups(report: Report, answers: Answers) -> Iterator[tuple[MachineReport, Group, Choice]]:
    pairs = [(machine, group) for machine in report.machines for group in machine.groups]
    for (machine, group), choice in zip(pairs, answers.best, strict=True):
        yield machine, group, choice


def _synthetic(report: Report) -> str:
    """Return the caution on synthetic weights, which precedes the first number."""
    if not report.synthetic:
        return ""
    models = ", ".join(code(name) for name in report.synthetic)
    return alert("IMPORTANT", [f"**Synthetic weights** ({models}): {SYNTHETIC_SHORT}."])


def _summary(report: Report, answers: Answers) -> str:
    """An answer per machine and workload, stated as firmly as the run allows."""
    lines = []
    for machine, group, choice in _groups(report, answers):
        pick, said = pick_of(group, choice), headline(group, choice)
        answer = f"**{said.lead}** {code(pick.cell.id)}" if pick else f"**{said.lead}**: {escape(choice.why)}"
        lines.append(f"- **{escape(machine.name)}**, {escape(group.workload.label)}\\\n  {answer}")
        if pick:
            boundary = choice.boundary
            ratio = "" if pick.cell.baseline else f", {rows.ratio(pick, boundary)}"
            lines[-1] += (
                f"\\\n  {rows.latency(pick, boundary)} ms, {rows.throughput(pick, boundary)} img/s{ratio}"
                f"{f' ({escape(said.against)})' if said.against else ''}, depth error {rows.depth(pick)}, "
                f"{rows.memory(pick)}"
            )
    return "\n".join(lines)


def _doubts(report: Report) -> Iterator[str]:
    """Warnings, damaged files and controls: a line each, with the whole of it folded below."""
    for machine in report.machines:
        lines = [escape(line, 400) for line in warning_lines(machine)]
        if lines:
            yield alert("WARNING", [f"**{escape(machine.name)}**: {escape(doubt(machine), 300)}"])
            yield details(f"Warnings of {_plain(machine.name)}", bullets(lines))
    if report.notes:
        faults = bullets(escape(note, 300) for note in report.notes).splitlines()
        yield alert("CAUTION", ["**A results file is incomplete or damaged**", *faults])
    found = [
        [f"{escape(machine.name)}, {escape(run.created)}", *map(escape, line)]
        for machine in report.machines
        for run in machine.runs
        for line in control_lines(run)
    ]
    head = ["Machine, run", "Control", "Ratio [95 %]", "Verdict", "Expected", "Passed", "What it tells"]
    if found:
        counts = Counter(line[5] for line in found)
        said = [f"{counts[sign]} {word}" for sign, word in SIGNS.items() if counts[sign]]
        yield details(f"Controls: {', '.join(said)}", table(head, found, "llrllcl"))


SIGNS = {"✓": "passed", "?": "too short to tell", "✗": "failed"}


def _plain(name: str) -> str:
    """A machine's name in a summary line, which is HTML."""
    return html.escape(" ".join(name.split())[:80])


def _sentences(report: Report, answers: Answers) -> str:
    """Explain the pick, what would change it, and when its build pays."""
    lines = []
    for machine, group, choice in _groups(report, answers):
        if choice.pick is None:
            continue
        said = headline(group, choice)
        doubt_ = f" “Perhaps”, because {escape(said.doubt, 200)}." if said.level == "perhaps" else ""
        where = f"**{escape(machine.name)}**, {escape(group.workload.label)}"
        lines.append(f"{where}: {code(choice.pick)}, {escape(choice.why, 400)}.{doubt_}")
        if choice.ties:
            lines.append(f"  - Statistically tied with it: {', '.join(map(code, choice.ties))}")
        lines += [f"  - {escape(change.text, 300)}" for change in choice.sensitivity[:3]]
        lines += [f"  - {escape(line, 300)}" for line in break_even_lines(choice.break_even)]
    text = "\n".join(line if line.startswith("  -") else f"- {line}" for line in lines)
    return details("Why, what would change it, and when it pays", text) if lines else ""


def _findings(report: Report, answers: Answers) -> str:
    """The key findings, machine by machine."""
    return blocks(
        f"**{escape(machine.name)}** · {escape(group.workload.label)}\n\n"
        + bullets(escape(line, longest=600) for line in group_findings(group, choice))
        for machine, group, choice in _groups(report, answers)
    ).rstrip()


def _overview(report: Report) -> str:
    """Machine by machine, a line a device and workload: how many ran, and the fastest against upstream."""
    parts = []
    head = ["Device and workload", "Passed", "Fastest", "Latency [95 %], ms", "img/s", "vs upstream [95 %]"]
    for machine in report.machines:
        body, idle = [], []
        for group in machine.groups:
            boundary = main_boundary(group.rows)
            for device, members in by_device(group).items():
                order = ranked(members, boundary)
                if not order:
                    idle.append(f"{code(device)} (0 of {len(members)})")
                    continue
                body.append(
                    [f"{code(device)} {escape(group.workload.label)}", f"{len(order)} of {len(members)}",
                     code(order[0].cell.id), rows.latency(order[0], boundary), rows.throughput(order[0], boundary),
                     rows.against(order[0], boundary)]
                )  # fmt: skip
        parts += [f"**{escape(machine.name)}**", table(head, body, "lclrrr")]
        parts += [f"Nothing ran on {', '.join(dict.fromkeys(idle))}."] if idle else []
    return blocks(parts).rstrip()


def _across(report: Report) -> list[str]:
    """The one section with ratios across machines."""
    found = cross_device(report)
    parts = ["## Cross-device comparison"]
    if runs := measured_where(report):
        parts += ["One suite, frozen and carried to each machine:"]
        parts += [table(FLEET_HEAD, [[*map(escape, line[:5]), code(line[5])] for line in runs])]
    if not found:
        return [*parts, "One device gave figures. To compare machines, merge their results: "
                "`depthport report A B --out merged`."]  # fmt: skip
    parts += [
        "The only part that compares machines: their days, baselines and drivers differ. “Times” is "
        "throughput over that of the slowest device listed; its interval is that of two independent medians."
    ]
    head = ["Machine and device", "Fastest cell", "Latency [95 %], ms", "img/s", "Times [95 %]"]
    for block in found:
        body = [
            [f"{escape(r['machine'])} {code(r['device'])}", code(r["cell"]), r["latency"], r["img_s_text"], r["times_text"]]
            for r in block["rows"]
        ]  # fmt: skip
        parts += [f"**{escape(block['workload'])}**, {block['boundary']} boundary", table(head, body, "llrrr")]
    return parts


def _recommendations(answers: Answers) -> Iterator[str]:
    """Yield the recommendations by use case, from the same code as `depthport choose`."""
    head = ["Use case", "Machine and workload", "Answer", "Figures"]
    body, reasons = [], []
    for case in USE_CASES:
        title = f"**{case.title}**: {case.asks}"
        for found in (r for r in answers.recommendations if r.use_case is case):
            choice = found.choice
            where = f"{escape(found.machine)}, {escape(choice.workload)}"
            answer = code(choice.pick) if choice.pick else "no cell meets this"
            body.append([title, where, answer, escape(figures_of(choice))])
            reasons.append(f"{where}, {case.title.lower()}: {answer}, {escape(choice.why, 400)}.")
            title = ""
        if case in answers.unanswered:
            elsewhere = (case.elsewhere or "").replace("`", "")
            body.append([title, "not measured", escape(elsewhere), ""])
    yield table(head, body)
    if reasons:
        yield details("Why these", bullets(reasons))
    rejected = [
        f"{escape(r.machine)}, {escape(r.choice.workload)}, {r.use_case.title.lower()}: {code(x.cell)}: "
        f"{escape(x.reason, 300)}"
        for r in answers.recommendations
        for x in r.choice.rejected
        if x.kind in ("constraint", "licence", "unmeasured")
    ]
    if rejected:
        yield details("Why others were not eligible", bullets(rejected[:200]))
