"""`python -m depthport.bench.studies.overhead`: what the harness itself costs per timed call, against a bare loop.

One process, one fake session whose call spins for a known time. Blocks of a bare loop over the session's
inner methods alternate with a loop over its public methods and with the worker's own code:

* **figure**: recorded latency minus bare latency, so the error of what is reported. Part of it are the
  **checks**: the session's own, of names, shapes and dtypes, which every user of a session pays.
* **around**: wall time of the whole request (binding, checks, digest of the outputs) minus bare, per call;
  time that the run spends and no figure holds.

The bound is on the first: 20 µs or 0.1 % of a call, whichever is larger. Calls are single here; real runs
group short ones at the device boundary, which divides the error. Telemetry is timed apart, per visit. Exits
with 1 unless every row's interval is within the bound.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np

from depthport.bench.environment.telemetry import Telemetry
from depthport.bench.results.model import BlockBoundary
from depthport.bench.workers.messages import RunBlock
from depthport.bench.workers.worker import Worker
from depthport.exporters.core.artifact import Artifact, Manifest, Shape, TensorSpec, WeightsInfo
from depthport.runtimes.base import Arrays, LoadOptions, Session

BOUNDARIES: tuple[BlockBoundary, ...] = ("device", "host", "both")
WORK_US = (0, 100, 1_000, 10_000)
ROUNDS = 100
RESAMPLES = 1000
BLOCK_US = 1000
MIN_CALLS = 5
MAX_CALLS = 50
"""Most samples of a real block."""
LIMIT_US = 20.0
LIMIT_SHARE = 1e-3

WITHIN, OVER, UNKNOWN = "within the bound", "over the bound", "too noisy to tell"
_WIDTHS = (11, 9, 20, 9, 9, 7, 19)

T = TypeVar("T")
Steps = tuple[Callable[..., object], ...]
"""bind, run, synchronize, outputs"""

_IMAGE = (1, 2, 3, 70, 98)
_OUTPUTS = {"depth": (1, 2, 70, 98), "depth_conf": (1, 2, 70, 98), "extrinsics": (1, 2, 3, 4), "intrinsics": (1, 2, 3, 3)}


class SpinningSession(Session):
    """Two views of 70×98 in, four outputs out; `run` spins for `work_ns`, nothing else takes time."""

    def __init__(self, work_ns: int) -> None:
        self._results = {name: np.ones(shape, np.float32) for name, shape in _OUTPUTS.items()}
        manifest = Manifest(
            key="",
            model="da3-small",
            weights=WeightsInfo("synthetic:0", "", True, ""),
            format="fake",
            precision={"name": "fp32"},
            shape=Shape(1, 2, 70, 98),
            inputs=(TensorSpec("image", _IMAGE, "float32"),),
            outputs=tuple(TensorSpec(name, shape, "float32") for name, shape in _OUTPUTS.items()),
            options={},
            versions={},
        )
        super().__init__(Artifact(Path(), manifest), "cpu", LoadOptions())
        self._work_ns = work_ns

    def _bind(self, inputs: Mapping[str, np.ndarray]) -> None:
        pass

    def _run(self) -> None:
        if self._work_ns:
            end = time.perf_counter_ns() + self._work_ns
            while time.perf_counter_ns() < end:
                pass

    def _synchronize(self) -> None:
        pass

    def _outputs(self) -> Arrays:
        return self._results

    def _close(self) -> None:
        pass


@dataclass(frozen=True)
class Overhead:
    """Cost in µs per call at one boundary with calls of one length."""

    boundary: str
    bare_us: float
    figure_us: float
    figure_ci95_us: tuple[float, float]
    """Interval by bootstrap over blocks."""
    checks_us: float
    around_us: float

    @property
    def limit_us(self) -> float:
        return max(LIMIT_US, LIMIT_SHARE * self.bare_us)

    @property
    def verdict(self) -> str:
        """Verdict by the whole interval: a machine that is too noisy shows neither."""
        low, high = self.figure_ci95_us
        if high <= self.limit_us:
            return WITHIN
        return OVER if low > self.limit_us else UNKNOWN


def measure(boundary: BlockBoundary, work_us: int, rounds: int = ROUNDS) -> Overhead:
    """Blocks of both loops and of the worker in mirrored order; differences of the medians of their calls."""
    session = SpinningSession(work_us * 1000)
    worker = Worker()
    worker.session = session
    worker.inputs = [{"image": np.zeros(_IMAGE, np.float32)} for _ in range(4)]
    calls = max(MIN_CALLS, min(MAX_CALLS, round(BLOCK_US / max(work_us, 1))))
    request = RunBlock(boundary=boundary, calls=1, samples=calls)
    loop = _device_loop if boundary == "device" else _host_loop
    walls: list[float] = []

    def block() -> np.ndarray:
        found, wall = _timed(lambda: worker.block(request))
        walls.append(wall / calls)
        return np.array(found.device_ns if boundary == "device" else found.host_ns)

    image = worker.inputs[0]
    inner = (session._bind, session._run, session._synchronize, session._outputs)
    public = (session.bind, session.run, session.synchronize, session.outputs)
    loops: dict[str, Callable[[], np.ndarray]] = {
        "bare": partial(loop, inner, image, calls),
        "session": partial(loop, public, image, calls),
        "worker": block,
    }
    session.bind(image)
    found: dict[str, list[np.ndarray]] = {name: [] for name in loops}
    for turn in range(rounds):
        for name in loops if turn % 2 else reversed(loops):
            found[name].append(loops[name]())
    us = {name: np.array(blocks) / 1e3 for name, blocks in found.items()}
    bare_us = float(np.median(us["bare"]))
    chosen = np.random.default_rng(0).integers(rounds, size=(RESAMPLES, rounds))
    draws = [float(np.median(us["worker"][i]) - np.median(us["bare"][i])) for i in chosen]
    low, high = np.quantile(draws, (0.025, 0.975))
    return Overhead(
        boundary=boundary,
        bare_us=bare_us,
        figure_us=float(np.median(us["worker"])) - bare_us,
        figure_ci95_us=(float(low), float(high)),
        checks_us=float(np.median(us["session"])) - bare_us,
        around_us=statistics.median(walls) / 1e3 - bare_us,
    )


def telemetry_ms(visits: int = 200, parked: int = 7) -> dict[str, tuple[float, float]]:
    """Median and 95th percentile of `Telemetry.before` and `after`, in ms, with so many parked processes."""
    walls: dict[str, list[float]] = {"before": [], "after": []}
    telemetry = Telemetry()
    with ExitStack() as stack:
        pids = [stack.enter_context(_parked_process()) for _ in range(parked + 1)]
        for _ in range(visits):
            token, wall = _timed(lambda: telemetry.before(pids[1:]))
            walls["before"].append(wall / 1e6)
            time.sleep(0.001)
            _, wall = _timed(partial(telemetry.after, token, pids[0]))
            walls["after"].append(wall / 1e6)
    telemetry.close()
    return {name: (statistics.median(w), float(np.quantile(w, 0.95))) for name, w in walls.items()}


def report(rounds: int = ROUNDS) -> Iterator[str]:
    """The table, line by line, in µs; the last line is the verdict."""
    columns = ("bare call", "figure", "95 % interval", "checks", "around", "limit", "")
    yield "boundary" + "".join(f"{name:>{width}}" for name, width in zip(columns, _WIDTHS, strict=True))
    verdicts: set[str] = set()
    for boundary in BOUNDARIES:
        for work_us in WORK_US:
            found = measure(boundary, work_us, rounds)
            verdicts.add(found.verdict)
            figures = (
                f"{found.bare_us:.1f}",
                f"{found.figure_us:.2f}",
                "{:.2f} to {:.2f}".format(*found.figure_ci95_us),
                f"{found.checks_us:.2f}",
                f"{found.around_us:.1f}",
                f"{found.limit_us:.0f}",
                found.verdict,
            )
            yield f"{boundary:8}" + "".join(f"{f:>{w}}" for f, w in zip(figures, _WIDTHS, strict=True))
    for name, (median, p95) in telemetry_ms().items():
        yield f"telemetry {name} a visit: median {median:.2f} ms, p95 {p95:.2f} ms"
    yield f"overhead: {next(v for v in (OVER, UNKNOWN, WITHIN) if v in verdicts)}"


def main() -> int:
    """Print the overhead; exit code 1 where it is over its bound."""
    parser = argparse.ArgumentParser(prog="python -m depthport.bench.studies.overhead", description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="pairs of blocks a row (at least 20)")
    arguments = parser.parse_args()
    if arguments.rounds < 20:
        parser.error("--rounds: give at least 20")
    line = ""
    for line in report(arguments.rounds):
        print(line, flush=True)
    return 0 if line.endswith(WITHIN) else 1


@contextmanager
def _parked_process() -> Iterator[int]:
    """A process that waits on its stdin as a parked worker does; its pid."""
    command = [sys.executable, "-c", "import sys; print(flush=True); sys.stdin.read()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process.pid


def _device_loop(steps: Steps, _inputs: object, calls: int) -> np.ndarray:
    """Ns of each call of the least code that does the same; it holds one clock read a call, about 0.1 µs."""
    _, run, synchronize, _ = steps
    clock = time.perf_counter_ns
    stamps = [clock()]
    for _ in range(calls):
        run()
        synchronize()
        stamps.append(clock())
    return np.diff(stamps)


def _host_loop(steps: Steps, inputs: object, calls: int) -> np.ndarray:
    """The same at the host boundary."""
    bind, run, synchronize, outputs = steps
    clock = time.perf_counter_ns
    stamps = [clock()]
    for _ in range(calls):
        bind(inputs)
        run()
        synchronize()
        outputs()
        stamps.append(clock())
    return np.diff(stamps)


def _timed(call: Callable[[], T]) -> tuple[T, int]:
    begin = time.perf_counter_ns()
    value = call()
    return value, time.perf_counter_ns() - begin


if __name__ == "__main__":
    sys.exit(main())
