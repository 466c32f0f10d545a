"""The timed loops of a block, by what is timed; bench/workers/worker.py says what a sample is at each boundary.

Nothing is in these loops but the session's own calls, the clock and two appends.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from depthport.bench.workers.messages import RunBlock

if TYPE_CHECKING:
    from depthport.runtimes.base import Arrays, Session


@dataclass(frozen=True)
class Samples:
    """Timings of one block, by the session's clock."""

    starts_ns: list[int]
    """Starts by `time.perf_counter_ns`, whatever the session's clock, as telemetry has it."""
    device_ns: list[int] | None = None
    host_ns: list[int] | None = None
    pipeline_ns: list[int] | None = None
    stream_ns: list[int] | None = None


def time_block(session: Session, inputs: Sequence[Arrays], request: RunBlock) -> Samples:
    """The samples that `request` asks for, inputs rotating."""
    return {"device": _device, "host": _host, "both": _both}[request.boundary](session, inputs, request)


def _device(session: Session, inputs: Sequence[Arrays], request: RunBlock) -> Samples:
    calls, delay = request.calls, request.delay_ns
    clock, now = session.clock, time.perf_counter_ns
    samples: list[int] = []
    starts: list[int] = []
    for index in request.input_indices:
        session.bind(inputs[index % len(inputs)], checked=True)
        session.synchronize()
        starts.append(now())
        begin = clock()
        for _ in range(calls):
            session.run()
            if delay:
                session.synchronize()
                spin(delay)
        session.synchronize()
        samples.append(clock() - begin)
    return Samples(starts, device_ns=samples)


def _host(session: Session, inputs: Sequence[Arrays], request: RunBlock) -> Samples:
    calls, delay = request.calls, request.delay_ns
    clock, now = session.clock, time.perf_counter_ns
    samples: list[int] = []
    starts: list[int] = []
    for index in request.input_indices:
        arrays = inputs[index % len(inputs)]
        starts.append(now())
        begin = clock()
        for _ in range(calls):
            session.bind(arrays, checked=True)
            session.run()
            session.synchronize()
            if delay:
                spin(delay)
            session.outputs()
        samples.append(clock() - begin)
    return Samples(starts, host_ns=samples)


def _both(session: Session, inputs: Sequence[Arrays], request: RunBlock) -> Samples:
    delay = request.delay_ns
    clock, now = session.clock, time.perf_counter_ns
    device: list[int] = []
    host: list[int] = []
    starts: list[int] = []
    for index in request.input_indices:
        arrays = inputs[index % len(inputs)]
        starts.append(now())
        begin = clock()
        session.bind(arrays, checked=True)
        session.synchronize()
        run = clock()
        session.run()
        session.synchronize()
        if delay:
            spin(delay)
        done = clock()
        session.outputs()
        end = clock()
        device.append(done - run)
        host.append(end - begin)
    return Samples(starts, device, host)


# Of Windows' clocks this one is too coarse (15.6 ms).
_spun_ns = time.perf_counter_ns if sys.platform == "win32" else time.thread_time_ns


def spin(nanoseconds: int) -> None:
    """Work for some CPU time: a sleep would let the core clock down, and never wait for a CPU as a longer call would."""
    end = _spun_ns() + nanoseconds
    while _spun_ns() < end:
        pass
