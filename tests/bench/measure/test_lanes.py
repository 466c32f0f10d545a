"""Exports beside each other: in threads of the manager's, each of which waits for one process."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import pytest

from depthport.bench.measure import exports
from depthport.bench.measure.lanes import Stop, Task, side_by_side
from depthport.bench.measure.observer import Observer
from depthport.bench.workers.channel import Channel, WorkerGone
from depthport.bench.workers.messages import Hello


def run(room: Callable[[], bool]) -> tuple[list[str], int, list[int]]:
    """The tasks a, b, c in the order in which they were done, how many were under way at most, and what they were told."""
    lock, both = threading.Lock(), threading.Event()
    under_way, most, order, told = 0, 0, [], []

    def ask(task: str, _: Stop, sharing: int) -> str:
        nonlocal under_way, most
        told.append(sharing)
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
    return order, most, told


def test_two_at_a_time_where_there_is_room() -> None:
    order, most, told = run(lambda: True)
    assert sorted(order) == ["A", "B", "C"] and most == 2 and told[:2] == [2, 2]
    assert run(lambda: False) == (["A", "B", "C"], 1, [1, 1, 1])


def test_one_that_is_left_has_the_machine_to_itself() -> None:
    told: list[int] = []
    side_by_side([Task(lambda _, sharing: told.append(sharing), lambda _: None)], lambda: True)
    assert told == [1]


def test_processes_that_share_the_cpus_start_fewer_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[str | None] = []

    class Kept(Channel):
        def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
            given.append(environment.get("OMP_NUM_THREADS"))
            raise WorkerGone("not started")

    monkeypatch.setattr(exports, "Channel", Kept)
    monkeypatch.setattr(exports, "allowed_threads", lambda: 8)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    request = Hello(packages=())
    for sharing in (1, 2):
        exports.ask_exporter(request, 1.0, Observer(), sharing=sharing)
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    exports.ask_exporter(request, 1.0, Observer(), sharing=2)
    assert given == [None, "4", "3"]


def test_a_stop_ends_the_processes_that_are_waited_for() -> None:
    found: list[object] = []

    def sleep(stop: Stop, _: int) -> None:
        channel = Channel([sys.executable, "-c", "import time; time.sleep(600)"])
        stop.add(channel)
        started.set()
        found.append(channel._process.wait())
        channel.kill()

    def done(_: object) -> None:
        raise KeyboardInterrupt

    started = threading.Event()
    with pytest.raises(KeyboardInterrupt):
        side_by_side([Task(sleep, done), Task(lambda *_: started.wait(), done)], lambda: True)
    assert found and found != [0]


def test_a_stop_leaves_alone_what_has_answered() -> None:
    stop, channel = Stop(), Channel([sys.executable, "-c", "import time; time.sleep(600)"])
    stop.add(channel)
    stop.remove(channel)
    stop.end()
    assert channel._process.poll() is None
    channel.kill()
