"""How long a block's threads stood ready and waited for a CPU: what other work on the machine did to it.

Linux counts for every thread the nanoseconds it spent on a run queue (`/proc/PID/task/TID/schedstat`, second field;
kernel documentation, scheduler/sched-stats). With C the process's CPU time in a block, D the sum of its threads' waiting
and `wall` the block's length, P = (C + D) / wall threads were ready at a time. The block would have taken

    calm = max(wall - D / max(1, P), C / N)

with nobody else in the queue: the waiting is taken off, shared out among the threads that were ready together; but no
program gets more than the N CPUs it may use, and what more threads than that wait for is their own kind.

What one thread waited is taken off exactly. How the waiting of several adds up is a guess: they may work on while another
waits, or spin until it is back (bench/statistics/guess.py). So `(1 - 1 / P)` of what is taken off is in doubt.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

_TASKS = Path("/proc/self/task")


@dataclass(frozen=True)
class Waiting:
    """Counters of this process, in ns."""

    wall_ns: int
    cpu_ns: int
    waited_ns: dict[str, int]
    """By thread."""


class Calm(NamedTuple):
    """Shares of a block's time."""

    calm_share: float | None = None
    """Left without waiting for a CPU (0, 1]; None where unknown."""
    doubt_share: float = 0.0
    """Taken off by a guess [0, 1)."""


def waiting() -> Waiting | None:
    """Read the counters; None where the system has none."""
    try:
        waited = {task: _waited_ns(task) for task in os.listdir(_TASKS)}  # noqa: PTH208 - half the cost
    except (OSError, ValueError, IndexError):
        return None
    return Waiting(time.perf_counter_ns(), time.process_time_ns(), waited)


def calm_share(before: Waiting | None, after: Waiting | None) -> Calm:
    """What is left of the time between two readings without waiting for a CPU."""
    if before is None or after is None:
        return Calm()
    waited_ns = sum(ns - before.waited_ns.get(task, 0) for task, ns in after.waited_ns.items())
    return calm_of(after.wall_ns - before.wall_ns, after.cpu_ns - before.cpu_ns, waited_ns, usable_cpus())


def calm_of(wall_ns: int, cpu_ns: int, waited_ns: int, cpus: int) -> Calm:
    """The shares of the module's formula, rounded to 1e-4."""
    ready = max(1.0, (cpu_ns + waited_ns) / wall_ns)
    calm = max(wall_ns - waited_ns / ready, cpu_ns / cpus)
    share = min(1.0, max(1e-4, calm / wall_ns))
    return Calm(round(share, 4), round((1.0 - 1.0 / ready) * (1.0 - share), 4))


def usable_cpus() -> int:
    """CPUs that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _waited_ns(task: str) -> int:
    try:
        return int((_TASKS / task / "schedstat").read_bytes().split()[1])
    except FileNotFoundError:
        if not (_TASKS / task).exists():
            return 0  # the thread ended
        raise
