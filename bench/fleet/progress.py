"""Progress of a machine's work, one line of JSON at a time: a pipe, a log and Dask's events all carry it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from depthport.bench.measure.observer import Observer
from depthport.exporters.core.text import clean_text

STEP = 0.05
"""Share of a stage that is worth a line: a measuring process must not spend its time on output."""
STATES = ("starting", "waiting", "measuring", "exporting", "done", "failed")


@dataclass(frozen=True)
class Work:
    """State of a job."""

    job: str
    state: str
    """One of :data:`STATES`."""
    text: str = ""
    """Its present step, or why it has none."""
    share: float | None = None
    """Share of the time budget that is used, 0 to 1."""

    def line(self) -> str:
        return json.dumps(asdict(self))


def read_line(line: str) -> Work | None:
    """A line of :meth:`Work.line`, from a machine that may send anything; None if it is not one."""
    try:
        data: Any = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(data, dict) or data.get("state") not in STATES:
        return None
    share = data.get("share")
    usable = isinstance(share, int | float) and not isinstance(share, bool) and 0 <= share <= 1
    return Work(
        clean_text(str(data.get("job")), 80),
        str(data["state"]),
        clean_text(str(data.get("text") or ""), 400),
        float(share) if usable and share is not None else None,
    )


class Told:
    """Hands on what a machine's work tells."""

    def __init__(self, tell: Callable[[Work], None]) -> None:
        self._tell = tell

    def __call__(self, work: Work) -> None:
        self._tell(work)

    def observer(self, job: str) -> Observer:
        """Return the observer of that job's run."""
        return _JobObserver(job, self)


class _JobObserver(Observer):
    def __init__(self, job: str, told: Told) -> None:
        self._job = job
        self._told = told
        self._stage = ""
        self._share = 0.0

    def stage(self, name: str, steps: int | None = None) -> None:  # noqa: ARG002 - the interface's
        self._stage, self._share = name, 0.0
        self._told(Work(self._job, "measuring", name))

    def budget(self, used_s: float, total_s: float) -> None:
        share = min(1.0, used_s / total_s) if total_s > 0 else 1.0
        if share >= self._share + STEP:
            self._share = share
            self._told(Work(self._job, "measuring", self._stage, share))
