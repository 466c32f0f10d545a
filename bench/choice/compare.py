"""`compare A B`: per cell, is B faster or slower than A, by how much, and may one say so?

The two runs share no rounds, so nothing cancels the machine's mood on either day: the interval is Welch's
over launches, whose spread holds what differs from process start to
process start. A run of a single launch does not know that spread; it is then taken from the other cells of
both runs, or, where those have none either, set to :data:`ASSUMED_LAUNCH_SD`, and the reason says so.

Where the baseline itself moved between two runs of equal versions, the machine did, not the cell. Then the
verdict is on the ratio of the two ratios to the baseline, and says so.
"""

from __future__ import annotations

import math
import statistics
from collections import Counter
from dataclasses import asdict, dataclass, replace
from typing import Literal

from depthport.bench.choice.comparable import (
    cell_bar,
    control_doubt,
    nearest,
    parity_flag,
    quota_doubt,
    run_bars,
    run_flags,
)
from depthport.bench.results.metrics import default_boundary
from depthport.bench.results.model import Boundary, Cell, Results, is_control
from depthport.bench.results.paired import cell_samples
from depthport.bench.statistics.estimate import Estimate, difference, estimate_log_latency, estimate_log_ratio, round_table
from depthport.bench.statistics.verdict import MARGIN, Verdict, judge

ASSUMED_LAUNCH_SD = 0.01
"""Relative spread from process start to process start where no run measured it (a common size: Kalibera &
Jones 2013)."""

Answer = Literal["faster", "slower", "equivalent", "inconclusive", "not comparable"]
ANSWERS: tuple[Answer, ...] = ("slower", "faster", "equivalent", "inconclusive", "not comparable")


@dataclass(frozen=True)
class Change:
    """One cell in both runs. `ratio` is A / B: above 1, B is faster."""

    cell: str
    verdict: Answer
    ratio: float | None
    ci95: tuple[float, float] | None
    reason: str
    a_ms: float | None = None
    b_ms: float | None = None
    flags: tuple[str, ...] = ()
    relative: bool = False
    """True where the verdict is on the ratio to the baseline, because the machine itself changed speed."""


@dataclass(frozen=True)
class Comparison:
    """Everything `compare` says."""

    boundary: Boundary
    changes: tuple[Change, ...]
    bars: tuple[str, ...]
    """Reason nothing is comparable; then every change is `not comparable`."""
    flags: tuple[str, ...]
    baseline_shift: float | None
    """A / B of the baseline: how much the machine (or the baseline's own stack) changed."""
    launch_sd: float | None
    """Relative spread between launches that was used for single-launch cells; None where not needed."""
    counts: dict[str, int]

    def to_json(self) -> dict[str, object]:
        return asdict(self)


def compare(
    a: Results, b: Results, boundary: Boundary | None = None, *, margin: float = MARGIN, across_machines: bool = False
) -> Comparison:
    """Compare two runs cell by cell, by id.

    Args:
        a: the run before.
        b: the run after.
        boundary: `device` or `host`; None: `device` where both runs have it, else `host`.
        margin: what counts as equivalent, 0.02 is ±2 %.
        across_machines: compare runs of different hardware anyway (flagged).
    """
    boundary = boundary or default_boundary(c for c in (*a.cells, *b.cells) if not is_control(c.tags))
    bars = tuple(run_bars(a, b, across_machines))
    flags = tuple(run_flags(a, b))
    own = {c.id: c for c in a.cells if not is_control(c.tags)}
    new = {c.id: c for c in b.cells if not is_control(c.tags)}
    pairs = [(own.get(name), new.get(name)) for name in dict.fromkeys([*own, *new])]
    spread = _Spread(a, b, boundary)
    judged = _Judge(a, b, boundary, margin, spread, same_stack=not flags)
    changes = [
        _missing(x, y, a, b) if x is None or y is None
        else Change(x.id, "not comparable", None, None, bars[0]) if bars
        else judged.change(x, y)
        for x, y in pairs
    ]  # fmt: skip
    counts = Counter(change.verdict for change in changes)
    return Comparison(
        boundary, tuple(sorted(changes, key=_order)), bars, flags, None if bars else judged.shift,
        spread.used, {answer: counts[answer] for answer in ANSWERS if counts[answer]},
    )  # fmt: skip


def _order(change: Change) -> tuple[int, float, str]:
    size = 0.0 if change.ratio is None else -abs(math.log(change.ratio))
    return ANSWERS.index(change.verdict), size, change.cell


def _missing(x: Cell | None, y: Cell | None, a: Results, b: Results) -> Change:
    cell = x or y
    assert cell is not None
    side, others = ("B", b.cells) if x is not None else ("A", a.cells)
    near = nearest(cell, others)
    return Change(cell.id, "not comparable", None, None, f"not in {side}" + (f"; {near}" if near else ""))


class _Judge:
    """The verdicts of one comparison."""

    def __init__(
        self, a: Results, b: Results, boundary: Boundary, margin: float, spread: _Spread, *, same_stack: bool
    ) -> None:
        self._a, self._b = a, b
        self._boundary, self._margin, self._spread = boundary, margin, spread
        base_a, base_b = _baseline(a), _baseline(b)
        self._base = (base_a, base_b) if base_a and base_b and self._bar(base_a, base_b) is None else None
        shift = self._unpaired(*self._base) if self._base else None
        self.shift = None if shift is None else math.exp(shift.log)
        moved = shift is not None and judge(shift, margin).verdict in (Verdict.FASTER, Verdict.SLOWER)
        self._machine_moved = moved and same_stack
        self._doubt = control_doubt(a, b)

    def change(self, x: Cell, y: Cell) -> Change:
        bar = self._bar(x, y)
        flag = parity_flag(x, y)
        flags = (flag,) if flag else ()
        if bar is not None:
            return Change(x.id, "not comparable", None, None, bar, flags=flags)
        ours, theirs = x.timing[self._boundary].median_ms, y.timing[self._boundary].median_ms
        estimate = self._unpaired(x, y)
        if estimate is None:
            reason = "the samples are not in both files: only the medians are known"
            ratio = ours / theirs if ours and theirs else None
            return Change(x.id, "inconclusive", ratio, None, reason, ours, theirs, flags)
        relative = self._relative(x, y) if self._machine_moved and not x.baseline else None
        found = judge(relative or estimate, self._margin)
        reason = found.explanation.split(": ", 1)[-1]
        if relative is not None and self.shift is not None:
            moved = (1 / self.shift - 1) * 100
            reason += f"; relative to the baseline, whose own latency changed by {moved:+.1f} %"
        if estimate.n_launches == 1:
            reason = reason.split("; one launch")[0]
            reason += f"; one launch: ±{self._spread.sd * 100:.1f} % from start to start {self._spread.origin}"
        used_ratio = relative is not None
        verdict: Answer = found.verdict.value
        if (doubt := self._doubt or quota_doubt(x, y)) is not None:
            verdict, reason = "inconclusive", f"{doubt}; {reason}"
        return Change(x.id, verdict, found.ratio, found.ci95, reason, ours, theirs, flags, used_ratio)

    def _bar(self, x: Cell, y: Cell) -> str | None:
        return cell_bar(x, y, self._a.weights, self._b.weights, self._boundary)

    def _unpaired(self, x: Cell, y: Cell) -> Estimate | None:
        """log(A / B) of two runs, with the launches' spread on both sides."""
        before, after = cell_samples(x, self._boundary), cell_samples(y, self._boundary)
        if before is None or after is None:
            return None
        own, new = (self._spread.widened(estimate_log_latency(samples)) for samples in (before, after))
        return difference(own, new)

    def _relative(self, x: Cell, y: Cell) -> Estimate | None:
        """Log of (baseline / cell) in B over that in A."""
        if self._base is None:
            return None
        bases = [cell_samples(c, self._boundary) for c in self._base]
        cells = [cell_samples(c, self._boundary) for c in (x, y)]
        if any(s is None for s in (*bases, *cells)):
            return None
        ratios = [estimate_log_ratio(base, cell) for base, cell in zip(bases, cells, strict=True) if base and cell]
        if len(ratios) < 2 or ratios[0] is None or ratios[1] is None:
            return None
        return difference(ratios[1], ratios[0])


class _Spread:
    """Spread of a cell from process start to process start, for runs of a single launch."""

    def __init__(self, a: Results, b: Results, boundary: Boundary) -> None:
        deviations = []
        for cell in (*a.cells, *b.cells):
            samples = cell_samples(cell, boundary)
            if samples is None:
                continue
            means = [
                statistics.fmean(one.log for one in rounds.values()) for rounds in round_table(samples).values() if rounds
            ]
            if len(means) > 1:
                deviations.append(statistics.variance(means))
        self.sd = math.sqrt(statistics.fmean(deviations)) if deviations else ASSUMED_LAUNCH_SD
        self.origin = "measured on the other cells" if deviations else "assumed, no run measured it"
        self.used: float | None = None

    def widened(self, estimate: Estimate) -> Estimate:
        """A single-launch estimate with the spread between launches added to its error."""
        if estimate.n_launches != 1:
            return estimate
        self.used = self.sd
        within = estimate.standard_error or 0.0
        return replace(estimate, standard_error=math.hypot(within, self.sd), df=estimate.df or 1.0)


def _baseline(results: Results) -> Cell | None:
    return next((c for c in results.cells if c.baseline and c.timing), None)
