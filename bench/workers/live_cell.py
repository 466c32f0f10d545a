"""A live cell: its worker process, from start to close, and what it answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from depthport.bench.plan.cells import CellSpec
from depthport.bench.plan.protocol import Protocol
from depthport.bench.results.model import Status
from depthport.bench.workers.channel import Channel, WorkerGone, WorkerTimeout
from depthport.bench.workers.start import worker_command, worker_environment
from depthport.exporters.core.plugins import entry_points
from depthport.runtimes.registry import GROUP

_CALIBRATION_CALLS = 3
"""A call, and fetching its outputs twice: none takes longer than the first call did."""


class CellFailed(Exception):
    """A cell ended; the run goes on without it."""

    def __init__(self, status: Status, reason: str, during: str, passing: str | None = None) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.during = during
        self.passing = passing
        """What the machine was short of (:mod:`depthport.bench.workers.passing`); None: the fault is the cell's own."""

    def entry(self, cell: str) -> dict[str, Any]:
        """The failure as the journal keeps it."""
        return {"cell": cell, "status": self.status.value, "reason": self.reason, "passing": self.passing}


@dataclass(frozen=True)
class Calibration:
    """Costs in ns that decide how calls are grouped."""

    call_ns: int
    enqueue_ns: int
    """Until `run` returned; as long as the call where the runtime is synchronous."""
    sync_ns: int
    fetch_ns: int


class LiveCell:
    """One cell's worker. Every method raises :class:`CellFailed` with the status the cell gets."""

    def __init__(self, spec: CellSpec, artifact: Path, inputs: list[Path], protocol: Protocol) -> None:
        self.spec = spec
        self._artifact = artifact
        self._inputs = inputs
        self._protocol = protocol
        self._channel: Channel | None = None
        self.load_s: float | None = None
        self.first_call_ms: float | None = None
        self._call_s = 0.0

    @property
    def pid(self) -> int | None:
        return self._channel.pid if self._channel else None

    def load(self) -> None:
        """Start the process and load the artifact."""
        try:
            self._channel = Channel(
                worker_command(self.spec.python, "depthport.bench.workers.worker"), worker_environment(_quiet(self.spec))
            )
        except WorkerGone as error:
            raise CellFailed(Status.LOAD_FAILED, error.reason, "load", error.passing) from None
        reply = self._ask(
            {
                "op": "load",
                "artifact": str(self._artifact),
                "inputs": [str(p) for p in self._inputs],
                **self.spec.load_arguments(),
                "runtime": self._runtime(),
            },
            self._protocol.load_timeout_s,
        )
        self.load_s = reply["load_s"]

    def _runtime(self) -> str:
        """How the worker finds the adapter: another interpreter may have no entry point of ours, but it has our package."""
        point = entry_points(GROUP).get(self.spec.runtime)
        return self.spec.runtime if self.spec.python is None or point is None else point.value

    def first_call(self) -> float:
        """The first inference, in ms; compilation happens here, so it has the loading time-out."""
        reply = self._ask({"op": "first_call"}, self._protocol.load_timeout_s)
        self.first_call_ms = reply["first_call_ms"]
        return float(reply["first_call_ms"])

    def calibrate(self) -> Calibration:
        reply = self._ask({"op": "calibrate"}, self._limit_s(_CALIBRATION_CALLS * (self.first_call_ms or 0.0) / 1e3))
        self._call_s = reply["call_ns"] / 1e9
        return Calibration(reply["call_ns"], reply["enqueue_ns"], reply["sync_ns"], reply["fetch_ns"])

    def block(self, request: Mapping[str, Any], expected_s: float) -> dict[str, Any]:
        """One timed block; `expected_s` is how long it should take by what calls took before."""
        return self._ask({"op": "block", **request}, self._limit_s(expected_s))

    def infer(self, source: Path, outputs: Path) -> None:
        """One untimed inference on the inputs in `source`, its outputs written to `outputs`."""
        self._ask({"op": "infer", "input": str(source), "save_outputs": str(outputs)}, self._limit_s(self._call_s))

    def regime(self, request: Mapping[str, Any], expected_s: float) -> dict[str, Any]:
        """A sustained or fixed-rate stretch of `expected_s`."""
        return self._ask(request, expected_s + self._limit_s(self._call_s))

    def report(self) -> dict[str, Any]:
        return self._ask({"op": "report"}, self._limit_s(self._call_s))

    def _limit_s(self, expected_s: float) -> float:
        """After how long it hangs: ten times what was expected, and what a pause of the machine may take."""
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

    def _ask(self, message: Mapping[str, Any], timeout_s: float) -> dict[str, Any]:
        operation = str(message["op"])
        if self._channel is None:
            raise CellFailed(Status.RUN_FAILED, "its worker is not running", operation)
        try:
            reply = self._channel.request(message, timeout_s)
        except WorkerTimeout as error:
            self.close()
            raise CellFailed(
                Status.TIMED_OUT, f"{_VERB.get(operation, operation)} took over {error.seconds:.0f} s", operation
            ) from None
        except WorkerGone as error:
            self.close()
            status = Status.LOAD_FAILED if operation == "load" else Status.RUN_FAILED
            reason = f"{_VERB.get(operation, operation)}: {error.reason}"
            raise CellFailed(status, reason, operation, error.passing) from None
        if "error" in reply:
            raise CellFailed(Status(reply["status"]), reply["error"], operation, reply.get("passing"))
        return reply


_VERB = {
    "load": "loading",
    "first_call": "the first call",
    "block": "a timed block",
    "calibrate": "a call",
    "infer": "a call on a rendered scene",
}


def _quiet(spec: CellSpec) -> dict[str, str]:
    """Environment that keeps a parked worker's thread pools asleep instead of spinning, and its threads counted."""
    quiet = {
        "OMP_WAIT_POLICY": "PASSIVE",
        "KMP_BLOCKTIME": "0",
        "GOMP_SPINCOUNT": "0",
        "PYTHONUNBUFFERED": "1",
        "PYTHONHASHSEED": "0",
    }
    if spec.threads is not None:
        quiet["OMP_NUM_THREADS"] = str(spec.threads)
    return quiet
