"""Messages of a run to whoever watches it; rich draws them (bench/cli/progress.py), `--json` and tests stay silent."""

from __future__ import annotations

from contextlib import suppress


class Observer:
    """Called as things happen; every method may be left as it is."""

    def stage(self, name: str, steps: int | None = None) -> None:
        """A stage begins: exporting, reference, warming up, measuring; `steps` if their number is known."""

    def step(self, text: str, advance: float = 0) -> None:
        """Something within the stage begins; `advance` steps are done."""

    def budget(self, used_s: float, total_s: float) -> None:
        """Share of the stage's time budget that is used."""

    def note(self, text: str) -> None:
        """One line worth keeping on the screen."""

    def warning(self, text: str) -> None:
        """One line the user should see."""

    def close(self) -> None:
        """The run is over."""


class Careful(Observer):
    """Hands everything on to another observer; one whose terminal was closed or whose pipe broke costs no measurement."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer

    def stage(self, name: str, steps: int | None = None) -> None:
        with suppress(OSError):
            self._observer.stage(name, steps)

    def step(self, text: str, advance: float = 0) -> None:
        with suppress(OSError):
            self._observer.step(text, advance)

    def budget(self, used_s: float, total_s: float) -> None:
        with suppress(OSError):
            self._observer.budget(used_s, total_s)

    def note(self, text: str) -> None:
        with suppress(OSError):
            self._observer.note(text)

    def warning(self, text: str) -> None:
        with suppress(OSError):
            self._observer.warning(text)

    def close(self) -> None:
        with suppress(OSError):
            self._observer.close()
