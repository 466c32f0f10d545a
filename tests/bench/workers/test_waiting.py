"""Waiting for a CPU, taken off a block's time."""

from __future__ import annotations

import sys
import threading
import time

import pytest

from depthport.bench.workers.waiting import Waiting, calm_of, calm_share, usable_cpus, waiting

MS = 1_000_000


@pytest.mark.parametrize(
    ("wall", "cpu", "waited", "cpus", "calm", "doubt"),
    [
        (100, 100, 0, 2, 100, 0),  # one thread, alone
        (100, 60, 40, 2, 60, 0),  # one thread, held up for 40
        (100, 200, 0, 2, 100, 0),  # two threads, alone
        (100, 160, 40, 2, 80, 10),  # two threads, each held up for 20
        (100, 100, 92, 1, 100, 0),  # two threads of one program that has one CPU wait for each other
        (100, 50, 150, 1, 50, 25),  # and for another program
        (100, 1, 10, 2, 90, 0),  # a call that waits for a device
    ],
)
def test_calm(wall: int, cpu: int, waited: int, cpus: int, calm: int, doubt: int) -> None:
    assert calm_of(wall * MS, cpu * MS, waited * MS, cpus) == pytest.approx((calm / 100, doubt / 100))


def test_calm_is_a_share_whatever_the_clocks_say() -> None:
    assert calm_of(100, 300, 0, 2).calm_share == 1.0
    assert calm_of(100, 0, 500, 2).calm_share == 1e-4


def test_unknown_where_a_reading_is_missing() -> None:
    reading = Waiting(0, 0, {})
    assert calm_share(None, reading) == calm_share(reading, None) == (None, 0.0)


def test_a_new_thread_counts_from_its_start() -> None:
    before, after = Waiting(0, 0, {"1": 5 * MS}), Waiting(100 * MS, 50 * MS, {"1": 25 * MS, "2": 30 * MS})
    assert calm_share(before, after) == calm_of(100 * MS, 50 * MS, 50 * MS, usable_cpus())


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_this_process_can_be_read() -> None:
    before = waiting()
    if before is None:
        pytest.skip("this kernel counts no waiting")
    thread = threading.Thread(target=time.sleep, args=(0.01,))
    thread.start()
    share, doubt = calm_share(before, waiting())
    thread.join()
    assert share is not None and 0.0 < share <= 1.0 and 0.0 <= doubt < 1.0
