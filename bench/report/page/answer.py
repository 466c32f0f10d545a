"""The page's first screen as plain HTML, which needs no script: which cell to take, how sure that is, what is in doubt.

The script puts a chart where the small table of rivals stands, and everything else below.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from depthport.bench.choice.choice import Choice
from depthport.bench.report.markdown.methodology import SYNTHETIC, SYNTHETIC_SHORT
from depthport.bench.report.model import regime, rows
from depthport.bench.report.model.controls import doubt, noise_floor, warning_lines
from depthport.bench.report.model.headline import Headline, headline, pick_of
from depthport.bench.report.model.merge import Group, Report, Row, is_synthetic
from depthport.bench.report.model.ranking import ranked
from depthport.bench.report.model.recommend import Answers
from depthport.bench.report.model.sentences import break_even_lines
from depthport.bench.report.page.elements import Markup, clip, h, join
from depthport.bench.results.metrics import cold_start_s, memory_mib
from depthport.bench.results.model import Boundary
from depthport.bench.statistics import figures

MOST_RIVALS = 5
MOST_SENSITIVITIES = 3
SIGNS = {"faster": "▲ ", "slower": "▼ ", "equivalent": "= ", "inconclusive": "? "}


def answer_section(report: Report, answers: Answers) -> Markup:
    """`<section id="answer">`: lede, doubts, and a card a workload."""
    names = [machine.name for machine in report.machines for _ in machine.groups]
    single = len(names) == 1
    cards = [
        _card(number, name, group, choice, single)
        for number, (name, group, choice) in enumerate(zip(names, report.groups, answers.best, strict=True))
    ]
    return h(
        "section",
        h("div", h("h1", "Which Depth Anything 3 to deploy", id="answer-title"), h("p", _lede(report)), class_="lede"),
        _doubts(report),
        h("div", cards, class_="answers single" if single else "answers"),
        id="answer",
        aria_labelledby="answer-title",
    )


def _lede(report: Report) -> str:
    shapes = list(dict.fromkeys(group.workload.label for group in report.groups))
    work = clip(shapes[0], 160) if len(shapes) == 1 else f"{len(shapes)} workloads"
    machines = report.machines[0].name if len(report.machines) == 1 else f"{len(report.machines)} machines"
    cells = [row for group in report.groups for row in group.rows]
    burst = not all(regime.without_burst(group.rows) for group in report.groups)
    checked = ", and the outputs of its timed calls were checked against upstream" if burst else ""
    return (
        f"{work} on {machines}: {len(cells)} configurations, of which {sum(row.ok for row in cells)} ran"
        f"{' and passed parity' if burst else ''}. Each ran in its own process{checked}."
    )


def _doubts(report: Report) -> Markup | None:
    """Synthetic weights, warnings of runs, faults of files: before any number, a line each, the rest folded behind it."""
    lines = []
    if report.synthetic:
        models = clip(", ".join(report.synthetic), 120)
        lines.append(_doubt("Synthetic weights", SYNTHETIC_SHORT, [f"{models}. {SYNTHETIC}"]))
    lines += [_doubt(m.name, doubt(m), warnings) for m in report.machines if (warnings := warning_lines(m))]
    if report.notes:
        count = len(report.notes)
        text = f"{count} {'thing was' if count == 1 else 'things were'} repaired or left out"
        lines.append(_doubt("Damaged file", text, report.notes))
    return h("div", lines, class_="banner", role="note", aria_label="Read this first") if lines else None


def _doubt(title: str, short: str, lines: Sequence[str]) -> Markup:
    return h("details", h("summary", h("strong", f"{clip(title, 80)}:"), f" {short}"), _notes(lines))


def _notes(lines: Sequence[str]) -> Markup | None:
    return h("ul", [h("li", line) for line in lines], class_="notes") if lines else None


def _card(number: int, machine: str, group: Group, choice: Choice, single: bool) -> Markup:
    """One workload's answer; `.rivals` is where the script draws."""
    where = h(
        "h2",
        h("b", clip(machine, 90)),
        " ",
        h("span", clip(group.workload.label, 160), class_="muted small"),
        class_="where",
    )
    pick = pick_of(group, choice)
    if pick is None:
        return h("article", _without_pick(where, group, choice), _rivals(number, None), class_="panel answer")
    said = headline(group, choice)
    boundary = choice.boundary
    statement = h(
        "div",
        where,
        h("p", said.text, class_=f"take {said.level}"),
        h("p", h("span", clip(pick.cell.id, 90), class_="mono"), f" – {choice.why}.", class_="why muted small"),
        h("p", f"Why “perhaps”: {said.doubt}.", class_="small doubt") if said.level == "perhaps" else None,
        h("dl", list(_stats(pick, choice, group)), class_="stats"),
        h("ul", list(_chips(pick, choice, said)), class_="sure", aria_label="How sure"),
        class_="stack",
    )
    rivals = h("div", h("h3", "Against the others"), _rivals(number, _rival_table(group, pick, boundary)))
    return h("article", statement, h("div", rivals, _changes(choice, single), class_="stack"), class_="panel answer")


def _without_pick(where: Markup, group: Group, choice: Choice) -> Markup:
    title, lines = ("No pick", []) if not regime.without_burst(group.rows) else regime.headline(group.rows)
    why = None if lines else h("p", choice.why, class_="muted")
    return h("div", where, h("p", title, class_="take"), why, _notes(lines[:8]), class_="stack")


def _rivals(number: int, table: Markup | None) -> Markup:
    return h("div", table, class_="rivals", data_group=number)


_BRACKETS = re.compile(r"\[.*\]")


def _interval(text: str) -> str:
    found = _BRACKETS.search(text)
    return f"95 % {found[0]}" if found else "no interval"


def _stats(pick: Row, choice: Choice, group: Group) -> Iterator[Markup]:
    boundary = choice.boundary
    latency, ratio = rows.latency(pick, boundary), rows.ratio(pick, boundary)
    images = group.workload.images
    memory = (
        "not measured"
        if memory_mib(pick.cell) is None
        else "device peak"
        if pick.cell.memory.device_peak_mib
        else "resident peak"
    )
    yield _stat("Latency", f"{latency.split(' ')[0]} ms", _interval(latency))
    yield _stat(
        "Throughput", f"{rows.throughput(pick, boundary)} img/s", f"{images} {'image' if images == 1 else 'images'} a call"
    )
    if pick.cell.baseline:
        yield _stat("Against upstream", "baseline", "this is upstream")
    else:
        yield _stat("Against upstream", ratio.split(" ")[0], _interval(ratio))
    yield _stat("Depth error", rows.depth(pick), "rel. L2, upstream fp32")
    yield _stat("Memory", rows.memory(pick), memory)
    yield _stat("Cold start", figures.seconds(cold_start_s(pick.cell)), "load and first call")


def _stat(label: str, value: str, note: str) -> Markup:
    return h("div", h("dt", label), h("dd", value, h("small", note)))


def _chips(pick: Row, choice: Choice, said: Headline) -> Iterator[Markup]:
    """Verdict, controls, samples: how sure."""
    run = pick.run.results
    found = pick.cell.speedup.get(choice.boundary)
    if said.against:
        yield _chip(
            "good" if said.level == "take" else "warn", f"{SIGNS.get(found.verdict if found else '', '')}{said.against}"
        )
    controls = run.controls.values()
    if not controls:
        yield _chip("warn", "no controls in this protocol")
    elif any(not (control.ok or control.undecided) for control in controls):
        yield _chip("bad", "✗ a control failed")
    elif any(control.undecided for control in controls):
        yield _chip("warn", "? controls too short to tell")
    else:
        yield _chip("good", "✓ controls passed")
    floor = noise_floor(run.controls["aa"]) if "aa" in run.controls else None
    if floor is not None:
        yield _chip("", f"noise floor ±{figures.percent(floor)}")
    timing = pick.cell.timing[choice.boundary]
    launches = pick.cell.launches
    yield _chip("", f"n = {timing.n} in {launches} {'launch' if launches == 1 else 'launches'}")
    stability = rows.stability(pick, choice.boundary)
    stable = stability.startswith(rows.YES)
    if timing.n > 1:
        yield _chip("" if stable else "warn", f"{'stable' if stable else 'unstable'}, {stability[2:]}".rstrip(", "))
    if is_synthetic(run, pick.cell):
        yield _chip("warn", "synthetic weights")


def _chip(kind: str, text: str) -> Markup:
    return h("li", text, class_=f"chip {kind}".strip())


def _rival_table(group: Group, pick: Row, boundary: Boundary) -> Markup:
    """The fastest, the pick and the baseline: the chart's content for readers without scripts."""
    order = ranked(group.rows, boundary)
    shown = [row for place, row in enumerate(order) if place < MOST_RIVALS or row is pick or row.cell.baseline]
    body = [
        h(
            "tr",
            h("th", clip(row.cell.id, 60), scope="row", class_="mono"),
            h("td", rows.latency(row, boundary), class_="num"),
            h("td", rows.ratio(row, boundary).split(" ")[0], class_="num"),
            class_="pick" if row is pick else None,
        )
        for row in shown
    ]
    heads = [
        h("th", text, scope="col", class_="num" if n else None)
        for n, text in enumerate(("Cell", "ms [95 %]", "vs upstream"))
    ]
    table = h("table", h("thead", h("tr", heads)), h("tbody", body))
    return h("div", table, class_="scroll", tabindex="0", role="region", aria_label="The pick and its rivals")


def _changes(choice: Choice, unfolded: bool) -> Markup | None:
    """Ties, the nearest changes of the question that give another answer, and when the pick's start is paid back."""
    ties = ", ".join(clip(tie, 60) for tie in choice.ties)
    lines = [f"Statistically tied: {ties}"] if ties else []
    lines += [_upper(change.text) for change in choice.sensitivity[:MOST_SENSITIVITIES]]
    pays = break_even_lines(choice.break_even)[:3]
    parts = [
        h("div", h("h4", title), _notes(found))
        for title, found in (("What would change it", lines), ("When it pays", pays))
        if found
    ]
    if not parts:
        return None
    summary = h("summary", "What would change it, when it pays")
    return h("details", summary, join(parts), open="" if unfolded else None)


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]
