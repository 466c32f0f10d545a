"""The journal's records: what a run has finished, one class a kind.

A record's kind on disk is its class's tag. Decoding is strict: a line with an unknown key, without a field, or with a
value of another type was not written by this program and counts as damage.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from depthport.bench.results.model import Status
from depthport.bench.results.regimes import RegimeSummary
from depthport.bench.results.sections import ArtifactSection, Reading, Telemetry
from depthport.exporters.core.artifact import Origin
from depthport.runtimes.terms import Placement

FileName = Annotated[str, Meta(pattern=r"\A\w[\w.-]*\Z")]
"""Beside the inputs, never elsewhere."""


class Record(Struct, frozen=True, kw_only=True, tag_field="kind", forbid_unknown_fields=True):
    """One finished thing."""


class Header(Record, frozen=True, tag="header"):
    """Identity of the run; the first record."""

    plan: str
    """Fingerprint of the plan (bench/measure/plan.py)."""
    created: str
    """UTC, ISO 8601."""
    epoch_s: float
    """Wall time, from which all the run's times count."""


class ArtifactReady(Record, frozen=True, tag="artifact"):
    """A cell has its artifact."""

    cell: str
    origin: Origin | Literal["given"]
    export_s: float | None
    facts: ArtifactSection
    """`Cell.artifact`: what the results say of it."""


class Failed(Record, frozen=True, tag="failed"):
    """A cell is out, and why."""

    cell: str
    status: Status
    reason: str
    passing: str | None = None
    """Resource the machine was short of (:mod:`depthport.bench.workers.passing`); None: the fault is the cell's own."""
    log: str | None = None
    """The end of what its process has printed, without paths; None where the protocol keeps none."""


class ReferenceFailed(Record, frozen=True, tag="reference_failed"):
    """Upstream's outputs could not be computed: there is no parity."""

    reason: str


class DesignChosen(Record, frozen=True, tag="design"):
    """Number of launches and rounds of the run (bench/plan/design.py)."""

    launches: int
    rounds: int
    order: str
    expected_half_width: float | None
    """Expected half-width of the ratios' intervals, logarithmic; None where nothing is expected."""
    expected_s: float
    round_noise: float


class Calibration(Struct, frozen=True):
    """Costs in ns that decide how calls are grouped."""

    call_ns: int
    enqueue_ns: int
    """Time until `run` returned; as long as the call where the runtime is synchronous."""
    sync_ns: int
    fetch_ns: int


class Launch(Record, frozen=True, tag="launch"):
    """A worker was started and warmed up."""

    cell: str
    launch: int
    started_s: float
    load_s: float
    first_call_ms: float
    calibration: Calibration
    warmup_ms: list[float]
    """Calls after the first and the calibration's."""
    steady: bool
    wall_s: float | None = None
    """Of all this, the start of the process included; None in journals of before."""


class Eliminated(Record, frozen=True, tag="eliminated"):
    """A cell has surely lost: no round after this one times it (bench/statistics/stopping.py)."""

    cell: str
    launch: int
    round: int


class Enough(Record, frozen=True, tag="enough"):
    """Every ratio that matters is known as asked: measuring is over."""


class LaunchDone(Record, frozen=True, tag="launch_done"):
    """All rounds of a launch are measured."""

    launch: int


class Residency(Record, frozen=True, tag="residency"):
    """The workers do not fit in memory together: each is restarted for every visit."""


class TimedBlock(Record, frozen=True, tag="block"):
    """Timed samples of one cell, in a row."""

    cell: str
    launch: int
    round: int
    visit: int
    calls: int
    """Calls a sample."""
    device_ns: list[int] | None
    host_ns: list[int] | None
    starts_s: list[float]
    input: int
    """Index of the input of the last sample."""
    outputs_sha256: str
    outputs: FileName | None = None
    """File in the run's work folder that keeps the last outputs."""
    pipeline_ns: list[int] | None = None
    stream_ns: list[int] | None = None
    stages_ns: dict[str, int] | None = None
    """Parts of one more call, untimed, of a block at the boundary `pipeline`."""
    calm_share: float | None = None
    """Share of the block's time that is left without waiting for a CPU (bench/workers/waiting.py); None where unknown."""
    doubt_share: float = 0.0
    """Share of it that was taken off by a guess."""


class VisitDone(Record, frozen=True, tag="visit"):
    """A cell's turn in a round is over: its blocks are there, and what the machine did meanwhile."""

    cell: str
    launch: int
    round: int
    visit: int
    wall_s: float
    telemetry: Reading
    """Record of bench/environment/telemetry.py."""


class SessionReport(Record, frozen=True, tag="report"):
    """Report of a worker on itself before it ended."""

    cell: str
    launch: int
    placement: Placement
    host_peak_mib: float | None
    device_peak_mib: float | None


class GroundTruthOutputs(Record, frozen=True, tag="truth"):
    """A cell has computed a scene with exact truth."""

    cell: str
    scene: int
    outputs: FileName
    """File in the run's work folder."""


class RegimeDone(Record, frozen=True, tag="regime"):
    """A cell went through another regime than `burst`."""

    cell: str
    load_s: float
    first_call_ms: float
    call_ns: int
    summary: RegimeSummary
    telemetry: Telemetry | None
    """Summary by bench/environment/telemetry_summary.py."""


class Finished(Record, frozen=True, tag="finished"):
    """The run is complete."""


AnyRecord = (
    Header
    | ArtifactReady
    | Failed
    | ReferenceFailed
    | DesignChosen
    | Launch
    | Eliminated
    | Enough
    | LaunchDone
    | Residency
    | TimedBlock
    | VisitDone
    | SessionReport
    | GroundTruthOutputs
    | RegimeDone
    | Finished
)
