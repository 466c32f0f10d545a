"""A fleet as its user sees it: one row a machine, kept in a file for `fleet status`."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import msgspec

from depthport.bench.fleet.bundle import Bundle
from depthport.exporters.core.errors import UsageError
from depthport.exporters.core.files.atomic import read_json, write_json
from depthport.exporters.core.text import clean_json, clean_text

FILE = "fleet.json"
ENDED = ("done", "failed", "left out")
"""States in which nothing more happens to a job."""


@dataclass
class JobRow:
    """State of one job of a machine."""

    state: str = "queued"
    """`queued`, a state of bench/fleet/progress.py, `collecting`, or one of :data:`ENDED`."""
    text: str = ""
    share: float | None = None
    since: float = 0.0
    """Seconds since the epoch."""

    def now(self, state: str, text: str = "", share: float | None = None) -> None:
        if state != self.state:
            self.since = time.time()
        self.state, self.text, self.share = state, text, share

    @property
    def ended(self) -> bool:
        return self.state in ENDED


@dataclass
class MachineRow:
    """A machine and its jobs."""

    jobs: dict[str, JobRow] = field(default_factory=dict)
    reason: str = ""
    """Reason that nothing happens on it; empty: something does, or all is done."""

    @property
    def ended(self) -> bool:
        return all(job.ended for job in self.jobs.values())

    def current(self) -> tuple[str, JobRow] | None:
        """The job in progress, else the next."""
        going = [(name, job) for name, job in self.jobs.items() if not job.ended]
        return next((pair for pair in going if pair[1].state != "queued"), going[0] if going else None)

    def state(self) -> str:
        """State in one word: of the job in progress, or of the outcome."""
        if not self.ended:
            current = self.current()
            return "absent" if self.reason else current[1].state if current else "done"
        states = {job.state for job in self.jobs.values()}
        return next((state for state in ("failed", "left out") if state in states), "done")

    def why(self) -> str:
        """Text to show beside the state."""
        if not self.ended:
            current = self.current()
            return self.reason or (current[1].text if current else "")
        return next((job.text for job in self.jobs.values() if job.state != "done" and job.text), self.reason) or next(
            (job.text for job in self.jobs.values() if job.text), ""
        )


@dataclass
class Rows:
    """All machines of a run."""

    bundle: str
    machines: dict[str, MachineRow]
    updated: float = 0.0

    @classmethod
    def of(cls, bundle: Bundle) -> Rows:
        machines = {name: MachineRow({job: JobRow() for job in share.jobs}) for name, share in bundle.machines.items()}
        return cls(bundle.sha256, machines)

    def save(self, out: Path) -> None:
        self.updated = time.time()
        write_json(out / FILE, self.to_json())

    def to_json(self) -> dict[str, object]:
        return asdict(self)

    def table(self) -> list[tuple[str, str, str, str, str]]:
        """Machine, state, job, `n/m` done, and why or what."""
        lines = []
        for name, row in self.machines.items():
            current = row.current()
            done = f"{sum(job.state == 'done' for job in row.jobs.values())}/{len(row.jobs)}"
            job = current[0] if current and not row.ended else ""
            share = current[1].share if current and not row.reason else None
            why = clean_text(row.why(), 200)
            lines.append((name, row.state(), job, done, f"{share:.0%} {why}".strip() if share is not None else why))
        return lines


def load_rows(out: Path) -> Rows:
    """Load the rows that the last run into a folder left.

    Raises:
        UsageError: it is missing, or can't be read.
    """
    path = out / FILE
    try:
        data = read_json(path, 1 << 24)
        if not isinstance(data, Mapping):
            raise ValueError("it is not an object")
        return msgspec.convert(clean_json(data), Rows)
    except FileNotFoundError:
        raise UsageError(f"{path} does not exist: start the fleet with `depthport fleet run`") from None
    except (OSError, ValueError, msgspec.ValidationError) as error:
        raise UsageError(f"{path} can't be read ({error}): run the fleet again") from None
