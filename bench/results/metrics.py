"""Metrics to judge a cell by: each knows its unit, its direction and where its value and interval are.

After Triton Model Analyzer's record types: constraints, ranking, Pareto sets and tables stay generic, and a
metric is added in one place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from depthport.bench.results.model import BOUNDARIES, Boundary, Cell

PARITY_SPREAD = 0.25
"""Assumed difference between the worst-case errors over two small sets of inputs."""
PARITY_RESOLUTION = 1e-5
"""Relative errors below this are the order of summation in fp32, not a quality: they count as equal."""


@dataclass(frozen=True)
class Estimate:
    """A value with what is known of its error: the 95 % interval where one was measured, else an assumed spread."""

    value: float
    low: float
    high: float

    def certainly_below(self, other: Estimate) -> bool:
        return self.high < other.low


@dataclass(frozen=True)
class Metric:
    """One figure of a cell."""

    name: str
    label: str
    unit: str
    better: Literal["lower", "higher"]
    read: Callable[[Cell, Boundary], tuple[float | None, tuple[float, float] | None]]
    """Value and 95 % interval, None where not measured."""
    missing: str
    """Reason a cell may lack it."""
    spread: float = 0.0
    """Assumed relative error of a single reading that has no interval (a peak of memory, a start-up time)."""
    resolution: float = 0.0
    """Values below this count as equal to it."""

    def of(self, cell: Cell, boundary: Boundary) -> Estimate | None:
        """The cell's estimate, or None where it was not measured."""
        value, ci = self.read(cell, boundary)
        if value is None:
            return None
        value = max(value, self.resolution)
        if ci is not None:
            return Estimate(value, max(ci[0], self.resolution), max(ci[1], self.resolution))
        return Estimate(value, value * (1 - self.spread), value * (1 + self.spread))

    def cost(self, cell: Cell, boundary: Boundary) -> Estimate | None:
        """Return :meth:`of`, turned so that lower is better (reciprocal for what should be high)."""
        return self.as_cost(self.of(cell, boundary))

    def as_cost(self, found: Estimate | None) -> Estimate | None:
        """A figure turned so that lower is better."""
        if found is None or self.better == "lower":
            return found
        if found.low <= 0:
            return None
        return Estimate(1 / found.value, 1 / found.high, 1 / found.low)


def default_boundary(cells: Iterable[Cell]) -> Boundary:
    """Return the boundary at which cells are compared by default.

    It is the first at which every timed one has a latency; else `host`.
    """
    timed = [cell.timing for cell in cells if cell.timing]
    return next((b for b in BOUNDARIES if all(b in t and t[b].median_ms is not None for t in timed)), "host")


def _latency(cell: Cell, boundary: Boundary) -> tuple[float | None, tuple[float, float] | None]:
    timing = cell.timing.get(boundary)
    return (None, None) if timing is None else (timing.median_ms, timing.ci95_ms)


def _p95(cell: Cell, boundary: Boundary) -> tuple[float | None, None]:
    timing = cell.timing.get(boundary)
    return (None if timing is None else timing.p95_ms), None


def _throughput(cell: Cell, boundary: Boundary) -> tuple[float | None, tuple[float, float] | None]:
    timing = cell.timing.get(boundary)
    if timing is None or timing.median_ms is None:
        return None, None
    images = cell.batch * cell.views * 1e3
    ci = timing.ci95_ms
    return images / timing.median_ms, None if ci is None else (images / ci[1], images / ci[0])


def _memory(cell: Cell, _boundary: Boundary) -> tuple[float | None, None]:
    return memory_mib(cell), None


def memory_mib(cell: Cell) -> float | None:
    """Peak memory where the cell ran: the device's if it has its own, else the worker's resident memory."""
    if cell.memory.device_peak_mib is not None:
        return cell.memory.device_peak_mib
    unified = cell.device.partition(":")[0] in ("cpu", "mps", "ane", "npu")
    return cell.memory.host_peak_mib if unified else None


def _artifact(cell: Cell, _boundary: Boundary) -> tuple[float | None, None]:
    size = (cell.artifact or {}).get("size_bytes", 0)
    return (size / 2**20 if size > 0 else None), None


def cold_start_s(cell: Cell) -> float | None:
    """Seconds from a process that has the artifact on disk to its first output: load and first call."""
    load, first = cell.phases.load_s, cell.phases.first_call_ms
    return None if load is None or first is None else load + first / 1e3


def _cold_start(cell: Cell, _boundary: Boundary) -> tuple[float | None, None]:
    return cold_start_s(cell), None


def _parity(output: str, figure: str) -> Callable[[Cell, Boundary], tuple[float | None, None]]:
    def read(cell: Cell, _boundary: Boundary) -> tuple[float | None, None]:
        return parity_figure(cell, output, figure), None

    return read


def parity_figure(cell: Cell, output: str, figure: str) -> float | None:
    """One figure of a cell's parity, if it exists and is a number of at least 0."""
    block = (cell.parity or {}).get(output)
    return number(block.get(figure)) if isinstance(block, Mapping) else None


def _accuracy(figure: str) -> Callable[[Cell, Boundary], tuple[float | None, None]]:
    def read(cell: Cell, _boundary: Boundary) -> tuple[float | None, None]:
        return accuracy_figure(cell, figure), None

    return read


def accuracy_figure(cell: Cell, figure: str) -> float | None:
    """A figure against ground truth, the worst over the scenes; None with synthetic weights, where it means nothing."""
    accuracy = cell.accuracy or {}
    if accuracy.get("meaningless"):
        return None
    scenes: list[Mapping[str, object]] = [accuracy, *(v for v in accuracy.values() if isinstance(v, dict))]
    scenes = [scene for scene in scenes if not scene.get("meaningless")]
    found = [value for scene in scenes if (value := number(scene.get(figure))) is not None]
    return (min(found) if figure.startswith("delta") else max(found)) if found else None


def number(value: object) -> float | None:
    """`value` if it is a number of at least 0."""
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) and value >= 0 else None


_TRUTH = "accuracy needs real weights and inputs with ground truth"
METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("latency_ms", "latency", "ms", "lower", _latency, "no steady-state latency was measured"),
        Metric("latency_p95_ms", "p95 latency", "ms", "lower", _p95, "too few samples for p95 (59 are needed)"),
        Metric("throughput_img_s", "throughput", "img/s", "higher", _throughput, "no latency was measured"),
        Metric("memory_mib", "peak memory", "MiB", "lower", _memory, "memory was not measured", spread=0.03),
        Metric("artifact_mib", "artifact size", "MiB", "lower", _artifact, "there is no artifact on disk"),
        Metric("cold_start_s", "cold start", "s", "lower", _cold_start, "start-up was not measured", spread=0.15),
        Metric(
            "depth_error",
            "depth error",
            "rel. L2",
            "lower",
            _parity("depth", "rel_l2"),
            "parity was not measured",
            spread=PARITY_SPREAD,
            resolution=PARITY_RESOLUTION,
        ),
        Metric(
            "depth_abs_rel",
            "depth AbsRel vs upstream",
            "",
            "lower",
            _parity("depth", "abs_rel"),
            "parity was not measured",
            spread=PARITY_SPREAD,
            resolution=PARITY_RESOLUTION,
        ),
        Metric(
            "rotation_deg",
            "rotation error",
            "°",
            "lower",
            _parity("extrinsics", "rotation_deg"),
            "poses were not compared",
            spread=PARITY_SPREAD,
            resolution=1e-3,
        ),
        Metric("accuracy_abs_rel", "AbsRel vs ground truth", "", "lower", _accuracy("abs_rel"), _TRUTH),
        Metric("accuracy_delta1", "δ1 vs ground truth", "", "higher", _accuracy("delta1"), _TRUTH),
    )
}
