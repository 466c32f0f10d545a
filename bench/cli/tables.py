"""Tables on a terminal.

The one writer of :class:`~depthport.exporters.core.inspection.Table` for a console, and of cells with their figures, whose
names are never cut: where a terminal is narrow, columns are left out.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from depthport.exporters.core.inspection import Table

STYLES = {"yes": "green", "passed": "green", "failed": "red", "no": "dim", "unavailable": "dim", "not reached": "dim"}
"""Styles of cells."""
_GAP = 2
"""Characters between columns of figures."""


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


def figures_table(
    title: str, head: Sequence[str], rows: Sequence[Sequence[Text | str]], width: int, most_wanted: Sequence[str] = ()
) -> RichTable:
    """Cells by name, each with its figures; the columns that `width` characters have room for.

    Args:
        head: `cell`, and what the figures are.
        rows: a name and its figures each.
        most_wanted: columns that stay longest, the first the longest of all; the others go from the right.
    """
    widest = [max(cell_len(str(row[place])) for row in (head, *rows)) for place in range(len(head))]
    wanted = [*most_wanted, *(name for name in head[1:] if name not in most_wanted)]
    kept, left = {head[0]}, width - widest[0]
    for name in wanted:
        left -= widest[head.index(name)] + _GAP
        if left >= 0 or len(kept) == 1:
            kept.add(name)
        else:
            break
    hidden = ", ".join(name for name in head if name not in kept)
    shown = RichTable(
        title=Text(title), title_justify="left", box=SIMPLE_HEAD, pad_edge=False, padding=(0, _GAP - 1, 0, 0),
        caption=Text(f"a wider terminal also shows {hidden}", "dim") if hidden else None, caption_justify="left",
    )  # fmt: skip
    places = [place for place, name in enumerate(head) if name in kept]
    for place in places:
        shown.add_column(Text(head[place]), justify="right" if place else "left", no_wrap=place > 0, overflow="fold")
    for row in rows:
        shown.add_row(*(row[place] for place in places))
    return shown
