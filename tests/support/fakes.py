"""Runtimes that misbehave in every known way, for testing what runs them. No framework, milliseconds.

Each is found by its path, `tests.support.fakes:Crasher`, so a worker process can load it without an installed entry
point. They run artifacts of format `fake` (:func:`fake_artifact`). `LoadOptions.extra` of every fake: `call_ms` (time
of one inference, default 1) and `delay` (relative slow-down, 0.05 is 5 %).
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from depthport.exporters.core.artifact import Artifact
from depthport.runtimes.base import Arrays, Device, LoadOptions
from depthport.runtimes.terms import Mismatch
from tests.support.fake_runtime import Fake, FakeSession


class _CrashingSession(FakeSession):
    """Dies at `when` (`load` or `run`, the default) by `how`: `segv` (default) or `exit`, status 3."""

    def __init__(self, artifact: Artifact, device: str, options: LoadOptions) -> None:
        super().__init__(artifact, device, options)
        if self.extra.get("when") == "load":
            self.die()

    def die(self) -> None:
        if self.extra.get("how") == "exit":
            os._exit(3)
        os.kill(os.getpid(), signal.SIGSEGV)

    def work(self) -> None:
        self.die()


class Crasher(Fake):
    """Takes its process down."""

    session = _CrashingSession


class Bound(Fake):
    """Its artifacts were all built for another machine."""

    bound = True

    def mismatch(self, artifact: Artifact, device: str) -> Mismatch:
        return Mismatch("it was built for another machine", "this one")


class _RaisingSession(FakeSession):
    def work(self) -> None:
        raise RuntimeError("the kernel refused\nand then said a lot more")


class Raiser(Fake):
    """Raises an error of no type of ours, on several lines, as frameworks do."""

    session = _RaisingSession


class _HangingSession(FakeSession):
    """Never returns from `when`: `load` or `run` (default)."""

    def __init__(self, artifact: Artifact, device: str, options: LoadOptions) -> None:
        super().__init__(artifact, device, options)
        if self.extra.get("when") == "load":
            self.hang()

    def hang(self) -> None:
        while True:
            time.sleep(3600)

    def work(self) -> None:
        self.hang()


class Hanger(Fake):
    """Never comes back."""

    session = _HangingSession


class _GreedySession(FakeSession):
    def work(self) -> None:
        raise MemoryError("tried to allocate 640 GiB")


class OutOfMemory(Fake):
    """Runs out of memory, and says so."""

    session = _GreedySession


class _LazySession(FakeSession):
    """`run` and `synchronize` do nothing; the first `outputs` after a `run` does the work."""

    pending = False

    def _run(self) -> None:
        self.pending = True

    def _outputs(self) -> Arrays:
        if self.pending:
            self.work()
            self.pending = False
        return super()._outputs()


class Lazy(Fake):
    """Returns before it is done: the error that makes a benchmark of an asynchronous device meaningless."""

    session = _LazySession


class _NanSession(FakeSession):
    def work(self) -> None:
        super().work()
        self.results["depth"][..., 0, 0] = np.nan


class NotANumber(Fake):
    """One NaN in `depth`."""

    session = _NanSession


class _SlowLoadingSession(FakeSession):
    """Loads for `load_s` seconds (default 1)."""

    def __init__(self, artifact: Artifact, device: str, options: LoadOptions) -> None:
        super().__init__(artifact, device, options)
        time.sleep(self.extra.get("load_s", 1.0))


class SlowLoader(Fake):
    """Takes its time to load."""

    session = _SlowLoadingSession


class _WrongShapeSession(FakeSession):
    def work(self) -> None:
        super().work()
        self.results["depth"] = self.results["depth"][..., :-1]


class WrongShape(Fake):
    """`depth` one column short."""

    session = _WrongShapeSession


class _InaccurateSession(FakeSession):
    def work(self) -> None:
        super().work()
        self.results["depth"] *= np.float32(1.5)


class Inaccurate(Fake):
    """Fast and wrong: every depth 50 % too far."""

    session = _InaccurateSession


class _DriftingSession(FakeSession):
    calls = 0

    def work(self) -> None:
        self.calls += 1
        self.extra["delay"] = 0.01 * self.calls
        super().work()


class Drifting(Fake):
    """Each call 1 % of `call_ms` slower than the one before."""

    session = _DriftingSession


class _ForgetfulSession(FakeSession):
    def _bind(self, inputs: Mapping[str, NDArray[Any]]) -> None:
        if not self.image.size:
            super()._bind(inputs)


class Forgetful(Fake):
    """Keeps the first inputs it was ever given."""

    session = _ForgetfulSession


class _AliasingSession(FakeSession):
    def work(self) -> None:
        kept = self.results
        super().work()
        for name, array in kept.items():
            array[...] = self.results[name]
        self.results = kept or self.results

    def _outputs(self) -> Arrays:
        return self.results


class Aliasing(Fake):
    """Hands out its own buffers, which the next run overwrites."""

    session = _AliasingSession


class _LeakySession(FakeSession):
    kept: ClassVar[list[NDArray[Any]]] = []

    def __init__(self, artifact: Artifact, device: str, options: LoadOptions) -> None:
        super().__init__(artifact, device, options)
        self.kept.append(np.ones(12 << 20, dtype=np.float32))


class Leaky(Fake):
    """Leaves 48 MiB behind at every load."""

    session = _LeakySession


class Absent(Fake):
    """A runtime whose package is not installed."""

    def probe(self) -> list[Device]:
        cpu, ghost = super().probe()
        return [replace(cpu, modes=(), unavailable="fake is not installed", remedy="pip install fake"), ghost]
