"""Request and answer of `choose`, as data."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Literal

from depthport.bench.choice.break_even import BreakEven
from depthport.bench.results.metrics import METRICS
from depthport.bench.results.model import Boundary
from depthport.exporters.core.errors import UsageError

GOALS = (
    "latency_ms",
    "latency_p95_ms",
    "throughput_img_s",
    "memory_mib",
    "artifact_mib",
    "cold_start_s",
    "depth_error",
    "accuracy_abs_rel",
)


@dataclass(frozen=True)
class Constraint:
    """A bound on a metric: at most, or at least for metrics where higher is better."""

    metric: str
    bound: float

    def __post_init__(self) -> None:
        if self.metric not in METRICS:
            raise UsageError(f"unknown metric {self.metric!r}: choose one of {', '.join(METRICS)}")
        if not self.bound >= 0:
            raise UsageError(f"the bound of {self.metric} is {self.bound}: it must be at least 0")


@dataclass(frozen=True)
class Request:
    """Constraints and goal."""

    goal: str = "latency_ms"
    constraints: tuple[Constraint, ...] = ()
    devices: tuple[str, ...] = ()
    """Only cells on one of these (`cuda` also means `cuda:1`); empty: any."""
    runtimes: tuple[str, ...] = ()
    licences: tuple[str, ...] = ()
    """SPDX names the runtime's licence must be among; `open` stands for open source."""
    boundary: Boundary | None = None
    """None: `device` where every timed cell has it, else `host`."""
    model: str | None = None
    views: int | None = None
    height: int | None = None
    width: int | None = None

    def __post_init__(self) -> None:
        if self.goal not in GOALS:
            raise UsageError(f"unknown goal {self.goal!r}: choose one of {', '.join(GOALS)}")


@dataclass(frozen=True)
class Rejected:
    """A cell that was not picked, and the first reason why."""

    cell: str
    kind: str
    """`status`, `numerics`, `device`, `off_target`, `runtime`, `licence`, `constraint`, `unmeasured`, or `goal` (it was
    eligible)."""
    reason: str


@dataclass(frozen=True)
class Sensitivity:
    """One change of the request and the cell it would pick."""

    kind: Literal["relax", "tighten", "goal"]
    metric: str
    bound: float | None
    """The new bound for `relax` and `tighten`."""
    pick: str
    text: str


@dataclass(frozen=True)
class Choice:
    """The answer."""

    request: Request
    workload: str
    boundary: Boundary
    pick: str | None
    why: str
    """One sentence: the pick's advantage over the others, or why there is no pick."""
    ties: tuple[str, ...]
    pareto: tuple[str, ...]
    rejected: tuple[Rejected, ...]
    sensitivity: tuple[Sensitivity, ...]
    break_even: tuple[BreakEven, ...]
    figures: dict[str, dict[str, float | None]] = field(default_factory=dict)
    """Every metric of the pick, its ties and the Pareto set, by cell."""
    intervals: dict[str, dict[str, tuple[float, float] | None]] = field(default_factory=dict)
    """The 95 % interval of each of `figures`; None where none was measured."""
    cautions: tuple[str, ...] = ()
    objectives: tuple[str, ...] = ()
    """The metrics that the Pareto set is over."""

    def to_json(self) -> dict[str, object]:
        return asdict(self)
