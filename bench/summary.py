"""The end of a run on the terminal: the ranking, the controls, where the report is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bench.digits import format_error, format_interval
from bench.results import Cell, Results, Status


def render_summary(results: Results, written: Sequence[Path], console: Console) -> None:
    """Print what a person wants to know first; everything else is in the report."""
    for warning in results.warnings:
        console.print(f"[yellow]![/yellow] {escape(warning['message'])} [dim]{escape(warning['advice'])}[/dim]")
    console.print(_table(results))
    for name, control in results.controls.items():
        mark = "[green]✓[/green]" if control.ok else "[red]✗[/red]"
        console.print(
            f"{mark} control {name}: {escape(control.verdict)} (expected {control.expected}) {escape(control.reason)}"
        )
    for path in written:
        console.print(f"[bold]{escape(str(path))}[/bold]", highlight=False)


def _table(results: Results) -> Table:
    machine = results.environment.get("machine", "this machine")
    table = Table(title=f"{escape(str(machine))}: device boundary, median [95 % interval]", title_justify="left")
    for column, justify in (
        ("cell", "left"),
        ("latency", "right"),
        ("img/s", "right"),
        ("vs upstream", "right"),
        ("depth error", "right"),
    ):
        table.add_column(column, justify=justify)  # type: ignore[arg-type]
    measured = [c for c in results.cells if c.timing]
    for cell in sorted(measured, key=lambda c: c.timing["device"].median_ms or 0.0):
        table.add_row(*_row(cell))
    for cell in results.cells:
        if not cell.timing:
            table.add_row(
                f"[dim]{escape(cell.id)}[/dim]",
                f"[dim]{cell.status.value}[/dim]",
                "",
                "",
                f"[dim]{escape((cell.reason or '')[:60])}[/dim]",
            )
    return table


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
        format_interval(timing.median_ms, timing.ci95_ms, "ms"),
        f"{timing.img_s:.3g}" if timing.img_s is not None else "–",
        ratio,
        format_error(error),
    ]
