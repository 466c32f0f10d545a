"""`doctor` for people: four short tables and what to do, by rich."""

from __future__ import annotations

from typing import TYPE_CHECKING

from depthport.exporters.core.inspection import Table

if TYPE_CHECKING:
    from rich.console import Console

    from depthport.bench.diagnose.doctor import DoctorReport


def render(report: DoctorReport, console: Console) -> None:
    """Print a report; on a narrow or plain terminal too."""
    from rich.markup import escape

    from depthport.bench.cli.tables import print_table

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
        print_table(table, console)
    if not report.findings:
        console.print("[green]Nothing odd was found.[/green]")
    for finding in report.findings:
        mark = "[red]problem[/red]" if finding.level == "problem" else "[yellow]note[/yellow]"
        console.print(f"{mark}: {escape(finding.message)}", highlight=False)
        if finding.remedy:
            console.print(f"  → {escape(finding.remedy)}", highlight=False, soft_wrap=True)


def _runtimes(report: DoctorReport) -> Table:
    rows = []
    for row in report.runtimes:
        if row.available:
            said = "; ".join(part for part in (row.description, ", ".join(row.modes), *row.notes) if part)
        else:
            said = f"{row.reason}" + (f": {row.remedy}" if row.remedy else "")
        rows.append((row.runtime, row.device, _yes(row.available), said))
    return Table("Runtimes", ("runtime", "device", "here", "what it is, or what to do"), tuple(rows), align="lllf")


def _formats(report: DoctorReport) -> Table:
    rows = tuple((row.format, _yes(row.available), row.reason or "") for row in report.formats)
    return Table("Formats", ("format", "here", "what to do"), rows, align="llf")


def _checkpoints(report: DoctorReport) -> Table:
    rows = tuple((row.model, row.licence, _yes(row.cached_mib is not None), row.hub_id) for row in report.checkpoints)
    return Table("Checkpoints", ("model", "licence", "cached", "Hugging Face repository"), rows, align="lllf")


def _yes(here: bool) -> str:
    return "yes" if here else "no"
