"""A session that returns before it is done is told from a system that is slow once."""

from __future__ import annotations

import time
from typing import Any, cast

import pytest

from depthport.bench.workers.worker import LazySession, Worker
from depthport.runtimes.base import Session


class _Fetching:
    """Outputs that take 5 ms to fetch: the first time of each of the first `slow` runs."""

    def __init__(self, slow: int) -> None:
        self.runs, self.slow, self.fetched = 0, slow, False

    def run(self) -> None:
        self.runs += 1
        self.fetched = False

    def synchronize(self) -> None: ...

    def clock(self) -> int:
        return time.perf_counter_ns()

    def outputs(self) -> dict[str, Any]:
        if not self.fetched and self.runs <= self.slow:
            time.sleep(0.005)
        self.fetched = True
        return {}


def _worker(slow: int) -> Worker:
    worker = Worker()
    worker.session = cast(Session, _Fetching(slow))
    return worker


def test_a_fetch_that_is_slow_once_is_not_laziness() -> None:
    assert _worker(1).calibrate().fetch_ns < 5_000_000


def test_a_fetch_that_is_slow_after_every_call_is() -> None:
    with pytest.raises(LazySession, match="before the outputs were ready"):
        _worker(100).calibrate()
