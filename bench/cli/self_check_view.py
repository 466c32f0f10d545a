"""The self-check for people: a table, and what to send back where something failed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from depthport.bench.diagnose.self_check import SelfCheck

FILE = Path("depthport-self-check.json")


def render(report: SelfCheck, console: Console, saved: Path | None) -> None:
    """Print a report; `saved` is the file to send back, None where nothing failed."""
    from rich.markup import escape

    from depthport.bench.cli.tables import print_table
    from depthport.bench.diagnose.self_check import INTERPRETER
    from depthport.exporters.core.inspection import Table

    head = ("runtime/device/mode/precision", "result", "s", "difference to upstream fp32, or what went wrong")
    rows = tuple(
        (check.cell, check.status, f"{check.seconds:.0f}", (f"at {check.step}: " if check.step else "") + check.detail)
        for check in report.checks
    )
    console.print(f"[bold]{escape(report.environment['machine'])}[/bold]")
    console.print(f"{report.model}, {report.shape}, {report.weights}: {report.seconds:.0f} s", highlight=False)
    print_table(Table("Self-check", head, rows, align="llrf"), console)
    read = [name for check in report.checks if (name := "/".join(check.cell.split("/")[:2])).endswith(f"/{INTERPRETER}")]
    for name in dict.fromkeys(read):
        console.print(f"[dim]{escape(name)}: the saved artifact by our own reading of it, without the runtime.[/dim]")
    if any(check.status == "not reached" for check in report.checks):
        console.print("Some were not reached: what was exported is not kept, so try again on an idle machine.")
    if saved is not None:
        console.print(
            f"Send back {escape(str(saved))}: hardware, versions, each step's error and the end of its log; names of "
            "users and folders are taken out, have a look before you send it.",
            highlight=False,
            soft_wrap=True,
        )
