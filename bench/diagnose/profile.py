"""`depthport profile`: where the time of one configuration goes, by part of the network, against the device's roofline.

The roofline is measured on the spot: a large matrix product and a large copy. Each operator's roof is the larger of its
arithmetic over the one and its arguments and results over the other (Williams, Waterman, Patterson 2009); what a fused
kernel keeps on the chip is not counted, so fusing lowers the roof as well as the time.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass

from depthport.bench.diagnose.configuration import configure
from depthport.bench.diagnose.profile_parts import PartTime, add_up, mean_ci95
from depthport.bench.inputs.inputs import load_scene
from depthport.bench.measure.observer import Observer
from depthport.bench.statistics import figures
from depthport.exporters.api import export_request
from depthport.exporters.core import install
from depthport.exporters.core.asked import CALLS, THREADS
from depthport.exporters.core.errors import UnsupportedError, UsageError
from depthport.exporters.core.inspection import Table
from depthport.exporters.core.provenance import package_versions
from depthport.exporters.core.store import ArtifactStore
from depthport.exporters.da3.registry import get_model
from depthport.exporters.da3.shapes import validate_shape
from depthport.exporters.da3.weights import weights_to_measure
from depthport.runtimes.base import LoadOptions, Runtime, Session
from depthport.runtimes.registry import installed_runtimes
from depthport.runtimes.terms import first_device

SCHEMA = "depthport.profile/1"
_WARM_UPS = 5


@dataclass(frozen=True)
class Profile:
    """One configuration's time by part."""

    cell: dict[str, str | int]
    """Model, shape, device, mode, precision, weights."""
    hardware: str
    versions: dict[str, str]
    calls: int
    latency_ms: float
    """Mean of whole calls in the mode itself, inputs on the device."""
    latency_ci95_ms: tuple[float, float] | None
    matmul_tflop_s: float
    copy_gb_s: float
    dtype: str
    """Dtype of the timed matrix product, the backbone's."""
    parts: tuple[PartTime, ...]

    @property
    def parts_ms(self) -> float:
        """Time of all operators."""
        return sum(part.ms for part in self.parts)

    @property
    def outside_ms(self) -> float:
        """Time of a whole call beyond its operators: launches and gaps.

        Below 0 where timing operators one by one costs more than running them at once.
        """
        return self.latency_ms - self.parts_ms

    @property
    def roof_ms(self) -> float:
        return sum(part.roof_ms for part in self.parts)

    def to_json(self) -> dict[str, object]:
        parts = [{**asdict(part), "of_roof": part.of_roof} for part in self.parts]
        return {
            "schema": SCHEMA, **asdict(self), "parts": parts, "parts_ms": self.parts_ms, "outside_ms": self.outside_ms,
            "roof_ms": self.roof_ms,
        }  # fmt: skip


def profile(
    model: str,
    *,
    device: str,
    mode: str | None = None,
    precision: str | None = None,
    batch: int = 1,
    views: int = 1,
    height: int = 504,
    width: int = 504,
    weights: str | None = None,
    threads: int | None = None,
    calls: int = 10,
    store: ArtifactStore | None = None,
    observer: Observer | None = None,
) -> Profile:
    """Export (or find) the artifact, run it on the first of the shipped photographs and time its parts.

    Args:
        model, batch, views, height, width, weights: as :func:`depthport.exporters.export` takes them.
        device: `cpu` or `cuda[:N]`.
        mode: one that the runtime can be profiled in (`Runtime.profiled`) or an alias; None: the fastest of them on
            that device.
        precision: a policy; None: the mode's own.
        calls: averaged; half as many whole calls give the latency, five at least.

    Raises:
        UsageError, UnsupportedError, UnavailableError: what is wrong with the request, in one line.
    """
    validate_shape(batch, views, height, width)
    CALLS.check(calls)
    THREADS.check(threads)
    if first_device(device) != device:
        raise UnsupportedError(f"a profile needs a single GPU, not {device}: choose {first_device(device)}")
    runtime, observer = profiling_runtime(), observer or Observer()
    place = runtime.device(device)
    if mode is not None and runtime.mode(place, mode).name not in runtime.profiled:
        known = ", ".join(runtime.profiled)
        raise UnsupportedError(f"mode {mode!r} does not run operator by operator: choose {known}")
    ref = weights_to_measure(weights, get_model(model))
    if ref.note:
        observer.note(ref.note)
    shape = (batch, views, height, width)
    chosen, request = configure(model, runtime, device, mode, precision, ref, shape, among=runtime.profiled)
    observer.stage(f"exporting {model} in {request.precision}")
    stored = export_request(request, store or ArtifactStore(), observer.step)
    observer.stage(f"timing {calls} calls")
    options = LoadOptions(mode=chosen.name, threads=threads)
    with runtime.load(stored.artifact, device, options) as session:
        session.bind({"image": load_scene(stored.artifact.manifest.shape).image})
        return _measure(runtime, session, place.description, calls)


def profiling_runtime() -> Runtime:
    """The runtime that shows its operators.

    Raises:
        UsageError: none that is installed does.
    """
    for runtime in installed_runtimes():
        if runtime.profiled:
            return runtime
    raise UsageError(f"no installed runtime reports its operators: {install.ITSELF}")


def _measure(runtime: Runtime, session: Session, hardware: str, calls: int) -> Profile:
    latency, interval = mean_ci95(_latencies_ms(session, max(5, calls // 2)))
    operators, rates = runtime.profile(session, calls)
    manifest = session.artifact.manifest
    shape = manifest.shape
    cell: dict[str, str | int] = {
        "model": manifest.model, "batch": shape.batch, "views": shape.views, "height": shape.height,
        "width": shape.width, "runtime": runtime.name, "device": session.device, "mode": str(session.options.mode),
        "precision": manifest.precision["name"], "weights": manifest.weights.id,
    }  # fmt: skip
    return Profile(
        cell, hardware, package_versions(("depthport", *runtime.packages)), calls, latency, interval,
        rates.matmul_flop_s / 1e12, rates.copy_bytes_s / 1e9, rates.dtype,
        add_up(operators, rates, shape.batch * shape.views),
    )  # fmt: skip


def _latencies_ms(session: Session, calls: int) -> list[float]:
    samples = []
    for index in range(_WARM_UPS + calls):
        begin = time.perf_counter()
        session.run()
        session.synchronize()
        if index >= _WARM_UPS:
            samples.append(1e3 * (time.perf_counter() - begin))
    return samples


def table(profile: Profile) -> Table:
    """The parts, and all of them together."""
    cell = profile.cell
    title = (
        f"{cell['model']}, {cell['batch']}×{cell['views']} views {cell['height']}×{cell['width']}, "
        f"{cell['device']}/{cell['mode']}/{cell['precision']} on {profile.hardware}"
    )
    rows = [
        (
            part.name, figures.number(part.ms, part.ms_ci95), figures.percent(part.share), figures.reading(part.gflop),
            figures.reading(part.mib), figures.reading(part.roof_ms, 2), figures.percent(part.of_roof),
        )
        for part in profile.parts
    ]  # fmt: skip
    total = sum(part.gflop for part in profile.parts)
    traffic = sum(part.mib for part in profile.parts)
    reached = min(1.0, profile.roof_ms / profile.parts_ms) if profile.parts_ms else None
    rows += [
        (
            "all parts", figures.number(profile.parts_ms, _sum_ci95(profile)), "100 %", figures.reading(total),
            figures.reading(traffic), figures.reading(profile.roof_ms, 2), figures.percent(reached),
        ),
        ("a whole call", figures.number(profile.latency_ms, profile.latency_ci95_ms), "", "", "", "", ""),
    ]  # fmt: skip
    note = (
        f"{_outside(profile)} Roofline measured here: {profile.matmul_tflop_s:.3g} TFLOP/s ({profile.dtype} matrix "
        f"product), {profile.copy_gb_s:.3g} GB/s (copy, read and written; more where a cache holds it). "
        "A part at 100 % is at it or beyond: caches serve it."
    )
    return Table(title, ("part", "ms", "share", "GFLOP", "MiB", "roof ms", "of roof"), tuple(rows), note, "frrrrrr")


def _outside(profile: Profile) -> str:
    """Explain the difference between the parts and a whole call."""
    outside = figures.reading(abs(profile.outside_ms), 2)
    if profile.outside_ms >= 0:
        return f"{outside} ms of a call are outside the parts: launches, gaps, or what else this machine did meanwhile."
    return f"The parts take {outside} ms more than a call, which runs its operators at once; each was timed by itself."


def _sum_ci95(profile: Profile) -> tuple[float, float] | None:
    """Of all parts, whose errors are taken for independent."""
    halves = [(high - low) / 2 for part in profile.parts if part.ms_ci95 is not None for low, high in [part.ms_ci95]]
    if len(halves) < len(profile.parts):
        return None
    half = sum(each * each for each in halves) ** 0.5
    return profile.parts_ms - half, profile.parts_ms + half
