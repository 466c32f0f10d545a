"""`results.json`, schema `depthport.results/1`: everything a report, a comparison or a choice needs.

The dataclasses below are the one definition; `bench/schema/results-1.schema.json` is the published JSON Schema of the
same. Figures that were not measured are None (`null`), never 0. Times carry their unit in the field's name. Raw samples
are kept in the order they were taken, none deleted; what was still warm-up is marked, not dropped.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from enum import Enum
from typing import Any, Literal

SCHEMA = "depthport.results/1"

Boundary = Literal["device", "host"]
BOUNDARIES: tuple[Boundary, ...] = ("device", "host")


def is_control(tags: Iterable[str]) -> bool:
    """Whether a cell with these tags only repeats another, to test the measurement itself."""
    return any(tag.startswith("control-") for tag in tags)


class Status(str, Enum):
    """How a cell ended. Everything but OK comes with a `reason` in one line."""

    OK = "ok"
    UNAVAILABLE = "unavailable"
    """The runtime or device is not on this machine."""
    UNSUPPORTED = "unsupported"
    """The combination does not exist (a precision the runtime lacks)."""
    EXPORT_FAILED = "export_failed"
    LOAD_FAILED = "load_failed"
    RUN_FAILED = "run_failed"
    """It ran and raised, crashed, ran out of memory, gave NaN or a wrong shape, or returned before it was done."""
    TIMED_OUT = "timed_out"
    NOT_MEASURED = "not_measured"
    """The run was stopped before this cell's turn; the same command goes on with it."""
    PARITY_FAILED = "parity_failed"
    """Timed, but its outputs are further from upstream than its precision allows."""


@dataclass
class Samples:
    """Raw samples of one boundary, column by column, in the order taken."""

    ms: list[float] = field(default_factory=list)
    """Milliseconds per call (a group of k calls divided by k)."""
    start_s: list[float] = field(default_factory=list)
    """When each began: seconds since the run's start."""
    launch: list[int] = field(default_factory=list)
    round: list[int] = field(default_factory=list)
    block: list[int] = field(default_factory=list)
    steady: list[bool] = field(default_factory=list)
    """False while the cell was still warming up; such samples enter no statistic."""
    calls_per_sample: int = 1


@dataclass
class Timing:
    """Steady-state latency at one boundary. A percentile that n can't carry is None."""

    median_ms: float | None
    ci95_ms: tuple[float, float] | None
    mean_ms: float | None
    std_ms: float | None
    min_ms: float | None
    p90_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    n: int
    """Steady samples."""
    img_s: float | None
    """Images per second: B·N / median latency."""
    samples: Samples
    cv: float | None = None
    """Coefficient of variation of the steady samples (0.025 is 2.5 %)."""
    drift_per_minute: float | None = None
    """Relative change of the latency per minute, None where it is not significant."""
    autocorrelation: float | None = None
    """Lag-1 autocorrelation of the steady samples."""
    device_event_ms: float | None = None
    """Median by the device's own events, where it has them: an extra column, never the one compared."""
    steady_state: bool = True
    """False: no two windows agreed within the budget; a finding, not a failure."""


@dataclass
class Speedup:
    """Paired comparison to the baseline at one boundary; ratio = baseline / cell, above 1 is faster."""

    ratio: float | None
    ci95: tuple[float, float] | None
    verdict: Literal["faster", "slower", "equivalent", "inconclusive"]
    reason: str = ""


@dataclass
class Phases:
    """What happens once, apart from steady state."""

    export_s: float | None = None
    """As recorded when the artifact was built, even if it was a cache hit now."""
    load_s: float | None = None
    first_call_ms: float | None = None
    warmup_calls: int | None = None
    export_cached: bool | None = None


@dataclass
class Memory:
    host_peak_mib: float | None = None
    """Peak resident memory of the cell's worker process."""
    device_peak_mib: float | None = None


@dataclass
class Cell:
    """One row of the matrix: model × shape × format × runtime × device × mode × precision."""

    id: str
    """Unique in the file and stable between runs: `pytorch/cpu/upstream/fp32`, prefixed by model and shape if mixed."""
    model: str
    batch: int
    views: int
    height: int
    width: int
    weights: str
    format: str
    runtime: str
    device: str
    mode: str
    precision: str
    baseline: bool = False
    status: Status = Status.OK
    reason: str | None = None
    phases: Phases = field(default_factory=Phases)
    timing: dict[Boundary, Timing] = field(default_factory=dict)
    speedup: dict[Boundary, Speedup] = field(default_factory=dict)
    rank: dict[Boundary, int] = field(default_factory=dict)
    """Rank group among the run's cells, 1 is fastest; cells that can't be told apart share one."""
    memory: Memory = field(default_factory=Memory)
    parity: dict[str, Any] | None = None
    """Against upstream fp32 on the same inputs: `depth` {rel_l2, max_abs, abs_rel, delta1}, `depth_conf` {rel_l2},
    `extrinsics` {rel_l2, rotation_deg, translation_deg}, `intrinsics` {rel_l2, fov_deg}, `reference_view` {equal};
    further outputs {rel_l2}. Worst over the inputs checked."""
    accuracy: dict[str, Any] | None = None
    """Against ground truth, where there is one: {abs_rel, rmse, delta1, ...}; `meaningless` with synthetic weights."""
    placement: dict[str, Any] | None = None
    artifact: dict[str, Any] | None = None
    """{key, size_bytes, versions, target, options}."""
    pictures: dict[str, str] = field(default_factory=dict)
    """Relative paths of PNGs beside results.json: `depth`, `error`."""
    telemetry: dict[str, Any] | None = None
    advice: list[dict[str, str]] = field(default_factory=list)
    """Warnings as data: {code, message, advice}; codes in bench/analysis/advice.py."""
    regime: dict[str, Any] | None = None
    """Of a run in another regime than `burst`: {kind, ...} as bench/analysis/regime_analysis.py summarizes it."""
    mode_description: str = ""
    off_target: str | None = None
    """Why its times are not those of the devices that the runtime is for; None: they are."""
    launches: int = 0
    tags: list[str] = field(default_factory=list)
    """`control-aa`, `control-plus5` (:func:`is_control`), suite labels."""


@dataclass
class Control:
    """A comparison whose answer is known: the same cell against itself, and against itself delayed by 5 %."""

    ratio: float | None
    ci95: tuple[float, float] | None
    verdict: str
    expected: str
    ok: bool
    reason: str = ""


@dataclass
class RuntimeFacts:
    """What a report says of a runtime, kept with the figures: the machine that reads them may not have it."""

    title: str = ""
    """The product as its makers write it."""
    licence: str | None = None
    """An SPDX identifier where there is one; None: not known."""
    compiles: dict[str, str] | None = None
    """Modes that compile the network when they load it, each with the mode that runs the same network as it stands;
    None: what it runs was compiled by the export."""

    def compiled(self, mode: str) -> bool | None:
        """Whether a mode compiles the network when it loads it; None where the export did."""
        return None if self.compiles is None else mode in self.compiles


@dataclass
class Results:
    """One run on one machine."""

    environment: dict[str, Any]
    """Hardware and versions; no host name, user name or path (bench/environment/environment.py)."""
    protocol: dict[str, Any]
    """Name, seed and every parameter that decides how the samples were taken."""
    inputs: dict[str, Any]
    """What was fed: name, number of inputs rotated, sha256, whether ground truth exists."""
    weights: dict[str, Any]
    """{id, sha256, synthetic, licence, note} of the run's model weights, by model name."""
    cells: list[Cell]
    controls: dict[str, Control] = field(default_factory=dict)
    runtimes: dict[str, RuntimeFacts] = field(default_factory=dict)
    """By the name that cells have; files of before this field have none (bench/results/runtime_facts.py)."""
    warnings: list[dict[str, str]] = field(default_factory=list)
    """About the whole run; a report opens with them."""
    created: str = ""
    """UTC, ISO 8601."""
    complete: bool = True
    """False: the run was stopped; what is here was measured, the same command goes on."""
    schema: str = SCHEMA

    def to_json(self) -> dict[str, Any]:
        return _plain(asdict(self))


def _plain(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return value
