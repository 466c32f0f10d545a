"""Work of other processes side by side: for each, a thread that waits for its answer."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from depthport.bench.workers.channel import Channel

A = TypeVar("A")


class Stop:
    """Ends processes whose answers other threads wait for."""

    def __init__(self) -> None:
        self._channels: list[Channel] = []
        self._over = False

    def add(self, channel: Channel) -> None:
        """Take on another; it ends at once where all have been ended."""
        self._channels.append(channel)
        if self._over:
            channel.end()

    def remove(self, channel: Channel) -> None:
        """Forget one that has answered: its process is gone, and another may have its number."""
        self._channels.remove(channel)

    def end(self) -> None:
        """End them all, and what is added later: who waits for one finds that it is gone."""
        self._over = True
        for channel in list(self._channels):  # another thread may take one away
            channel.end()


@dataclass(frozen=True)
class Task(Generic[A]):
    """Something to ask of another process."""

    ask: Callable[[Stop, int], A]
    """Waits for the answer, in a thread of its own; told how many processes share the machine meanwhile."""
    done: Callable[[A], None]
    """Takes it, in the thread of whoever has asked for all."""


def side_by_side(tasks: Sequence[Task[Any]], room: Callable[[], bool], most: int = 2) -> None:
    """Ask for every task in its order, up to `most` at a time while there is `room`.

    An exporter is one Python thread for most of its time, so two of them use two CPUs.
    """
    waiting, stop = deque(tasks), Stop()
    running: dict[Future[Any], Task[Any]] = {}
    with ThreadPoolExecutor(most) as pool:
        try:
            while waiting or running:
                while waiting and (not running or (len(running) < most and room())):
                    task = waiting.popleft()
                    sharing = most if (running or waiting) and room() else 1
                    running[pool.submit(task.ask, stop, sharing)] = task
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    running.pop(future).done(future.result())
        except BaseException:
            stop.end()  # stopped: the end of a run does not wait for an export
            raise
