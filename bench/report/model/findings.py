"""Key findings: sentences that the numbers support, each with its interval, none without a verdict behind it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from depthport.bench.choice.choice import Choice
from depthport.bench.report.model import rows
from depthport.bench.report.model.headline import headline, pick_of
from depthport.bench.report.model.merge import Group, Row
from depthport.bench.report.model.ranking import main_boundary, ranked, speedup, timing
from depthport.bench.report.model.regime import headline as regime_headline
from depthport.bench.report.model.regime import without_burst
from depthport.bench.results.model import Boundary, Status
from depthport.bench.statistics import figures


def group_findings(group: Group, choice: Choice) -> Iterator[str]:
    """The findings of one workload on one machine."""
    boundary = main_boundary(group.rows)
    order = ranked(group.rows, boundary)
    if order:
        yield from _best(group, choice, boundary)
        yield from _no_gain(order, boundary)
        yield from _compile(order, boundary)
        yield from _transfers(order)
    elif without_burst(group.rows):
        yield f"{regime_headline(group.rows)[0]}."
    else:
        yield "no cell was timed and passed parity; the reasons are in the table."
    yield from _failures(group)


def _best(group: Group, choice: Choice, boundary: Boundary) -> Iterator[str]:
    best, said = pick_of(group, choice), headline(group, choice)
    if best is None:
        return
    figure = f"{rows.latency(best, boundary)} ms"
    if best.cell.baseline:
        alone = not any(row.ok and row.cell.timing and row is not best for row in group.rows)
        said_of_it = "only upstream gave figures" if alone else "no cell was shown to beat upstream as its users run it"
        yield f"{said_of_it}: {best.cell.id}, {figure}."
    elif speedup(best, boundary) is not None:
        doubt = f" ({said.doubt})" if said.level == "perhaps" else ""
        figure = f"{figure}, {rows.ratio(best, boundary)}, depth error {rows.depth(best)}"
        yield f"{best.cell.id}: {said.against}{doubt}, {figure}."
    if choice.ties:
        yield f"statistically tied with it: {', '.join(choice.ties)}."


def _no_gain(order: list[Row], boundary: Boundary) -> Iterator[str]:
    for verdict, text in (("slower", "slower than upstream"), ("equivalent", "no faster than upstream (within ±2 %)")):
        names = [r.cell.id for r in order if not r.cell.baseline and rows.verdict(r, boundary) == verdict]
        if names:
            yield f"{text}: {', '.join(names)}."


def _compile(order: list[Row], boundary: Boundary) -> Iterator[str]:
    """Yield the gain of compiling the network over running it uncompiled, in the same precision and run."""
    for row in order:
        plain = (row.runtime.compiles or {}).get(row.cell.mode)
        if plain is None:
            continue
        twin = next(
            (
                r
                for r in order
                if (r.cell.runtime, r.cell.mode, r.cell.precision, r.cell.device, r.run)
                == (row.cell.runtime, plain, row.cell.precision, row.cell.device, row.run)
            ),
            None,
        )
        ours, theirs = timing(row, boundary), timing(twin, boundary) if twin else None
        if ours and theirs and ours.ci95_ms and theirs.ci95_ms and ours.median_ms and theirs.median_ms:
            ci = (theirs.ci95_ms[0] / ours.ci95_ms[1], theirs.ci95_ms[1] / ours.ci95_ms[0])
            gain = figures.ratio(theirs.median_ms / ours.median_ms, ci)
            first = row.cell.phases.first_call_ms
            cost = f"; its first call takes {figures.seconds(first / 1e3)}" if first else ""
            what = f"{row.runtime.title}, {row.cell.mode} at {row.cell.precision} on {row.cell.device}"
            yield f"{what}: {gain} the speed of {plain}{cost}."


def _transfers(order: list[Row]) -> Iterator[str]:
    """Yield the cells whose host buffers cost more than 5 % of the call."""
    for row in order[:3]:
        device, host = timing(row, "device"), timing(row, "host")
        if device and host and device.median_ms and host.median_ms and host.median_ms > 1.05 * device.median_ms:
            extra = host.median_ms - device.median_ms
            yield f"{row.cell.id}: host transfers add {figures.reading(extra, 2)} ms a call."


def _failures(group: Group) -> Iterator[str]:
    counts = Counter(row.cell.status for row in group.rows if row.cell.status is not Status.OK)
    if counts:
        text = ", ".join(f"{count} {status.value.replace('_', ' ')}" for status, count in counts.items())
        yield f"{sum(counts.values())} of {len(group.rows)} cells gave no valid figure: {text}."
