"""`doctor` for people: four short tables and what to do, by rich."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from depthport.bench.diagnose.doctor import DoctorReport


def render(report: DoctorReport, console: Console) -> None:
    """Print a report; on a narrow or plain terminal too."""
    from rich.markup import escape

    environment = report.environment
    system = environment["system"]
    console.print(f"[bold]{escape(environment['machine'])}[/bold]")
    place = system["distribution"] or f"{system['os']} {system['release']}"
    console.print(f"{escape(place)}, {system['architecture']}, Python {environment['python']['version']}")
    if features := environment["cpu"]["features"]:
        console.print(f"CPU instructions: {' '.join(features)}")
    for gpu in environment["gpus"]:
        console.print(f"{escape(gpu['name'])}: compute capability {gpu['compute_capability']}, driver {gpu['driver']}")
    console.print(f"Artifacts go to {escape(str(report.artifacts))}, {report.free_gb:.0f} GB free", highlight=False)
    console.print()
    for table in (_runtimes(report), _formats(report), _checkpoints(report)):
        console.print(table)
    if not report.findings:
        console.print("[green]Nothing odd was found.[/green]")
    for finding in report.findings:
        mark = "[red]problem[/red]" if finding.level == "problem" else "[yellow]note[/yellow]"
        console.print(f"{mark}: {escape(finding.message)}", highlight=False)
        if finding.remedy:
            console.print(f"  → {escape(finding.remedy)}", highlight=False, soft_wrap=True)


def _runtimes(report: DoctorReport) -> Table:
    from rich.markup import escape

    table = _table("Runtimes", "runtime", "device", "here", "what it is, or what to do")
    for row in report.runtimes:
        if row.available:
            said = "; ".join(part for part in (row.description, ", ".join(row.modes), *row.notes) if part)
        else:
            said = f"{row.reason}" + (f": {row.remedy}" if row.remedy else "")
        table.add_row(escape(row.runtime), row.device, _yes(row.available), escape(said))
    return table


def _formats(report: DoctorReport) -> Table:
    from rich.markup import escape

    table = _table("Formats", "format", "here", "what to do")
    for row in report.formats:
        table.add_row(escape(row.format), _yes(row.available), escape(row.reason or ""))
    return table


def _checkpoints(report: DoctorReport) -> Table:
    table = _table("Checkpoints", "model", "licence", "cached", "Hugging Face repository")
    for row in report.checkpoints:
        table.add_row(row.model, row.licence, _yes(row.cached_mib is not None), row.hub_id)
    return table


def _table(title: str, *columns: str) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    for name in columns[:-1]:
        table.add_column(name, no_wrap=True)
    table.add_column(columns[-1], overflow="fold")
    return table


def _yes(here: bool) -> str:
    return "[green]yes[/green]" if here else "[dim]no[/dim]"
