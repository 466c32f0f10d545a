"""Progress for people: what is running and how long it still takes, drawn by rich on stderr."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from depthport.bench.cli.command import VERBOSITY
from depthport.bench.measure.observer import Observer
from depthport.exporters.core.text import clean_text

LONGEST = 200
"""Most characters of a stage's name, which may hold a name that a user gave."""


class RichObserver(Observer):
    """One line a stage, with a bar where its length is known.

    The display refreshes only when something happens and a few times a second between: a refreshing thread would take
    CPU time from what is measured, so none runs (`auto_refresh=False`).
    """

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True)
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=20),
            TextColumn("{task.fields[left]}", style="cyan"),
            TimeElapsedColumn(),
            TextColumn("[dim]{task.fields[doing]}"),
            console=self._console,
            auto_refresh=False,
            transient=False,
        )
        self._task: TaskID | None = None
        self._progress.start()

    def stage(self, name: str, steps: int | None = None) -> None:
        self._end_task()
        self._task = self._progress.add_task(escape(clean_text(name, LONGEST)), total=steps, doing="", left="")
        self._progress.refresh()

    def step(self, text: str, advance: float = 0) -> None:
        if self._task is None:
            self.stage(text)
            return
        self._progress.update(self._task, advance=advance, doing=escape(clean_text(text)))
        self._progress.refresh()

    def budget(self, used_s: float, total_s: float) -> None:
        if self._task is None:
            return
        left = max(0.0, total_s - used_s)
        self._progress.update(self._task, total=total_s, completed=min(used_s, total_s), left=f"at most {left:.0f} s left")
        self._progress.refresh()

    def note(self, text: str) -> None:
        self._console.print(f"[dim]{escape(clean_text(text))}[/dim]", highlight=False)

    def warning(self, text: str) -> None:
        self._console.print(f"[yellow]![/yellow] {escape(clean_text(text))}", highlight=False)

    def close(self) -> None:
        self._end_task()
        self._progress.stop()

    def _end_task(self) -> None:
        if self._task is not None:
            task = self._progress.tasks[-1]
            total = task.total if task.total is not None else task.completed or 1
            self._progress.update(self._task, total=total, completed=total, doing="", left="")
            self._progress.refresh()
            self._task = None


class PlainObserver(Observer):
    """A line a stage and a warning, for logs and pipes."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True)

    def stage(self, name: str, steps: int | None = None) -> None:  # noqa: ARG002 - the interface's
        self._say(f"{clean_text(name, LONGEST)} ...")

    def note(self, text: str) -> None:
        self._say(clean_text(text))

    def warning(self, text: str) -> None:
        self._say(f"warning: {clean_text(text)}")

    def _say(self, text: str) -> None:
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)


class QuietObserver(PlainObserver):
    """Warnings alone."""

    def stage(self, name: str, steps: int | None = None) -> None:
        pass

    def note(self, text: str) -> None:
        pass


class VerboseObserver(PlainObserver):
    """Every step too."""

    def step(self, text: str, advance: float = 0) -> None:  # noqa: ARG002 - the observer's signature
        self._say(f"  {clean_text(text)}")


def observer_for(console: Console | None = None) -> Observer:
    """As much as `--quiet` and `--verbose` ask for: bars on a terminal, plain lines elsewhere."""
    console = console or Console(stderr=True)
    verbosity = VERBOSITY.get()
    if verbosity == "quiet":
        return QuietObserver(console)
    if verbosity == "verbose":
        return VerboseObserver(console)
    return RichObserver(console) if console.is_terminal else PlainObserver(console)
