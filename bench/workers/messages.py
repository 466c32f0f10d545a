"""Messages between manager and workers: one class per request, each with the type of its reply.

Those of a cell's worker (bench/workers/worker.py) are here, those of the exporting one in bench/workers/exporting.py.

On the wire (bench/workers/channel.py) a request is a JSON object whose `op` is the class's tag, an answer a
:class:`Answer`. Both ends decode strictly: a key too many, one too few or a value of another type is an error.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Generic, TypeVar

from msgspec import Struct

from depthport.bench.results.model import BlockBoundary, Status
from depthport.bench.results.records import Calibration
from depthport.runtimes.terms import Placement

R = TypeVar("R")


class Request(Struct, Generic[R], frozen=True, kw_only=True, tag_field="op", forbid_unknown_fields=True):
    """Asks a worker for an R."""

    reply: ClassVar[type]
    """R at run time."""
    failed: ClassVar[Status] = Status.RUN_FAILED
    """Outcome of a cell for which this failed."""
    doing: ClassVar[str] = "a call"
    """Activity of the worker meanwhile, in words."""


class Failure(Struct, frozen=True):
    """A request that failed: the status its cell gets, and why in one line."""

    status: Status
    reason: str
    passing: str | None = None
    """Resource that the machine was short of (:mod:`depthport.bench.workers.passing`), if that was it."""
    log: str = ""
    """The end of what the process has printed, which its manager adds."""


class Answer(Struct, Generic[R], frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """A line from a worker: its progress, or the success or failure that ends the request."""

    progress: str | None = None
    failure: Failure | None = None
    reply: R | None = None


class Done(Struct, frozen=True):
    """The request is done, without a result."""


class Versions(Struct, frozen=True):
    """Reply to :class:`Hello`."""

    versions: dict[str, str]
    """Versions by distribution, without those that are not installed."""


class Hello(Request[Versions], frozen=True, tag="hello"):
    """Ask whether the worker is alive, and for its packages' versions."""

    reply = Versions
    failed = Status.LOAD_FAILED
    packages: tuple[str, ...]


class Rebuilt(Struct, frozen=True):
    """Reply to :class:`Rebuild`."""

    artifact: str
    """The folder to load: the given one where nothing had to be done."""
    reason: str | None = None
    """Reason the one that was asked about can't be loaded."""


class Rebuild(Request[Rebuilt], frozen=True, tag="rebuild"):
    """Rebuild an artifact if it was built for other hardware or versions than those here."""

    reply = Rebuilt
    failed = Status.EXPORT_FAILED
    doing = "rebuilding"
    artifact: str
    runtime: str
    device: str


class Loaded(Struct, frozen=True):
    """Reply to :class:`Load`."""

    load_s: float


class Load(Request[Loaded], frozen=True, tag="load"):
    """Load an artifact, and the inputs that its calls rotate through."""

    reply = Loaded
    failed = Status.LOAD_FAILED
    doing = "loading"
    artifact: str
    inputs: tuple[str, ...]
    """`.npz` files."""
    runtime: str
    device: str
    mode: str | None = None
    threads: int | None = None
    memory_fraction: float | None = None
    cache_dir: str | None = None
    extra: dict[str, object] = {}
    """The runtime's own load options."""
    photographs: bool = False
    """The inputs hold encoded photographs (bench/inputs/encoded.py)."""


class FirstCalled(Struct, frozen=True):
    """Reply to :class:`FirstCall`."""

    first_call_ms: float


class FirstCall(Request[FirstCalled], frozen=True, tag="first_call"):
    """The first inference, numpy in and numpy out: lazy compilation and allocation land here."""

    reply = FirstCalled
    doing = "the first call"


class Calibrate(Request[Calibration], frozen=True, tag="calibrate"):
    """Measure the cost of a call and of its parts."""

    reply = Calibration


class BlockSamples(Struct, frozen=True):
    """A timed block, by the worker's clock; durations are of `calls` calls together."""

    starts_ns: list[int]
    outputs_sha256: str
    input: int
    """Index of the input of the last sample."""
    device_ns: list[int] | None = None
    host_ns: list[int] | None = None
    pipeline_ns: list[int] | None = None
    stream_ns: list[int] | None = None
    stages_ns: dict[str, int] | None = None
    """Parts of one more call, untimed, of a block at the boundary `pipeline`."""
    calm_share: float | None = None
    """Share of the block that is left without waiting for a CPU (bench/workers/waiting.py); None where unknown."""
    doubt_share: float = 0.0
    """Share of it that was taken off by a guess."""


class RunBlock(Request[BlockSamples], frozen=True, tag="block"):
    """`samples` samples of `calls` calls each, after `warmups` untimed ones (bench/plan/visits.py)."""

    reply = BlockSamples
    doing = "a timed block"
    boundary: BlockBoundary
    calls: int
    samples: int
    warmups: int = 0
    delay_ns: int = 0
    """Work of this CPU time added to every call: the control that must be found."""
    first_input: int = 0
    save_outputs: str | None = None
    """File for the last outputs (`.npz`)."""

    @property
    def input_indices(self) -> range:
        """Index of each sample's input, before they wrap around."""
        return range(self.first_input, self.first_input + self.samples)


class Infer(Request[Done], frozen=True, tag="infer"):
    """One untimed inference on inputs that are in no timed block."""

    reply = Done
    doing = "a call on a rendered scene"
    input: str
    save_outputs: str


@dataclass(frozen=True)
class SustainedResult:
    """Every sample of a sustained run, in order; times are those of the worker's clock."""

    start_ns: list[int] = field(default_factory=list)
    sample_ns: list[int] = field(default_factory=list)
    """Duration of each sample."""


@dataclass(frozen=True)
class FixedRateResult:
    """Every frame that was started, in order; frame i was due at `origin_ns + i * 1e9 / rate_hz`."""

    rate_hz: float
    frames: int
    """Number of frames that were due."""
    origin_ns: int
    start_ns: list[int] = field(default_factory=list)
    done_ns: list[int] = field(default_factory=list)

    def due_ns(self, frame: int) -> int:
        """Return the time at which a frame arrives, the deadline of the one before it."""
        return self.origin_ns + round(frame * 1e9 / self.rate_hz)


class RunSustained(Request[SustainedResult], frozen=True, tag="sustained"):
    """Sample after sample at the host boundary for some seconds (bench/workers/regimes.py)."""

    reply = SustainedResult
    doing = "sustained load"
    seconds: float
    first_index: int


class RunFixedRate(Request[FixedRateResult], frozen=True, tag="fixed_rate"):
    """A frame every 1 / rate_hz seconds at the host boundary (bench/workers/regimes.py)."""

    reply = FixedRateResult
    doing = "frames at a fixed rate"
    rate_hz: float
    seconds: float


class Peaks(Struct, frozen=True):
    """Reply to :class:`Report`."""

    placement: Placement
    host_peak_mib: float | None
    device_peak_mib: float | None


class Report(Request[Peaks], frozen=True, tag="report"):
    """Placement and memory, asked for outside every timed block."""

    reply = Peaks


CellRequest = Hello | Rebuild | Load | FirstCall | Calibrate | RunBlock | Infer | RunSustained | RunFixedRate | Report
