"""A clock that a test moves on."""

from __future__ import annotations

from collections.abc import Callable

MS = 1_000_000


class SimulatedClock:
    """Each read takes `read_ns`; `sleep` ends `oversleep_ns` late; `work` is what a call takes."""

    def __init__(self, read_ns: int = 500, oversleep_ns: int = 0) -> None:
        self.now = 7_000_000_000
        self.read_ns = read_ns
        self.oversleep_ns = oversleep_ns
        self.slept_s = 0.0

    def __call__(self) -> int:
        self.now += self.read_ns
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.slept_s += seconds
        self.now += round(seconds * 1e9) + self.oversleep_ns

    def work(self, milliseconds: Callable[[int], float]) -> Callable[[int], None]:
        def call(index: int) -> None:
            self.now += round(milliseconds(index) * MS)

        return call
