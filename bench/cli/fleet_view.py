"""A fleet on a terminal: all machines in one live table; in a log, a line where something changes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from depthport.bench.fleet.rows import Rows

HEAD = ("Machine", "State", "For", "Job", "Done", "")
_STYLES = {"done": "green", "failed": "red", "left out": "yellow", "absent": "yellow", "waiting": "yellow", "queued": "dim"}


@contextmanager
def watching() -> Iterator[Callable[[Rows], None]]:
    """Show the rows as they change."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _Log(console)
        return
    with Live(console=console, refresh_per_second=2) as live:
        yield lambda rows: live.update(_table(rows, time.time()))


def print_rows(rows: Rows) -> None:
    """Print the rows as the run last saved them."""
    when = datetime.fromtimestamp(rows.updated).astimezone()
    Console().print(_table(rows, rows.updated, f"As of {when:%Y-%m-%d %H:%M:%S %Z}"))


def _table(rows: Rows, now: float, title: str | None = None) -> Table:
    table = Table(*HEAD, box=SIMPLE_HEAD, pad_edge=False, title=title, title_justify="left")
    for name, state, job, done, why in rows.table():
        current = rows.machines[name].current()
        since = current[1].since if current else 0.0
        minutes, seconds = divmod(int(max(0.0, now - since)), 60)
        lasts = f"{minutes}:{seconds:02}" if since else ""
        table.add_row(Text(name), Text(state, _STYLES.get(state, "")), lasts, Text(job), Text(done), Text(why))
    return table


class _Log:
    def __init__(self, console: Console) -> None:
        self._console = console
        self._said: dict[str, tuple[str, ...]] = {}

    def __call__(self, rows: Rows) -> None:
        for name, *told in rows.table():
            if self._said.get(name) != tuple(told):
                self._said[name] = tuple(told)
                line = " ".join(part for part in (name, *told) if part)
                self._console.print(line, markup=False, highlight=False, soft_wrap=True)
