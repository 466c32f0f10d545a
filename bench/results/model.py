"""`results.json`, schema `depthport.results/1`: everything a report, a comparison or a choice needs.

The classes below are the one definition: what is written, what is read (bench/results/load_results.py) and the published
JSON Schema (`python -m depthport.bench.results.schema`) follow from them. Figures that were not measured are None
(`null`), never 0. Times carry their unit in the field's name. Raw samples are kept in the order they were taken, none
deleted; what was still warm-up is marked, not dropped.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from typing import Literal, get_args

import msgspec
from msgspec import Struct, field

from depthport.bench.results.regimes import Count, Dimension, Interval, NotNegative, Positive, RegimeSummary
from depthport.bench.results.samples import Samples
from depthport.bench.results.sections import (
    Accuracy,
    ArtifactSection,
    Environment,
    InputsSection,
    Parity,
    ProtocolSection,
    Telemetry,
    WeightsSection,
)
from depthport.exporters.core.json_types import JsonObject
from depthport.runtimes.terms import Placement

Schema = Literal["depthport.results/1"]
SCHEMA: str = get_args(Schema)[0]


Boundary = Literal["device", "host", "pipeline", "stream"]
BlockBoundary = Literal["device", "host", "both", "pipeline", "stream"]
"""Boundaries that a block of calls is timed at: one of them, or the first two by the same calls."""
BOUNDARIES: tuple[Boundary, ...] = ("device", "host", "pipeline", "stream")
"""In the order in which one is preferred to compare at. A run has the first two or the last two, which are the boundary
`pipeline` of a scene alone and of scene after scene."""

FROM_FILES = "pipeline"
"""Tag of cells that were timed from encoded photographs: they are a workload of their own."""


ALTERNATIVE = "alternative"
"""Tag of cells that people would run without this package."""


def is_control(tags: Iterable[str]) -> bool:
    """Return whether a cell with these tags only repeats another, to test the measurement itself."""
    return any(tag.startswith("control-") for tag in tags)


class Status(str, Enum):
    """Outcome of a cell. Everything but OK comes with a `reason` in one line."""

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
    """The run was stopped before this cell's turn; the same command resumes with it."""
    PARITY_FAILED = "parity_failed"
    """Timed, but its outputs are further from upstream than its precision allows."""


def _check_order(name: str, interval: Interval | None) -> None:
    if interval is not None and interval[0] > interval[1]:
        raise ValueError(f"`{name}` is not an interval [low, high]")


class Timing(Struct, frozen=True, forbid_unknown_fields=True):
    """Steady-state latency at one boundary. A percentile that n can't carry is None."""

    median_ms: Positive | None
    ci95_ms: Interval | None
    mean_ms: Positive | None
    std_ms: NotNegative | None
    min_ms: Positive | None
    p90_ms: Positive | None
    p95_ms: Positive | None
    p99_ms: Positive | None
    n: Count
    """Steady samples."""
    img_s: Positive | None
    """Images per second: B·N / median latency."""
    samples: Samples = field(default_factory=Samples)
    cv: NotNegative | None = None
    """Coefficient of variation of the steady samples (0.025 is 2.5 %)."""
    drift_per_minute: float | None = None
    """Relative change of the latency per minute, None where it is not significant."""
    autocorrelation: float | None = None
    """Lag-1 autocorrelation of the steady samples."""
    device_event_ms: Positive | None = None
    """Median by the device's own events, where it has them: an extra column, never the one compared."""
    steady_state: bool = True
    """False: no two windows agreed within the budget; a finding, not a failure."""

    def __post_init__(self) -> None:
        _check_order("ci95_ms", self.ci95_ms)


class Speedup(Struct, frozen=True, forbid_unknown_fields=True):
    """Paired comparison to the baseline at one boundary; ratio = baseline / cell, above 1 is faster."""

    ratio: Positive | None
    ci95: Interval | None
    verdict: Literal["faster", "slower", "equivalent", "inconclusive"]
    reason: str = ""

    def __post_init__(self) -> None:
        _check_order("ci95", self.ci95)


class Phases(Struct, frozen=True, forbid_unknown_fields=True):
    """Costs that occur once, apart from steady state."""

    export_s: Positive | None = None
    """Export time recorded when the artifact was built, even if it was a cache hit now."""
    load_s: Positive | None = None
    first_call_ms: Positive | None = None
    warmup_calls: Count | None = None
    export_cached: bool | None = None


class Memory(Struct, frozen=True, forbid_unknown_fields=True):
    """Peaks of the workers after the first, which may compile; its own is `first_`, null if it was the only one."""

    host_peak_mib: Positive | None = None
    device_peak_mib: Positive | None = None
    first_host_peak_mib: Positive | None = None


class Cell(Struct, frozen=True, forbid_unknown_fields=True):
    """One row of the matrix: model × shape × format × runtime × device × mode × precision."""

    id: str
    """Unique in the file and stable between runs: `pytorch/cpu/upstream/fp32` (bench/results/cell_id.py)."""
    model: str
    batch: Dimension
    views: Dimension
    height: Dimension
    width: Dimension
    weights: str
    format: str
    runtime: str
    device: str
    mode: str
    precision: str
    baseline: bool = False
    status: Status = Status.OK
    reason: str | None = None
    log: str | None = None
    """The end of what the process of a failed cell has printed, where the protocol keeps it."""
    phases: Phases = Phases()
    timing: dict[Boundary, Timing] = {}
    speedup: dict[Boundary, Speedup] = {}
    rank: dict[Boundary, Dimension] = {}
    """Rank group among the run's cells, 1 is fastest; statistically tied cells share one."""
    memory: Memory = Memory()
    parity: Parity | None = None
    """Against upstream fp32 on the same inputs: `depth` {rel_l2, max_abs, abs_rel, delta1}, `depth_conf` {rel_l2},
    `extrinsics` {rel_l2, rotation_deg, translation_deg}, `intrinsics` {rel_l2, fov_deg}, `reference_view` {equal,
    and tie where rounding decides and upstream was made to choose the same}; further outputs {rel_l2}. Worst over the
    `inputs` checked."""
    accuracy: Accuracy | None = None
    """Against ground truth, where there is one: {abs_rel, rmse, delta1, ...}; `meaningless` with synthetic weights."""
    placement: Placement | None = None
    artifact: ArtifactSection | None = None
    pictures: dict[str, str] = {}
    """Relative paths of PNGs beside results.json: `depth`, `error`."""
    telemetry: Telemetry | None = None
    advice: list[dict[str, str]] = []
    """Warnings as data: {code, message, advice}; codes in bench/analysis/advice.py."""
    regime: RegimeSummary | None = None
    """Summary of a run in a regime other than `burst`."""
    stages_ms: dict[str, NotNegative] | None = None
    """Of a scene alone at the boundary `pipeline`: medians of its parts, in order (`decode`, `resize`, `copy`, `network`,
    `back`, or as upstream's own pipeline has them)."""
    mode_description: str = ""
    off_target: str | None = None
    """Reason its times are not those of the devices that the runtime is for; None: they are."""
    launches: Count = 0
    numerics_only: str | None = None
    """Reason it ran and has parity but no timing: the runtime there shows what an artifact computes, not how fast."""
    tags: list[str] = []
    """`control-aa`, `control-plus5` (:func:`is_control`), :data:`ALTERNATIVE`, suite labels."""


class Control(Struct, frozen=True, forbid_unknown_fields=True):
    """A comparison whose answer is known: the same cell against itself, and against itself delayed by 5 %."""

    ratio: Positive | None
    ci95: Interval | None
    verdict: str
    expected: str
    ok: bool
    reason: str = ""

    def __post_init__(self) -> None:
        _check_order("ci95", self.ci95)

    @property
    def undecided(self) -> bool:
        """True if it ran too short to tell: its interval holds the expected answer and others. It did not fail."""
        return not self.ok and self.verdict == "inconclusive"


class RuntimeFacts(Struct, frozen=True, forbid_unknown_fields=True):
    """Facts of a runtime for reports, kept with the figures: the machine that reads them may not have it."""

    title: str = ""
    """The product as its makers write it."""
    licence: str | None = None
    """An SPDX identifier where there is one; None: not known."""
    compiles: dict[str, str] | None = None
    """Modes that compile the network when they load it, each with the mode that runs the same network uncompiled;
    None: what it runs was compiled by the export."""

    def compiled(self, mode: str) -> bool | None:
        """Return whether a mode compiles the network when it loads it; None where the export did."""
        return None if self.compiles is None else mode in self.compiles


class BundleRef(Struct, frozen=True, forbid_unknown_fields=True):
    """The frozen suite that a run belongs to (bench/fleet/bundle.py): runs of one suite carry the same hash."""

    sha256: str
    """Hash of the canonical JSON of `contents`."""
    machine: str
    """Name of the machine in the fleet's description."""
    job: str
    """Name of the suite's job that the run is."""
    contents: dict[str, object] = {}
    """Jobs, inputs, weights and versions, so that two suites can be distinguished, and by what."""


class Results(Struct, frozen=True, forbid_unknown_fields=True):
    """One run on one machine."""

    environment: Environment
    """Hardware and versions; no host name, user name or path (bench/environment/environment.py)."""
    protocol: ProtocolSection
    """Name, seed and every parameter that decides how the samples were taken."""
    inputs: InputsSection
    """Inputs: name, number of inputs rotated, sha256, whether ground truth exists."""
    weights: dict[str, WeightsSection]
    """{id, sha256, synthetic, licence, note} of the run's model weights, by model name."""
    cells: list[Cell]
    controls: dict[str, Control] = {}
    runtimes: dict[str, RuntimeFacts] = {}
    """Facts by the runtime's name in cells; files from before this field have none (bench/results/runtime_facts.py)."""
    warnings: list[dict[str, str]] = []
    """Warnings about the whole run, with which a report opens."""
    created: str = ""
    """UTC, ISO 8601."""
    complete: bool = True
    """False: the run was stopped; the same command resumes it."""
    bundle: BundleRef | None = None
    """The fleet's suite that the run is a part of; None: it is part of none."""
    schema: Schema = "depthport.results/1"

    def to_json(self) -> JsonObject:
        """Convert to JSON's types; NumPy's numbers become Python's, what is not finite null."""
        plain: JsonObject = msgspec.json.decode(msgspec.json.encode(self, enc_hook=lambda value: value.item()))
        return plain
