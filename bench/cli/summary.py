"""The end of a run on the terminal: the ranking, the controls, where the report is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from depthport.bench.choice.choice import Choice
from depthport.bench.choice.choose import choose
from depthport.bench.cli.console import render_pick
from depthport.bench.cli.tables import figures_table
from depthport.bench.report.model.regime import KINDS, TITLES, in_words, kind_of
from depthport.bench.results.metrics import default_boundary, parity_figure
from depthport.bench.results.model import Boundary, Cell, Results, Status
from depthport.bench.statistics.digits import format_error, format_interval
from depthport.exporters.core.errors import UsageError
from depthport.exporters.core.store import ArtifactStore

HEAD = ("cell", "latency, ms", "img/s", "vs upstream", "depth error")
HEAD_WANTED = ("latency, ms", "vs upstream", "depth error")
"""Columns that stay on a narrow terminal: img/s says what the latency does."""


def render_summary(results: Results, written: Sequence[Path], store: ArtifactStore, console: Console) -> None:
    """Print what a person wants to know first; everything else is in the report. The last line is the pick."""
    for warning in results.warnings:
        console.print(f"[yellow]![/yellow] {escape(warning['message'])}: [dim]{escape(warning['advice'])}[/dim]")
    if any(cell.timing for cell in results.cells):
        console.print(_table(results, console.width))
    for kind in KINDS:
        members = [(c.id, c.regime) for c in results.cells if c.regime is not None and kind_of(c.regime) == kind]
        if members:
            console.print(f"[bold]{escape(TITLES[kind])}[/bold]")
        for cell, regime in members:
            console.print(Padding(Text(f"{cell}: {in_words(regime)}"), (0, 0, 0, 2)))
    for reason, cells in _without_figures(results).items():
        named = ", ".join(cells[:3]) + (f" and {len(cells) - 3} more" if len(cells) > 3 else "")
        console.print(f"[dim]{escape(named)}: {escape(reason)}[/dim]", highlight=False)
    if away := _not_here(results):
        line = f"not here: {', '.join(away)} (what to do: depthport doctor)"
        console.print(Text(line, "dim"), soft_wrap=True)
    for name, control in results.controls.items():
        mark = "[green]✓[/green]" if control.ok else "[yellow]?[/yellow]" if control.undecided else "[red]✗[/red]"
        console.print(
            f"{mark} control {name}: {escape(control.verdict)} (expected {control.expected}) {escape(control.reason)}"
        )
    for path in written:
        console.print(f"[bold]{escape(str(path))}[/bold]", highlight=False)
    render_pick(_choice(results), results, store, console)


def _choice(results: Results) -> Choice | str:
    """Return the answer of `depthport choose` without constraints, or why there is none."""
    try:
        return choose(results)
    except UsageError as error:
        return str(error)


def _table(results: Results, width: int) -> Table:
    measured = [c for c in results.cells if c.timing]
    boundary = default_boundary(measured)
    title = f"{results.environment.get('machine', 'this machine')}: {boundary} boundary, median [95 % interval]"
    timed = [c for c in measured if boundary in c.timing]
    rows = [_row(cell, boundary) for cell in sorted(timed, key=lambda c: c.timing[boundary].median_ms or 0.0)]
    return figures_table(title, HEAD, rows, width, HEAD_WANTED)


def _not_here(results: Results) -> list[str]:
    """Runtimes without any available device, and unavailable devices of the others."""
    away = [cell for cell in results.cells if cell.status is Status.UNAVAILABLE]
    here = {cell.runtime for cell in results.cells if cell.status is not Status.UNAVAILABLE}
    return list(dict.fromkeys(f"{c.runtime} on {c.device}" if c.runtime in here else c.runtime for c in away))


def _without_figures(results: Results) -> dict[str, list[str]]:
    """Cells that were not timed, by status and reason: many share one."""
    found: dict[str, list[str]] = {}
    for cell in results.cells:
        if not cell.timing and not cell.regime and cell.status is not Status.UNAVAILABLE:
            reason = f"{cell.status.value.replace('_', ' ')}: {cell.reason}" if cell.reason else cell.status.value
            if cell.numerics_only and cell.status is Status.OK:
                error = format_error(parity_figure(cell, "depth", "rel_l2"))
                reason = f"numerics only, depth error {error}: {cell.numerics_only}"
            found.setdefault(reason, []).append(cell.id)
    return found


def _row(cell: Cell, boundary: Boundary) -> list[Text | str]:
    timing = cell.timing[boundary]
    speedup = cell.speedup.get(boundary)
    ratio = "baseline" if cell.baseline else "–"
    if speedup is not None and speedup.ratio is not None:
        ratio = format_interval(speedup.ratio, speedup.ci95, "×")
    error = parity_figure(cell, "depth", "rel_l2")
    right = cell.status is Status.OK
    name = Text(cell.id) if right else Text(f"{cell.id} ({cell.status.value})", "red")
    return [
        name,
        format_interval(timing.median_ms, timing.ci95_ms),
        f"{timing.img_s:.3g}" if timing.img_s is not None else "–",
        ratio,
        format_error(error),
    ]
