"""The two protocols as data. bench/PROTOCOL.md explains them; what a run used is written into its results."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Literal, get_args

from depthport.bench.results.model import Boundary
from depthport.exporters.core.asked import known_name

Timed = Literal["network", "pipeline"]
TIMED: tuple[Timed, ...] = get_args(Timed)


@dataclass(frozen=True)
class Protocol:
    """Every parameter that decides how samples are taken."""

    name: str
    seed: int = 0
    boundary: Timed = "network"
    """Subject of the timing: the network, at the boundaries `device` and `host`; or from encoded photographs to arrays."""
    launches: int | None = None
    """Process starts per cell: what differs from start to start (memory layout, kernels chosen) is sampled too. None:
    chosen after the first start from what it cost (bench/plan/design.py)."""
    min_rounds: int = 1
    """Rounds per launch before the stop rule may end it."""
    max_rounds: int = 1000
    budget_s: float = 90.0
    """Wall time for measuring: all launches with their loading and warm-up; exports and the reference come on top."""
    target_half_width: float = 0.01
    """Stop when the 95 % interval of every ratio that matters is at most ±1 %: those of cells that have not surely lost."""
    inputs: int = 4
    """Distinct inputs rotated through."""
    ground_truth_scenes: int = 2
    """Rendered scenes with exact depth and poses that every cell also computes once, after its timed calls."""
    order: str = "mirrored"
    """`mirrored` (A B C C B A), `random` (seeded), or `sequential` (the first report's: one cell after the other)."""
    margin: float = 0.02
    """Margin of equivalence: a ratio within ±2 % is not a difference that matters."""
    controls: bool = True
    warmup_calls: int = 2
    """Warm-up calls at least (of which the first call is one), as time allows."""
    warmup_budget_s: float = 8.0
    """Seconds of warm-up per launch at most, after two calls."""
    overhead_target: float = 1e-3
    """Calls are grouped until timer and synchronize cost less than this share of a sample."""
    timed_calls: int | None = None
    """Fixed number of timed calls per cell (the paper protocol); None: by time."""
    load_timeout_s: float = 900.0
    call_timeout_s: float = 30.0
    """A call counts as hanging after ten times the duration of earlier calls, but not before this: machines pause."""
    export_timeout_s: float = 3600.0
    limit_s: float | None = None
    """Seconds for exports, reference and cells that nobody times together; what it does not reach is not measured."""
    untimed: bool = False
    """Every cell computes each input once (:mod:`depthport.bench.measure.once`), and no time is kept."""
    logs: bool = False
    """Keep the end of what a failed cell's process printed, for finding out why."""

    @property
    def deciding_boundary(self) -> Boundary:
        """The boundary by which cells are put out and controls are judged."""
        return "pipeline" if self.boundary == "pipeline" else "device"

    def to_json(self) -> dict[str, object]:
        return asdict(self)


RIGOROUS = Protocol("rigorous")

PAPER = Protocol(
    "paper",
    launches=1,
    min_rounds=1,
    max_rounds=1,
    inputs=4,
    order="sequential",
    controls=False,
    warmup_calls=2,
    timed_calls=5,
)
"""The first report's: 2 warm-ups, 5 timed iterations, mean ± std, one configuration after the other."""

QUICK = replace(RIGOROUS, name="quick", launches=1, min_rounds=2, budget_s=45.0, warmup_budget_s=5.0, ground_truth_scenes=1)
"""For a quick look: one launch, under a minute of timed rounds. Its intervals show its uncertainty."""

CHECK = Protocol("check", inputs=1, ground_truth_scenes=0, controls=False, untimed=True, logs=True)
"""Does it compute what upstream does?"""

PROTOCOLS = {p.name: p for p in (RIGOROUS, PAPER, QUICK, CHECK)}


def get_protocol(name: str) -> Protocol:
    """The protocol called `name`.

    Raises:
        UsageError: the name is unknown.
    """
    return PROTOCOLS[known_name("protocol", name, PROTOCOLS)]
