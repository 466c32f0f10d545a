"""The two regimes beside `burst`: `sustained` load, and frames that arrive at a fixed rate.

**Sustained**: one call after the other for ten minutes or more, because a device that is fast for a second
may be slow once it is warm. **Fixed rate**: frame i is due at `origin + i / rate`, whether or not the frame
before it is done, as a camera delivers them. Its latency counts from when it was *due*, not from when the
program got around to it; timing from the actual start hides every frame that waited ("coordinated omission",
Gil Tene, "How NOT to measure latency", Strange Loop 2015). Frames queue, none is dropped; its deadline is
when the next one is due. What had not been started when the time was over is a miss.

The drivers here run in the worker and know a call, a clock (`perf_counter_ns`, as everywhere) and nothing
else; what the samples say is computed in :mod:`depthport.bench.analysis.regime_analysis`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from depthport.bench.plan.regime import frames_in
from depthport.bench.workers.messages import FixedRateResult, SustainedResult
from depthport.exporters.core.errors import UsageError

if TYPE_CHECKING:
    # A worker of another interpreter says what it lacks before anything of a runtime is imported.
    import numpy as np

    from depthport.runtimes.base import Session
    from depthport.runtimes.session import FilesPipeline

Call = Callable[[int], object]
"""One sample, given its index (inputs rotate by it); returns when it is done."""
Clock = Callable[[], int]
"""Nanoseconds, monotonic."""

SPIN_NS = 1_000_000
"""The last millisecond before a frame is due is spent spinning: a sleep ends tens of microseconds late."""
_LEAD_NS = 2_000_000


def run_sustained(
    call: Call, seconds: float, clock: Clock = time.perf_counter_ns, *, first_index: int = 0
) -> SustainedResult:
    """Sample after sample without a pause until `seconds` have passed; at least one.

    A long run may be made of several with `first_index` going on, telemetry between them: see `join`.
    """
    starts: list[int] = []
    samples: list[int] = []
    end = clock() + round(seconds * 1e9)
    while True:
        begin = clock()
        if begin >= end and starts:
            return SustainedResult(starts, samples)
        call(first_index + len(starts))
        samples.append(clock() - begin)
        starts.append(begin)


def join(parts: Sequence[SustainedResult]) -> SustainedResult:
    """Consecutive parts of one run, all by the same process's clock.

    Raises:
        UsageError: parts that are not in the order they ran.
    """
    starts = [start for part in parts for start in part.start_ns]
    if any(later < earlier for earlier, later in pairwise(starts)):
        raise UsageError("parts of a sustained run are not in the order they ran, or of different processes")
    return SustainedResult(starts, [sample for part in parts for sample in part.sample_ns])


def run_fixed_rate(
    call: Call,
    rate_hz: float,
    seconds: float,
    clock: Clock = time.perf_counter_ns,
    sleep: Callable[[float], object] = time.sleep,
) -> FixedRateResult:
    """Call once a frame, `rate_hz` times a second for `seconds`; late frames are served at once, none dropped.

    Ends with the last frame or the first call that ends after the time is over, whichever is first.

    Raises:
        UsageError: see `frames_in`.
    """
    frames = frames_in(rate_hz, seconds)
    result = FixedRateResult(rate_hz, frames, clock() + _LEAD_NS)
    end = result.due_ns(frames)
    for frame in range(frames):
        _wait_until(result.due_ns(frame), clock, sleep)
        start = clock()
        if start >= end:
            break
        call(frame)
        result.done_ns.append(clock())
        result.start_ns.append(start)
    return result


def _wait_until(due_ns: int, clock: Clock, sleep: Callable[[float], object]) -> None:
    while (remaining := due_ns - clock()) > SPIN_NS:
        sleep((remaining - SPIN_NS) / 1e9)
    while clock() < due_ns:
        pass


def host_call(session: Session, inputs: Sequence[Mapping[str, np.ndarray]]) -> Call:
    """A sample at the host boundary: numpy in, numpy out."""

    def call(index: int) -> None:
        session.bind(inputs[index % len(inputs)], checked=True)
        session.run()
        session.synchronize()
        session.outputs()

    return call


def files_call(pipeline: FilesPipeline, scenes: Sequence[Sequence[bytes]]) -> Call:
    """A sample at the boundary `pipeline`: the files of a scene to its arrays."""
    return lambda index: pipeline(scenes[index % len(scenes)])
