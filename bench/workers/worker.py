"""The worker: one process with one loaded cell, which runs when the manager says so.

Every cell lives in its own process: backends in one process crash each other (OpenMP, protobuf, MPSGraph), and a crash,
a hang or an out-of-memory must stay one row. Between blocks a worker is parked in a blocking read and uses no CPU.

One clock for all, the session's, around its own `synchronize` (bench/PROTOCOL.md): `time.perf_counter_ns`, less what no
deployment pays, where the model lives in another program (:meth:`depthport.runtimes.base.Session.clock`).

* `device` boundary: inputs bound; [run × k, synchronize] is one sample.
* `host` boundary: [bind(numpy), run, synchronize, outputs()] × k is one sample.
* `both`: one call gives both figures when it is so long that the extra synchronize after bind is under 1e-3 of it:
  host = [bind, synchronize, run, synchronize, outputs], device = the [run, synchronize] inside it.
* `pipeline`: [files of a scene to its arrays] is one sample, whatever the cell's own pipeline is; of one more call the
  parts are timed, apart.
* `stream`: scene after scene; one sample is the time from the first file to the last array, by the number of scenes.
"""

from __future__ import annotations

if __name__ == "__main__":
    from depthport.bench.workers.lifeline import die_with_manager

    die_with_manager()

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from depthport.bench.inputs.encoded import files_of
from depthport.bench.results.records import Calibration
from depthport.bench.workers.arrays import check_finite, digest
from depthport.bench.workers.blocks import time_block
from depthport.bench.workers.from_files import time_from_files
from depthport.bench.workers.messages import (
    BlockSamples,
    Calibrate,
    CellRequest,
    Done,
    FirstCall,
    FirstCalled,
    FixedRateResult,
    Hello,
    Infer,
    Load,
    Loaded,
    Peaks,
    Rebuild,
    Rebuilt,
    Report,
    RunBlock,
    RunFixedRate,
    RunSustained,
    SustainedResult,
    Versions,
)
from depthport.bench.workers.regimes import files_call, host_call, run_fixed_rate, run_sustained
from depthport.bench.workers.serve import serve
from depthport.bench.workers.waiting import calm_share, waiting
from depthport.exporters.api import rebuild
from depthport.exporters.core.artifact import load_artifact
from depthport.exporters.core.errors import DepthportError, LoadError
from depthport.exporters.core.files.npz import read_npz, write_npz
from depthport.exporters.core.provenance import package_versions, peak_rss_mib
from depthport.predict.boundary import pipeline_of, prepared, recipe_of
from depthport.runtimes.base import LoadOptions
from depthport.runtimes.registry import get_runtime

if TYPE_CHECKING:
    import numpy as np

    from depthport.runtimes.base import Session
    from depthport.runtimes.session import FilesPipeline

# Fetching finished outputs is a copy. A session whose first fetch after `synchronize` costs this share of the call
# more than a second fetch was still computing: it returned before it was done.
LAZY_SHARE = 0.25
LAZY_FLOOR_NS = 2_000_000
LAZY_TRIES = 3
"""A fetch may also be slow once because the system is; a lazy session's is slow every time."""


class LazySession(DepthportError):
    """`synchronize` returned before the outputs were there."""


def rebuilt(request: Rebuild, progress: Callable[[str], None]) -> Rebuilt:
    """Ask the runtime whether it can use an artifact, and the exporter for another if not."""
    artifact = load_artifact(request.artifact)
    found = get_runtime(request.runtime).mismatch(artifact, request.device)
    if found is None:
        return Rebuilt(request.artifact)
    stored = rebuild(artifact, found.reason, found.here, progress)
    return Rebuilt(str(stored.artifact.path), found.reason)


class Worker:
    """State of one worker: its session and its inputs."""

    def __init__(self) -> None:
        self.session: Session | None = None
        self.inputs: list[dict[str, np.ndarray]] = []
        self.scenes: list[list[bytes]] = []
        """The files of each input, where a run begins with files."""
        self.pipeline: FilesPipeline | None = None

    def handle(self, request: CellRequest, progress: Callable[[str], None]) -> object:
        """Carry out one request; raises what the runtime raised."""
        match request:
            case Hello():
                return Versions(package_versions(request.packages))
            case Rebuild():
                return rebuilt(request, progress)
            case Load():
                return self.load(request)
            case FirstCall():
                return self.first_call()
            case Calibrate():
                return self.calibrate()
            case RunBlock():
                return self.block(request)
            case Infer():
                return self.infer(request)
            case RunSustained():
                return self.sustained(request)
            case RunFixedRate():
                return self.fixed_rate(request)
            case Report():
                return self.report()

    def load(self, request: Load) -> Loaded:
        """Load the artifact; imports and device start-up are part of what a user waits for, and of `load_s`."""
        started = time.perf_counter()

        runtime = get_runtime(request.runtime)
        artifact = load_artifact(request.artifact)
        options = LoadOptions(
            mode=request.mode,
            threads=request.threads,
            memory_fraction=request.memory_fraction,
            cache_dir=Path(request.cache_dir) if request.cache_dir else None,
            extra=request.extra,
        )
        self.session = runtime.load(artifact, request.device, options)
        load_s = time.perf_counter() - started
        self.inputs = [read_npz(path) for path in request.inputs]
        if request.photographs:
            self._take_photographs()
        return Loaded(load_s)

    def _take_photographs(self) -> None:
        """The inputs are files: what the session itself takes is made of them, for the calls that begin with arrays."""
        session = self._session()
        self.scenes = [files_of(arrays) for arrays in self.inputs]
        self.pipeline = pipeline_of(session)
        recipe = recipe_of(session)
        self.inputs = [{"image": prepared(files, recipe).image} for files in self.scenes]

    def first_call(self) -> FirstCalled:
        """The first inference, numpy in and numpy out: lazy compilation and allocation land here."""
        session = self._session()
        started = session.clock()
        session.bind(self.inputs[0])
        session.run()
        session.synchronize()
        outputs = session.outputs()
        elapsed = session.clock() - started
        check_finite(outputs)
        return FirstCalled(elapsed / 1e6)

    def calibrate(self) -> Calibration:
        """Cost in ns: a call, its enqueueing, a synchronize with nothing to wait for, fetching finished outputs.

        Raises:
            LazySession: fetching waits for work that `synchronize()` should have waited for, every time it is tried: a
                fetch alone may take long once, where the system is busy or memory is touched for the first time.
        """
        session = self._session()
        clock = session.clock
        for _ in range(LAZY_TRIES):
            begin = clock()
            session.run()
            enqueue = clock() - begin
            session.synchronize()
            call = clock() - begin
            first_fetch = _elapsed(session.outputs, clock)
            second_fetch = _elapsed(session.outputs, clock)
            late = first_fetch - second_fetch
            if late <= LAZY_FLOOR_NS or late <= LAZY_SHARE * (call + late):
                break
        else:
            raise LazySession(
                f"synchronize() returned before the outputs were ready: fetching them took {first_fetch / 1e6:.1f} ms,"
                f" again {second_fetch / 1e6:.1f} ms"
            )
        sync = min(_elapsed(session.synchronize, clock) for _ in range(5))
        return Calibration(call_ns=call, enqueue_ns=enqueue, sync_ns=sync, fetch_ns=second_fetch)

    def block(self, request: RunBlock) -> BlockSamples:
        """One timed block; see the module's docstring for what a sample is."""
        session = self._session()
        if self.pipeline is not None and request.boundary in ("pipeline", "stream"):
            return self._block_from_files(self.pipeline, request)
        for _ in range(request.warmups):
            session.run()
            session.synchronize()
        before = waiting()
        samples = time_block(session, self.inputs, request)
        calm = calm_share(before, waiting())
        outputs = session.outputs()
        check_finite(outputs)
        if request.save_outputs:
            write_npz(Path(request.save_outputs), outputs)
        last = request.input_indices[-1] % len(self.inputs)
        device_ns, host_ns = samples.device_ns, samples.host_ns
        return BlockSamples(samples.starts_ns, digest(outputs), last, device_ns, host_ns, **calm._asdict())

    def _block_from_files(self, pipeline: FilesPipeline, request: RunBlock) -> BlockSamples:
        before = waiting()
        samples, outputs = time_from_files(pipeline, self.scenes, request)
        calm = calm_share(before, waiting())
        check_finite(outputs)
        if request.save_outputs:
            write_npz(Path(request.save_outputs), outputs)
        last = request.input_indices[-1] % len(self.scenes)
        stages = pipeline.stages_ns(self.scenes[last]) if request.boundary == "pipeline" else None
        return BlockSamples(
            samples.starts_ns,
            digest(outputs),
            last,
            pipeline_ns=samples.pipeline_ns,
            stream_ns=samples.stream_ns,
            stages_ns=stages,
            **calm._asdict(),
        )

    def infer(self, request: Infer) -> Done:
        """One untimed inference on inputs that are in no timed block; its outputs go to a file."""
        session = self._session()
        session.bind(read_npz(request.input))
        session.run()
        session.synchronize()
        outputs = session.outputs()
        check_finite(outputs)
        write_npz(Path(request.save_outputs), outputs)
        return Done()

    def sustained(self, request: RunSustained) -> SustainedResult:
        """Sample after sample at the host boundary for some seconds (bench/workers/regimes.py)."""
        call = self._call()
        result = run_sustained(call, request.seconds, first_index=request.first_index)
        check_finite(self._session().outputs())
        return result

    def fixed_rate(self, request: RunFixedRate) -> FixedRateResult:
        """A frame every 1 / rate_hz seconds at the host boundary (bench/workers/regimes.py)."""
        result = run_fixed_rate(self._call(), request.rate_hz, request.seconds)
        check_finite(self._session().outputs())
        return result

    def _call(self) -> Callable[[int], object]:
        """A sample of the regimes: from files to arrays where a run begins with files, else numpy in and numpy out."""
        if self.pipeline is not None:
            return files_call(self.pipeline, self.scenes)
        return host_call(self._session(), self.inputs)

    def report(self) -> Peaks:
        """Placement and memory, asked for outside every timed block."""
        session = self._session()
        # Before the placement is asked for: its proof may run something more.
        own, memory = peak_rss_mib(), session.memory()
        host = own if own is None else own + (memory.elsewhere_peak_mib or 0.0)
        return Peaks(session.placement(), host, memory.device_peak_mib)

    def close(self) -> None:
        if self.session is not None:
            self.session.close()
            self.session = None

    def _session(self) -> Session:
        if self.session is None:
            raise LoadError("nothing is loaded")
        return self.session


def _elapsed(call: Callable[[], object], clock: Callable[[], int]) -> int:
    begin = clock()
    call()
    return clock() - begin


def main() -> None:
    """Serve requests until the manager closes the pipe."""
    worker = Worker()
    serve(CellRequest, worker.handle)
    worker.close()


if __name__ == "__main__":
    main()
