"""Choices, comparisons and recipes for a terminal; texts of files are escaped, because rich has markup."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from depthport.bench.choice.choice import Choice
from depthport.bench.choice.compare import Change, Comparison
from depthport.bench.choice.deploy import export_command, stored_artifact
from depthport.bench.choice.reasons import estimated
from depthport.bench.choice.reproduce import Recipe
from depthport.bench.cli.artifact_view import main_path
from depthport.bench.cli.tables import figures_table
from depthport.bench.report.model.headline import headline_of
from depthport.bench.report.model.sentences import break_even_lines
from depthport.bench.results.metrics import METRICS
from depthport.bench.results.model import Results
from depthport.bench.statistics import figures
from depthport.exporters.core.store import ArtifactStore

PICKS = {"take": "pick", "perhaps": "perhaps", "keep": "keep upstream"}
"""Beginning of the last line, by the level of the page's headline."""
STYLES = {"faster": "green", "slower": "red", "equivalent": "cyan", "inconclusive": "yellow", "not comparable": "dim"}
SHOWN = ("latency_ms", "depth_error", "memory_mib", "cold_start_s", "throughput_img_s", "rotation_deg", "artifact_mib")
"""Metrics of a choice: those that a narrow terminal has room for come first."""


def render_choice(choice: Choice, console: Console) -> None:
    """The pick first, then the Pareto set, what would change it, when it pays, and why not the others."""
    for caution in choice.cautions:
        console.print(f"[yellow]![/yellow] {escape(caution)}")
    console.print(Text(f"{choice.workload}, {choice.boundary} boundary", style="dim"))
    if choice.pick is None:
        console.print(f"[bold red]No pick[/bold red]: {escape(choice.why)}")
    else:
        console.print(f"[bold green]{escape(choice.pick)}[/bold green]  {escape(choice.why)}")
    if choice.ties:
        console.print(f"Tied with it: {escape(', '.join(choice.ties))}")
    if choice.figures:
        console.print(_figures(choice, console.width))
    _list(console, "What would change the choice", [change.text for change in choice.sensitivity])
    _list(console, "When it pays", break_even_lines(choice.break_even))
    if choice.rejected:
        table = Table(title="Not picked", title_justify="left", box=None, show_header=False, padding=(0, 2, 0, 0))
        table.add_column(no_wrap=True, overflow="fold")
        for rejected in choice.rejected:
            table.add_row(escape(rejected.cell), Text(rejected.reason, style="dim"))
        console.print(table)


def render_pick(choice: Choice | str, results: Results, store: ArtifactStore, console: Console) -> None:
    """Print the pick in one line: its id, its file in a store, and the command that exports it again; or why there is none.

    Args:
        choice: of these results; a string says why nothing could be chosen.
    """
    cell = None if isinstance(choice, str) else next((c for c in results.cells if c.id == choice.pick), None)
    if isinstance(choice, str) or cell is None:
        console.print(Text(f"no pick: {choice if isinstance(choice, str) else choice.why}", "bold red"), soft_wrap=True)
        return
    artifact = stored_artifact(cell, store)
    file = f"not in {store.root}" if artifact is None else str(main_path(artifact))
    said = headline_of(results, choice)
    lead = Text(f"{PICKS[said.level]}: {cell.id}", "bold yellow" if said.level == "perhaps" else "bold green")
    doubt = f"  ({said.doubt})" if said.doubt else ""
    console.print(lead + Text(f"{doubt}  {file}  {export_command(cell)}"), soft_wrap=True)


def _figures(choice: Choice, width: int) -> Table:
    over = f" over {', '.join(METRICS[name].label for name in choice.objectives)}" if choice.objectives else ""
    names = [n for n in SHOWN if any(row.get(n) is not None for row in choice.figures.values())]
    rows: list[list[Text | str]] = []
    for cell, row in choice.figures.items():
        name = Text.assemble(("▸ ", "bold green") if cell == choice.pick else "  ", cell)
        rows.append([name, *(_figure(n, row.get(n), choice.intervals.get(cell, {}).get(n)) for n in names)])
    wanted = [METRICS[n].label for n in dict.fromkeys((choice.request.goal, *SHOWN)) if n in names]
    head = ["cell", *(METRICS[name].label for name in names)]
    return figures_table(f"Pareto set{over}, and ties", head, rows, width, wanted)


def _figure(name: str, value: float | None, interval: tuple[float, float] | None) -> str:
    return figures.NONE if value is None else estimated(METRICS[name], value, interval)


def render_comparison(comparison: Comparison, console: Console) -> None:
    """Every cell with its verdict, ratio and reason; what differs between the runs first."""
    for bar in comparison.bars:
        console.print(f"[red]not comparable[/red]: {escape(bar)}")
    for flag in comparison.flags:
        console.print(f"[yellow]differs[/yellow]: {escape(flag)}")
    title = f"B against A, {comparison.boundary} boundary; ratio A / B, above 1 B is faster"
    rows: list[list[Text | str]] = [
        [change.cell, Text(change.verdict, STYLES[change.verdict]), figures.ratio(change.ratio, change.ci95)]
        for change in comparison.changes
    ]
    console.print(figures_table(title, ("cell", "verdict", "ratio"), rows, console.width))
    _list(console, "Why", [f"{change.cell}: {_why(change)}" for change in comparison.changes])
    counts = ", ".join(f"{count} {answer}" for answer, count in comparison.counts.items())
    console.print(counts or "no cell in either run", highlight=False)


def _why(change: Change) -> str:
    shown = [] if change.ratio is None else [figures.ratio(change.ratio, change.ci95)]
    return "; ".join([*shown, change.reason, *change.flags])


def render_recipe(recipe: Recipe, console: Console) -> None:
    """The command, what to install, what to expect, and the script."""
    console.print(f"[bold]{escape(recipe.cell)}[/bold]: {escape(recipe.expected)}")
    for note in recipe.notes:
        console.print(Text(note, style="dim"))
    for line in recipe.install_lines:
        console.print(Text(line), soft_wrap=True)
    console.print(Text(recipe.command_line), soft_wrap=True)
    console.print(Text("\nor, without the harness, this script:\n", style="dim"))
    console.print(Text(recipe.script), soft_wrap=True)


def _list(console: Console, title: str, lines: list[str]) -> None:
    if lines:
        console.print(f"[bold]{escape(title)}[/bold]")
        for line in lines:
            console.print(Padding(Text(line), (0, 0, 0, 2)))
