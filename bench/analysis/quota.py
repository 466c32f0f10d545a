"""Effect of a container's CPU quota on figures: they are those of the quota's periods, not of the work.

A process that has used up its quota stands still until the next period (kernel documentation, scheduler/sched-bwc.rst).
Calls then take as long as the schedule says, alike enough for a narrow interval, and another run under the same quota may
find three times as much. The time stood still is known, so the interval is opened by it: without the quota a call could
have taken as much less. A comparison in which either side stood still says nothing.
"""

from __future__ import annotations

from msgspec.structs import replace

from depthport.bench.environment.telemetry_summary import THROTTLED_SHARE
from depthport.bench.results.model import Speedup
from depthport.bench.statistics.figures import percent

_MOST = 0.95
"""The kernel sums over CPUs, so a share may come out above 1."""


def matters(share: float | None) -> bool:
    """Return whether this share of the wall time, stood still, is more than a figure can hide."""
    return share is not None and share > THROTTLED_SHARE


def opened(interval: tuple[float, float] | None, share: float | None) -> tuple[float, float] | None:
    """The interval of a latency with what it could have been without the quota."""
    if interval is None or share is None or not matters(share):
        return interval
    return interval[0] * (1 - min(share, _MOST)), interval[1]


def carried(found: Speedup, ours: float | None, theirs: float | None) -> Speedup:
    """The verdict on a cell and its baseline, given the share of time that each stood still."""
    shares = [share for share in (ours, theirs) if share is not None and matters(share)]
    if not shares:
        return found
    reason = f"the container's CPU quota held it back {percent(min(max(shares), 1.0))} of the time: {found.reason}"
    return replace(found, verdict="inconclusive", reason=reason)
