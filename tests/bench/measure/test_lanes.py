"""Exports beside each other: in threads of the manager's, each of which waits for one process."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from functools import partial

import pytest

from depthport.bench.measure.lanes import Stop, Task, side_by_side
from depthport.bench.workers.channel import Channel


def run(room: Callable[[], bool]) -> tuple[list[str], int]:
    """The tasks a, b, c in the order in which they were done, and how many were under way at most."""
    lock, both = threading.Lock(), threading.Event()
    under_way, most, order = 0, 0, []

    def ask(task: str, _: Stop) -> str:
        nonlocal under_way, most
        with lock:
            under_way += 1
            most = max(most, under_way)
        if task == "a":
            both.wait(0.2)
        elif task == "b":
            both.set()
        with lock:
            under_way -= 1
        return task.upper()

    def done(answer: str) -> None:
        assert threading.current_thread() is threading.main_thread()
        order.append(answer)

    side_by_side([Task(partial(ask, task), done) for task in "abc"], room)
    return order, most


def test_two_at_a_time_where_there_is_room() -> None:
    order, most = run(lambda: True)
    assert sorted(order) == ["A", "B", "C"] and most == 2
    assert run(lambda: False) == (["A", "B", "C"], 1)


def test_a_stop_ends_the_processes_that_are_waited_for() -> None:
    found: list[object] = []

    def sleep(stop: Stop) -> None:
        channel = Channel([sys.executable, "-c", "import time; time.sleep(600)"])
        stop.add(channel)
        started.set()
        found.append(channel._process.wait())
        channel.kill()

    def done(_: object) -> None:
        raise KeyboardInterrupt

    started = threading.Event()
    with pytest.raises(KeyboardInterrupt):
        side_by_side([Task(sleep, done), Task(lambda _: started.wait(), done)], lambda: True)
    assert found and found != [0]


def test_a_stop_leaves_alone_what_has_answered() -> None:
    stop, channel = Stop(), Channel([sys.executable, "-c", "import time; time.sleep(600)"])
    stop.add(channel)
    stop.remove(channel)
    stop.end()
    assert channel._process.poll() is None
    channel.kill()
