"""A live cell: its worker process, from start to close, and its answers."""

from __future__ import annotations

from pathlib import Path

from depthport.bench.plan.cells import CellSpec
from depthport.bench.plan.protocol import Protocol
from depthport.bench.results.model import Status
from depthport.bench.results.records import Calibration, Failed, SessionReport
from depthport.bench.workers.channel import Channel, RequestFailed, WorkerGone, WorkerTimeout
from depthport.bench.workers.messages import (
    BlockSamples,
    Calibrate,
    FirstCall,
    FixedRateResult,
    Infer,
    Load,
    R,
    Report,
    Request,
    RunBlock,
    RunFixedRate,
    RunSustained,
    SustainedResult,
)
from depthport.bench.workers.start import ASLEEP, worker_command, worker_environment
from depthport.exporters.core.plugins import entry_points
from depthport.exporters.core.text import without_paths
from depthport.runtimes.registry import GROUP

_CALIBRATION_CALLS = 3
"""A call, and fetching its outputs twice: none takes longer than the first call did."""


class CellFailed(Exception):
    """A cell ended; the run goes on without it."""

    def __init__(self, status: Status, reason: str, passing: str | None = None, log: str = "") -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.passing = passing
        """Resource the machine was short of (:mod:`depthport.bench.workers.passing`); None: the fault is the cell's own."""
        self.log = log
        """The end of what the worker has printed."""

    def record(self, cell: str, *, log: bool = False) -> Failed:
        """The failure as the journal keeps it, with the `log` if it is to keep that."""
        kept = without_paths(self.log) if log and self.log else None
        return Failed(cell=cell, status=self.status, reason=self.reason, passing=self.passing, log=kept)


class LiveCell:
    """One cell's worker. Every method raises :class:`CellFailed` with the status the cell gets."""

    def __init__(self, spec: CellSpec, artifact: Path, inputs: list[Path], protocol: Protocol) -> None:
        self.spec = spec
        self._artifact = artifact
        self._inputs = inputs
        self._protocol = protocol
        self._channel: Channel | None = None
        self._call_s = 0.0
        """Longest call so far."""

    @property
    def pid(self) -> int | None:
        return self._channel.pid if self._channel else None

    @property
    def running(self) -> bool:
        """True while its process lives."""
        return self._channel is not None and self._channel.running

    def load(self) -> float:
        """Start the process and load the artifact; seconds."""
        try:
            self._channel = Channel(
                worker_command(self.spec.python, "depthport.bench.workers.worker"), worker_environment(_quiet(self.spec))
            )
        except WorkerGone as error:
            raise CellFailed(Status.LOAD_FAILED, error.reason, error.passing) from None
        inputs = tuple(str(path) for path in self._inputs)
        asked = self.spec.load_arguments()
        asked["runtime"] = self._runtime()
        photographs = self._protocol.boundary == "pipeline"
        load = Load(artifact=str(self._artifact), inputs=inputs, photographs=photographs, **asked)
        return self._ask(load, self._protocol.load_timeout_s).load_s

    def _runtime(self) -> str:
        """Return how the worker finds the adapter: another interpreter may lack our entry points, but has our package."""
        point = entry_points(GROUP).get(self.spec.runtime)
        return self.spec.runtime if self.spec.python is None or point is None else point.value

    def first_call(self) -> float:
        """The first inference, in ms; compilation happens here, so it has the loading time-out."""
        first_ms = self._ask(FirstCall(), self._protocol.load_timeout_s).first_call_ms
        self._call_s = first_ms / 1e3
        return first_ms

    def calibrate(self) -> Calibration:
        found = self._ask(Calibrate(), self._limit_s(_CALIBRATION_CALLS * self._call_s))
        self._call_s = found.call_ns / 1e9
        return found

    def block(self, request: RunBlock, expected_s: float) -> BlockSamples:
        """One timed block; `expected_s` is how long it should take by what calls took before."""
        return self._ask(request, self._limit_s(expected_s))

    def compute(self, index: int, outputs: Path) -> BlockSamples:
        """Call once on the input of that index and write its outputs to `outputs`.

        It may be the first call, which compiles, so it has the time-out of loading.
        """
        request = RunBlock(boundary="host", calls=1, samples=1, first_input=index, save_outputs=str(outputs))
        found = self._ask(request, self._protocol.load_timeout_s)
        self._call_s = max(found.host_ns or (0,)) / 1e9
        return found

    def infer(self, source: Path, outputs: Path) -> None:
        """One untimed inference on the inputs in `source`, its outputs written to `outputs`."""
        self._ask(Infer(input=str(source), save_outputs=str(outputs)), self._limit_s(self._call_s))

    def sustained(self, seconds: float, first_index: int) -> SustainedResult:
        """A stretch of a sustained run."""
        return self._ask(RunSustained(seconds=seconds, first_index=first_index), seconds + self._limit_s(self._call_s))

    def fixed_rate(self, rate_hz: float, seconds: float) -> FixedRateResult:
        """Frames at a fixed rate."""
        return self._ask(RunFixedRate(rate_hz=rate_hz, seconds=seconds), seconds + self._limit_s(self._call_s))

    def report(self, launch: int = 0) -> SessionReport:
        """Placement and memory, as the journal keeps them."""
        found = self._ask(Report(), self._limit_s(self._call_s))
        return SessionReport(
            cell=self.spec.id,
            launch=launch,
            placement=found.placement,
            host_peak_mib=found.host_peak_mib,
            device_peak_mib=found.device_peak_mib,
        )

    def _limit_s(self, expected_s: float) -> float:
        """Time after which a call counts as hanging: ten times the expected one, and the length of a machine's pause."""
        return max(self._protocol.call_timeout_s, 10 * expected_s)

    def close(self) -> None:
        if self._channel is not None:
            channel, self._channel = self._channel, None
            channel.close()

    def kill(self) -> None:
        """End the worker at once, whatever it is doing."""
        if self._channel is not None:
            channel, self._channel = self._channel, None
            channel.kill()

    def _ask(self, message: Request[R], timeout_s: float) -> R:
        channel = self._channel
        if channel is None:
            raise CellFailed(Status.RUN_FAILED, "its worker is not running")
        try:
            return channel.request(message, timeout_s)
        except WorkerTimeout as error:
            self.close()
            reason = f"{message.doing} took over {error.seconds:.0f} s"
            raise CellFailed(Status.TIMED_OUT, reason, log=channel.stderr_tail()) from None
        except WorkerGone as error:
            self.close()
            reason = f"{message.doing}: {error.reason}"
            raise CellFailed(message.failed, reason, error.passing, channel.stderr_tail()) from None
        except RequestFailed as error:
            found = error.failure
            raise CellFailed(found.status, found.reason, found.passing, channel.stderr_tail()) from None


def _quiet(spec: CellSpec) -> dict[str, str]:
    """Environment that keeps a parked worker's thread pools asleep instead of spinning, and its threads counted."""
    quiet = {**ASLEEP, "PYTHONUNBUFFERED": "1", "PYTHONHASHSEED": "0"}
    if spec.threads is not None:
        quiet["OMP_NUM_THREADS"] = str(spec.threads)
    return quiet
