"""Tables on a terminal: the one writer of :class:`~depthport.exporters.core.inspection.Table` for a console."""

from __future__ import annotations

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from depthport.exporters.core.inspection import Table

STYLES = {"yes": "green", "passed": "green", "failed": "red", "no": "dim", "unavailable": "dim", "not reached": "dim"}
"""Shown for an empty cell."""


def print_table(table: Table, console: Console) -> None:
    """The table and its note. Every text is shown as it is: a terminal's markup is a language too."""
    shown = RichTable(title=Text(table.title), title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    for name, mark in zip(table.head, table.align.ljust(len(table.head), "l"), strict=True):
        # Figures and names are whole; only what is prose (`f`) and, without marks, any text may be folded.
        whole = bool(table.align) and mark != "f"
        shown.add_column(Text(name), justify="right" if mark == "r" else "left", no_wrap=whole, overflow="fold")
    for row in table.rows:
        shown.add_row(*(Text(cell, STYLES.get(cell, "")) for cell in row))
    console.print(shown)
    if table.note:
        console.print(Text(table.note, "dim"))
