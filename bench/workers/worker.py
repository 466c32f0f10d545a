"""The worker: one process, one loaded cell, told by the manager when to run.

Every cell lives in its own process: backends in one process crash each other (OpenMP, protobuf, MPSGraph), and a crash,
a hang or an out-of-memory must stay one row. Between blocks a worker is parked in a blocking read and uses no CPU.

One clock for all, `time.perf_counter_ns`, around the session's own `synchronize` (bench/PROTOCOL.md):

* `device` boundary: inputs bound; [run × k, synchronize] is one sample.
* `host` boundary: [bind(numpy), run, synchronize, outputs()] × k is one sample.
* `both`: one call gives both figures when it is so long that the extra synchronize after bind is under 1e-3 of it:
  host = [bind, synchronize, run, synchronize, outputs], device = the [run, synchronize] inside it.
"""

from __future__ import annotations

if __name__ == "__main__":
    from depthport.bench.workers.lifeline import die_with_manager

    die_with_manager()

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from depthport.bench.workers.arrays import check_finite, digest
from depthport.bench.workers.failure import failure
from depthport.exporters.core.errors import DepthportError, LoadError
from depthport.exporters.core.npz import read_npz, write_npz

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from depthport.runtimes.base import Session

# Fetching finished outputs is a copy. A session whose first fetch after `synchronize` costs this share of the call
# more than a second fetch was still computing: it returned before it was done.
LAZY_SHARE = 0.25
LAZY_FLOOR_NS = 2_000_000


class LazySession(DepthportError):
    """`synchronize` returned before the outputs were there."""


class Worker:
    """State of one worker: its session and its inputs."""

    def __init__(self) -> None:
        self.session: Session | None = None
        self.inputs: list[dict[str, NDArray[Any]]] = []
        self.bound: int | None = None

    def handle(self, request: dict[str, Any]) -> dict[str, Any]:
        """Carry out one request; raises what the runtime raised."""
        operation = request["op"]
        handler = getattr(self, f"op_{operation}")
        reply: dict[str, Any] = handler(request)
        return reply

    def op_hello(self, request: dict[str, Any]) -> dict[str, Any]:
        from depthport.exporters.core.provenance import package_versions

        return {"versions": package_versions(request.get("packages", ()))}

    def op_load(self, request: dict[str, Any]) -> dict[str, Any]:
        """Load the artifact; imports and device start-up are part of what a user waits for, and of `load_s`."""
        started = time.perf_counter()
        from depthport.exporters.core.artifact import load_artifact
        from depthport.runtimes.base import LoadOptions
        from depthport.runtimes.registry import get_runtime

        runtime = get_runtime(request["runtime"])
        artifact = load_artifact(request["artifact"])
        options = LoadOptions(
            mode=request["mode"],
            threads=request.get("threads"),
            memory_fraction=request.get("memory_fraction"),
            cache_dir=Path(request["cache_dir"]) if request.get("cache_dir") else None,
            extra=request.get("extra") or {},
        )
        self.session = runtime.load(artifact, request["device"], options)
        load_s = time.perf_counter() - started
        self.inputs = [read_npz(path) for path in request["inputs"]]
        return {"load_s": load_s}

    def op_first_call(self, request: dict[str, Any]) -> dict[str, Any]:
        """The first inference, numpy in and numpy out: lazy compilation and allocation land here."""
        session = self._session()
        started = time.perf_counter_ns()
        session.bind(self.inputs[0])
        session.run()
        session.synchronize()
        outputs = session.outputs()
        elapsed = time.perf_counter_ns() - started
        self.bound = 0
        check_finite(outputs)
        return {"first_call_ms": elapsed / 1e6}

    def op_calibrate(self, request: dict[str, Any]) -> dict[str, Any]:
        """Cost in ns: a call, its enqueueing, a synchronize with nothing to wait for, fetching finished outputs."""
        session = self._session()
        begin = time.perf_counter_ns()
        session.run()
        enqueue = time.perf_counter_ns() - begin
        session.synchronize()
        call = time.perf_counter_ns() - begin
        first_fetch = _elapsed(session.outputs)
        second_fetch = _elapsed(session.outputs)
        late = first_fetch - second_fetch
        if late > LAZY_FLOOR_NS and late > LAZY_SHARE * (call + late):
            raise LazySession(
                f"synchronize() returned before the outputs were there: fetching them took {first_fetch / 1e6:.1f} ms,"
                f" again {second_fetch / 1e6:.1f} ms"
            )
        sync = min(_elapsed(session.synchronize) for _ in range(5))
        return {"call_ns": call, "enqueue_ns": enqueue, "sync_ns": sync, "fetch_ns": second_fetch}

    def op_block(self, request: dict[str, Any]) -> dict[str, Any]:
        """One timed block; see the module's docstring for what a sample is."""
        session = self._session()
        measure = {"device": self._device_block, "host": self._host_block, "both": self._both_block}[request["boundary"]]
        for _ in range(request.get("settle", 0)):
            session.run()
            session.synchronize()
        block = measure(session, request)
        outputs = session.outputs()
        check_finite(outputs)
        reply = {**block, "outputs_sha256": digest(outputs), "input": self.bound}
        if request.get("save_outputs"):
            write_npz(Path(request["save_outputs"]), outputs)
        return reply

    def op_infer(self, request: dict[str, Any]) -> dict[str, Any]:
        """One untimed inference on inputs that are in no timed block; its outputs go to a file."""
        session = self._session()
        session.bind(read_npz(request["input"]))
        self.bound = None
        session.run()
        session.synchronize()
        outputs = session.outputs()
        check_finite(outputs)
        write_npz(Path(request["save_outputs"]), outputs)
        return {}

    def op_sustained(self, request: dict[str, Any]) -> dict[str, Any]:
        """Sample after sample at the host boundary for some seconds (bench/workers/regimes.py)."""
        from depthport.bench.workers.regimes import host_call, run_sustained

        call = host_call(self._session(), self.inputs)
        result = run_sustained(call, request["seconds"], first_index=request["first_index"])
        check_finite(self._session().outputs())
        return {"result": result.to_json()}

    def op_fixed_rate(self, request: dict[str, Any]) -> dict[str, Any]:
        """A frame every 1 / rate_hz seconds at the host boundary (bench/workers/regimes.py)."""
        from depthport.bench.workers.regimes import host_call, run_fixed_rate

        result = run_fixed_rate(host_call(self._session(), self.inputs), request["rate_hz"], request["seconds"])
        check_finite(self._session().outputs())
        return {"result": result.to_json()}

    def op_report(self, request: dict[str, Any]) -> dict[str, Any]:
        """Placement and memory, asked for outside every timed block."""
        from dataclasses import asdict

        from depthport.exporters.core.provenance import peak_rss_mib

        session = self._session()
        return {
            "placement": asdict(session.placement()),
            "host_peak_mib": peak_rss_mib(),
            "device_peak_mib": session.memory().device_peak_mib,
        }

    def op_close(self, request: dict[str, Any]) -> dict[str, Any]:
        if self.session is not None:
            self.session.close()
            self.session = None
        return {}

    def _session(self) -> Session:
        if self.session is None:
            raise LoadError("nothing is loaded")
        return self.session

    def _input(self, index: int) -> dict[str, NDArray[Any]]:
        return self.inputs[index % len(self.inputs)]

    def _bind(self, session: Session, index: int) -> None:
        session.bind(self._input(index))
        self.bound = index % len(self.inputs)

    def _device_block(self, session: Session, request: dict[str, Any]) -> dict[str, Any]:
        calls, delay = request["calls"], request.get("delay_ns", 0)
        clock = time.perf_counter_ns
        samples: list[int] = []
        starts: list[int] = []
        for index in _inputs_of(request):
            self._bind(session, index)
            session.synchronize()
            begin = clock()
            for _ in range(calls):
                session.run()
                if delay:
                    session.synchronize()
                    _spin(delay)
            session.synchronize()
            samples.append(clock() - begin)
            starts.append(begin)
        return {"device_ns": samples, "starts_ns": starts}

    def _host_block(self, session: Session, request: dict[str, Any]) -> dict[str, Any]:
        calls, delay = request["calls"], request.get("delay_ns", 0)
        clock = time.perf_counter_ns
        samples: list[int] = []
        starts: list[int] = []
        for index in _inputs_of(request):
            arrays = self._input(index)
            begin = clock()
            for _ in range(calls):
                session.bind(arrays)
                session.run()
                session.synchronize()
                if delay:
                    _spin(delay)
                session.outputs()
            samples.append(clock() - begin)
            starts.append(begin)
            self.bound = index % len(self.inputs)
        return {"host_ns": samples, "starts_ns": starts}

    def _both_block(self, session: Session, request: dict[str, Any]) -> dict[str, Any]:
        delay = request.get("delay_ns", 0)
        clock = time.perf_counter_ns
        device: list[int] = []
        host: list[int] = []
        starts: list[int] = []
        for index in _inputs_of(request):
            arrays = self._input(index)
            begin = clock()
            session.bind(arrays)
            session.synchronize()
            run = clock()
            session.run()
            session.synchronize()
            if delay:
                _spin(delay)
            done = clock()
            session.outputs()
            end = clock()
            device.append(done - run)
            host.append(end - begin)
            starts.append(begin)
            self.bound = index % len(self.inputs)
        return {"device_ns": device, "host_ns": host, "starts_ns": starts}


def _inputs_of(request: dict[str, Any]) -> range:
    first = request.get("first_input", 0)
    return range(first, first + request["samples"])


def _elapsed(call: Any) -> int:
    begin = time.perf_counter_ns()
    call()
    return time.perf_counter_ns() - begin


def _spin(nanoseconds: int) -> None:
    """Busy-wait: a sleep would let the core clock down and change what follows."""
    end = time.perf_counter_ns() + nanoseconds
    while time.perf_counter_ns() < end:
        pass


def main() -> None:
    """Serve requests until the manager closes the pipe."""
    import traceback

    from depthport.bench.workers.channel import WorkerEnd

    channel = WorkerEnd()
    worker = Worker()
    for request in channel.requests():
        try:
            reply = worker.handle(request)
        except Exception as error:  # noqa: BLE001 - the boundary: whatever a backend raises becomes a row's reason
            traceback.print_exc()
            reply = failure(error, request.get("op", ""))
        channel.send(reply)
    worker.op_close({})


if __name__ == "__main__":
    main()
