"""The end of a run on the terminal: the ranking, the controls, where the report is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bench.digits import format_error, format_interval
from bench.results import Cell, Results, Status

WHOLE = ("cell", "latency, ms")
"""Columns that are never folded: a name must be copied, a figure read."""


def render_summary(results: Results, written: Sequence[Path], console: Console) -> None:
    """Print what a person wants to know first; everything else is in the report."""
    for warning in results.warnings:
        console.print(f"[yellow]![/yellow] {escape(warning['message'])}: [dim]{escape(warning['advice'])}[/dim]")
    console.print(_table(results))
    for reason, cells in _without_figures(results).items():
        console.print(f"[dim]{escape(', '.join(cells))}: {escape(reason)}[/dim]", highlight=False)
    for name, control in results.controls.items():
        mark = "[green]✓[/green]" if control.ok else "[red]✗[/red]"
        console.print(
            f"{mark} control {name}: {escape(control.verdict)} (expected {control.expected}) {escape(control.reason)}"
        )
    for path in written:
        console.print(f"[bold]{escape(str(path))}[/bold]", highlight=False)


def _table(results: Results) -> Table:
    machine = results.environment.get("machine", "this machine")
    title = f"{escape(str(machine))}: device boundary, median [95 % interval]"
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for column, justify in (
        ("cell", "left"),
        ("latency, ms", "right"),
        ("img/s", "right"),
        ("vs upstream", "right"),
        ("depth error", "right"),
    ):
        table.add_column(column, justify=justify, no_wrap=column in WHOLE)  # type: ignore[arg-type]
    measured = [c for c in results.cells if c.timing]
    for cell in sorted(measured, key=lambda c: c.timing["device"].median_ms or 0.0):
        table.add_row(*_row(cell))
    return table


def _without_figures(results: Results) -> dict[str, list[str]]:
    """Cells that were not timed, by status and reason: many share one."""
    found: dict[str, list[str]] = {}
    for cell in results.cells:
        if not cell.timing:
            reason = f"{cell.status.value.replace('_', ' ')}: {cell.reason}" if cell.reason else cell.status.value
            found.setdefault(reason, []).append(cell.id)
    return found


def _row(cell: Cell) -> list[str]:
    timing = cell.timing["device"]
    speedup = cell.speedup.get("device")
    ratio = "baseline" if cell.baseline else "–"
    if speedup is not None and speedup.ratio is not None:
        ratio = format_interval(speedup.ratio, speedup.ci95, "×")
    error = (cell.parity or {}).get("depth", {}).get("rel_l2")
    name = escape(cell.id) if cell.status is Status.OK else f"[red]{escape(cell.id)} ({cell.status.value})[/red]"
    return [
        name,
        format_interval(timing.median_ms, timing.ci95_ms),
        f"{timing.img_s:.3g}" if timing.img_s is not None else "–",
        ratio,
        format_error(error),
    ]
