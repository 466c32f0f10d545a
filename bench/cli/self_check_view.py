"""The self-check for people: a table, and what to send back where something failed."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.markup import escape

from depthport.bench.cli.tables import print_table
from depthport.bench.diagnose.self_check import NOT_REACHED
from depthport.bench.plan.cells import UNTIMED
from depthport.bench.results.metrics import parity_figure
from depthport.bench.results.model import Cell, Results, Status
from depthport.exporters.core.inspection import Table

FILE = Path("depthport-self-check.json")


def render(results: Results, console: Console, saved: Path | None) -> None:
    """Print what was found; `saved` is the file to send back, None where nothing failed."""
    first = results.cells[0]
    rows = tuple((cell.id, _ended(cell), cell.reason or _nearness(cell)) for cell in results.cells)
    console.print(f"[bold]{escape(results.environment['machine'])}[/bold]")
    shape = f"{first.views} views of {first.width}×{first.height}"
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
    return "passed" if cell.status is Status.OK else cell.status.value.replace("_", " ")


def _nearness(cell: Cell) -> str:
    """`depth 1.2e-06, rotation 3e-05°, same reference view`."""
    depth, rotation = parity_figure(cell, "depth", "rel_l2"), parity_figure(cell, "extrinsics", "rotation_deg")
    parts = [f"depth {depth:.1e}"] if depth is not None else []
    parts += [f"rotation {rotation:.1e}°"] if rotation is not None else []
    view = (cell.parity or {}).get("reference_view")
    parts += ["same reference view"] if isinstance(view, dict) and view["equal"] else []
    return ", ".join(parts) or "upstream's own outputs could not be computed"
