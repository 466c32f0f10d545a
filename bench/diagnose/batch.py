"""`depthport max-batch`: the largest batch that fits a share of the device's memory, and what each batch size gives.

A batch is B scenes of N views in one call. Every size that is tried is exported (programs are static), loaded in a
process of its own, so that one that does not fit costs nothing but its trial, and called a few times.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from depthport.bench.diagnose.batching import largest_batch
from depthport.bench.diagnose.configuration import configure
from depthport.bench.environment.environment import usable_memory_mib
from depthport.bench.inputs.inputs import load_scenes
from depthport.bench.measure.observer import Observer
from depthport.bench.measure.pool import is_memory_failure
from depthport.bench.plan.cells import CellSpec
from depthport.bench.plan.protocol import get_protocol
from depthport.bench.workers.live_cell import CellFailed, LiveCell
from depthport.exporters.api import export_request
from depthport.exporters.core.asked import MOST, THREADS
from depthport.exporters.core.errors import RunError, UsageError
from depthport.exporters.core.files.npz import write_npz
from depthport.exporters.core.inspection import Table
from depthport.exporters.core.nvidia import cuda_devices
from depthport.exporters.core.store import ArtifactStore
from depthport.exporters.da3.registry import get_model
from depthport.exporters.da3.shapes import validate_shape
from depthport.exporters.da3.weights import weights_to_measure
from depthport.runtimes.registry import baseline_runtime, get_runtime
from depthport.runtimes.terms import check_memory_fraction

DEFAULT_FRACTION = 0.8
DEFAULT_MOST = 64


@dataclass(frozen=True)
class BatchTrial:
    """One size, measured."""

    batch: int
    peak_mib: float | None
    """Peak device memory on a GPU, resident memory of the process on a CPU; None: it ran out of memory."""
    call_ms: float | None
    """One call after the first, inputs on the device."""
    img_s: float | None
    fits: bool


Bound = Literal["most", "memory_fraction", "out_of_memory"]


@dataclass(frozen=True)
class BatchAnswer:
    """The largest batch that fits, and every size tried."""

    cell: str
    batch: int
    """0 if not even one scene fits."""
    limit_mib: float
    memory_mib: float
    """Memory of the whole device (on a CPU, what this process may use)."""
    stopped_by: Bound
    """Reason it is not larger: none was asked for, the next one takes more than its share, or more than there is."""
    trials: tuple[BatchTrial, ...]

    def to_json(self) -> dict[str, object]:
        return asdict(self)


def find_batch(
    model: str,
    *,
    runtime: str | None = None,
    device: str,
    mode: str | None = None,
    precision: str | None = None,
    views: int = 1,
    height: int = 504,
    width: int = 504,
    weights: str | None = None,
    fraction: float = DEFAULT_FRACTION,
    most: int = DEFAULT_MOST,
    threads: int | None = None,
    store: ArtifactStore | None = None,
    observer: Observer | None = None,
) -> BatchAnswer:
    """Search the batch sizes from 1 to `most` (bench/diagnose/batching.py).

    Args:
        runtime: an installed runtime's name; None: upstream's own.
        fraction: of the device's memory, (0, 1]; where the runtime can, it is also the cap of its allocator.
        most: largest batch of interest.

    Raises:
        UsageError: a fraction or number outside of its range, or a device or mode the runtime does not have.
        RunError: a trial failed for another reason than memory.
    """
    validate_shape(1, views, height, width)
    check_memory_fraction(fraction)
    MOST.check(most)
    THREADS.check(threads)
    adapter, observer = baseline_runtime() if runtime is None else get_runtime(runtime), observer or Observer()
    adapter.device(device)
    memory = device_memory_mib(device)
    ref = weights_to_measure(weights, get_model(model))
    if ref.note:
        observer.note(ref.note)
    chosen, request = configure(model, adapter, device, mode, precision, ref, (1, views, height, width))
    spec = CellSpec(request, runtime or adapter.name, device, chosen.name, threads=threads, memory_fraction=fraction)
    trials: dict[int, BatchTrial] = {}
    with TemporaryDirectory(prefix="depthport-batch-") as folder:

        def trial(size: int) -> float | None:
            observer.stage(f"trying {size} scene{'s' if size > 1 else ''} a call")
            shape = replace(spec.export.shape, batch=size)
            found = _try(replace(spec, export=replace(spec.export, shape=shape)), Path(folder), store, observer.step)
            trials[size] = replace(found, fits=found.peak_mib is not None and found.peak_mib <= fraction * memory)
            return found.peak_mib

        batch = largest_batch(trial, fraction * memory, most)
    tried = tuple(trials[size] for size in sorted(trials))
    return BatchAnswer(spec.id, batch, fraction * memory, memory, bound(batch, tried), tried)


def bound(batch: int, trials: Sequence[BatchTrial]) -> Bound:
    """Return what keeps the largest batch that fits from being larger."""
    beyond = next((trial for trial in trials if trial.batch > batch), None)
    if beyond is None:
        return "most"
    return "out_of_memory" if beyond.peak_mib is None else "memory_fraction"


def _try(spec: CellSpec, folder: Path, store: ArtifactStore | None, progress: Callable[[str], None]) -> BatchTrial:
    """Export, load in a fresh process, call three times."""
    shape = spec.export.shape
    stored = export_request(spec.export, store or ArtifactStore(), progress)
    inputs = folder / f"inputs-{shape.batch}.npz"
    write_npz(inputs, {"image": load_scenes(shape, sets=1)[0].image})
    with closing(LiveCell(spec, stored.artifact.path, [inputs], get_protocol("rigorous"))) as live:
        try:
            live.load()
            live.first_call()
            call_ms = min(live.calibrate().call_ns for _ in range(2)) / 1e6
            report = live.report()
        except CellFailed as failure:
            if is_memory_failure(failure):
                return BatchTrial(shape.batch, None, None, None, False)
            raise RunError(f"a batch of {shape.batch} failed: {failure}") from failure
    peak = report.host_peak_mib if report.device_peak_mib is None else report.device_peak_mib
    return BatchTrial(shape.batch, peak, call_ms, 1e3 * shape.batch * shape.views / call_ms, False)


def device_memory_mib(device: str) -> float:
    """All memory of a device: an NVIDIA GPU's own, else what this process may use of the host's."""
    if device.startswith("cuda"):
        gpus = cuda_devices()
        index = int(device.partition(":")[2] or 0)
        if index >= len(gpus):
            raise UsageError(f"this machine has no device {device!r}")
        return gpus[index].memory_bytes / (1 << 20)

    return usable_memory_mib()


def table(answer: BatchAnswer) -> Table:
    """The trials, and the answer below them."""
    rows = []
    for trial in answer.trials:
        peak = "out of memory" if trial.peak_mib is None else f"{trial.peak_mib:.0f}"
        call = "-" if trial.call_ms is None else f"{trial.call_ms:.3g}"
        rate = "-" if trial.img_s is None else f"{trial.img_s:.3g}"
        rows.append((str(trial.batch), peak, call, rate, "yes" if trial.fits else "no"))
    note = f"Largest batch within {answer.limit_mib:.0f} of {answer.memory_mib:.0f} MiB: {answer.batch}, {_why(answer)}"
    return Table(answer.cell, ("batch", "peak MiB", "ms a call", "img/s", "fits"), tuple(rows), note, "rrrrr")


def _why(answer: BatchAnswer) -> str:
    """Return what stopped the search, and which option moves it."""
    if answer.stopped_by == "most":
        return "the largest that was asked for (--most); larger ones were not tried"
    beyond = next(trial for trial in answer.trials if trial.batch > answer.batch)
    if answer.stopped_by == "out_of_memory":
        return f"because {beyond.batch} ran out of memory"
    return f"because {beyond.batch} took {beyond.peak_mib:.0f} MiB, more than its share (--memory-fraction)"
