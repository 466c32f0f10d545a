"""`doctor` for people: four short tables, what to do, how to install what is missing, and the self-check."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from depthport.bench.cli.options import print_json, stderr, stdout
from depthport.exporters.core.errors import UnavailableError
from depthport.exporters.core.inspection import Table
from depthport.exporters.core.install import as_here

if TYPE_CHECKING:
    from rich.console import Console

    from depthport.bench.diagnose.doctor import DoctorReport
    from depthport.bench.results.model import Cell, Results

SELF_CHECK = Path("depthport-self-check.json")
"""File to send back if the self-check failed."""


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
    console.print(f"Artifacts go to {escape(str(report.artifacts))}, {report.free_gib:.0f} GiB free", highlight=False)
    console.print()
    for table in (_runtimes(report), _formats(report), _checkpoints(report)):
        print_table(table, console)
    if not report.findings:
        console.print("[green]No problems found.[/green]")
    for finding in report.findings:
        mark = "[red]problem[/red]" if finding.level == "problem" else "[yellow]note[/yellow]"
        console.print(f"{mark}: {escape(finding.message)}", highlight=False)
        if finding.remedy:
            console.print(f"  → {escape(as_here(finding.remedy))}", highlight=False, soft_wrap=True)


def offer(extras: Sequence[str], yes: bool, as_json: bool) -> None:
    """Print the commands that install what is missing; run them if the user agrees.

    Raises:
        UsageError: an extra that there is not.
        UnavailableError: neither pip nor uv is here, or an installation failed.
    """
    from depthport.bench.diagnose.missing import missing

    found = missing(extras)
    if as_json:
        print_json("missing", found.to_json())
    else:
        for note in found.notes:
            stderr(as_here(note))
        stderr(f"missing: {', '.join(found.packages)}" if found.lines else "nothing is missing")
        for line in found.lines:
            stdout(as_here(str(line)))
    if not found.lines or not (yes or (sys.stdin.isatty() and not as_json and typer.confirm("Run this?", err=True))):
        return
    for line in found.lines:
        for command in line.commands():
            # What an installer prints is for people, and goes where progress goes.
            if subprocess.run(command, stdout=sys.stderr, check=False).returncode != 0:
                raise UnavailableError(f"this failed, for the reason above: {as_here(str(line))}")


def _runtimes(report: DoctorReport) -> Table:
    rows = []
    for row in report.runtimes:
        if row.available:
            said = "; ".join(part for part in (row.description, ", ".join(row.modes), *row.notes) if part)
        else:
            said = as_here(f"{row.reason}" + (f": {row.remedy}" if row.remedy else ""))
        rows.append((row.runtime, row.device, _yes(row.available), said))
    return Table("Runtimes", ("runtime", "device", "here", "what it is, or what to do"), tuple(rows), align="lllf")


def _formats(report: DoctorReport) -> Table:
    rows = tuple((row.format, _yes(row.available), as_here(row.reason or "")) for row in report.formats)
    return Table("Formats", ("format", "here", "what to do"), rows, align="llf")


def _checkpoints(report: DoctorReport) -> Table:
    rows = tuple((row.model, row.licence, _yes(row.cached_mib is not None), row.hub_id) for row in report.checkpoints)
    return Table("Checkpoints", ("model", "licence", "cached", "Hugging Face repository"), rows, align="lllf")


def _yes(here: bool) -> str:
    return "yes" if here else "no"


def render_self_check(results: Results, console: Console, saved: Path | None) -> None:
    """Print what was found; `saved` is the file to send back, None where nothing failed."""
    from rich.markup import escape

    from depthport.bench.cli.tables import print_table
    from depthport.bench.diagnose.self_check import NOT_REACHED
    from depthport.bench.plan.cells import UNTIMED

    first = results.cells[0]
    rows = tuple((cell.id, _ended(cell), cell.reason or _nearness(cell)) for cell in results.cells)
    console.print(f"[bold]{escape(results.environment['machine'])}[/bold]")
    shape = f"{first.views} views of {first.height}×{first.width}"
    console.print(f"{escape(first.model)}, {shape}, {escape(first.weights)}", highlight=False)
    head = ("runtime/device/mode/precision", "result", "difference to upstream fp32, or what went wrong")
    print_table(Table("Self-check", head, rows, align="llf"), console)
    for name, why in dict.fromkeys((cell.runtime, cell.numerics_only) for cell in results.cells):
        if why is not None and why != UNTIMED:
            console.print(f"[dim]{escape(name)}: {escape(why)}.[/dim]")
    if any(cell.status in NOT_REACHED for cell in results.cells):
        console.print("Some were not reached: exports are not kept, so try again on an idle machine.")
    if saved is not None:
        console.print(
            f"Send back {escape(str(saved))}: hardware, versions, each failed cell's error and the end of its log. User "
            "and folder names are removed; have a look before you send it.",
            highlight=False,
            soft_wrap=True,
        )


def _ended(cell: Cell) -> str:
    return "passed" if cell.status.value == "ok" else cell.status.value.replace("_", " ")


def _nearness(cell: Cell) -> str:
    """`depth 1.2e-06, rotation 3e-05°, same reference view`."""
    from depthport.bench.results.metrics import parity_figure

    depth, rotation = parity_figure(cell, "depth", "rel_l2"), parity_figure(cell, "extrinsics", "rotation_deg")
    parts = [f"depth {depth:.1e}"] if depth is not None else []
    parts += [f"rotation {rotation:.1e}°"] if rotation is not None else []
    view = (cell.parity or {}).get("reference_view")
    parts += ["same reference view"] if isinstance(view, dict) and view["equal"] else []
    return ", ".join(parts) or "upstream's own outputs could not be computed"
