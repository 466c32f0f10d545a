"""Design of a run: the launches, rounds and samples to spend a time budget on.

The variance of a paired log ratio from L launches of R rounds is `(2 s_launch^2 + s_round^2 / R) / L`
(bench/statistics/estimate.py). Kalibera & Jones ("Rigorous benchmarking in reasonable time", ISMM 2013) choose the counts
that make it smallest for what a launch and a round cost; here the degrees of freedom count too, so all affordable designs
are compared. Where starting costs as much as ten rounds, one launch or two are best: what they leave open of other
process starts is in the interval by what is known of them beforehand.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from depthport.bench.plan.schedule import Order
from depthport.bench.statistics.replicates import LAUNCH_NOISE, LAUNCH_NOISE_DF
from depthport.bench.statistics.student_t import student_t_quantile
from depthport.exporters.core.errors import UsageError

BLOCK_S = 0.015
"""Aim of a block's length. As short as the waking of a parked worker allows, because what a machine's speed does between
two blocks that are compared is the noise of their ratio. Measured on 2 cores of a virtual machine, an ONNX Runtime call of
14 ms: latencies 20 ms apart are correlated at 0.8, 0.1 s apart at 0.6, 1 s apart at 0.35; after the same 30 s, the error of
a ratio was 0.7 % with blocks of 0.05 s, 0.43 % with two calls a block and 0.32 % with one."""
SETTLE_S = 0.01
"""Aim of the untimed calls at a block's start: at least one, so that no sample is the call that woke a worker."""
MAX_SETTLE_CALLS = 10
WINDOW_S = 0.2
"""Aim of a warm-up window's length."""
MAX_BLOCK_SAMPLES = 50
SLOW_CALL_S = 0.25
"""Duration from which a call is its own window, and waking a worker (measured: 0.5 to 1.3 ms) is little beside it."""
VISIT_S = 0.01
"""Overhead of a visit beside its calls: waking the worker, telemetry, the journal."""
MIN_ROUNDS, MAX_LAUNCHES, MAX_ROUNDS = 3, 20, 1000
"""Rounds of a single launch at least: fewer have no interval worth the name."""
ROUND_NOISE, MAX_ROUND_NOISE = 0.02, 0.2
"""Standard deviation of a mirrored round's log ratio: assumed where none can be measured before the rounds begin, and the
least that a measured one is taken for, since the warm-up is short."""
VARIANCE = {Order.MIRRORED: 1.0, Order.RANDOM: 2.5}
"""Variance of a round's log ratio over that of a mirrored one: a random one has half the blocks (2), and the drift is still
in it (simulated: 1.7 to 2.6)."""


@dataclass(frozen=True)
class CellCost:
    """Seconds that one cell takes: `visit_s` one turn in a round, `launch_s` one start with load and warm-up."""

    visit_s: float
    launch_s: float


@dataclass(frozen=True)
class Design:
    """Counts to run, and what they should give."""

    launches: int
    rounds: int
    order: Order
    expected_half_width: float
    """Half-width of a ratio's 95 % interval on the log scale (0.01: about ±1 %)."""
    expected_s: float


@dataclass(frozen=True)
class WarmupRule:
    """Arguments of `depthport.bench.statistics.steady_state.steady_state`."""

    window: int
    tolerance: float


def block_samples(call_s: float) -> int:
    """Steady calls a block: about 0.015 s of them, 1 to 50."""
    return _calls_in(BLOCK_S, call_s)


def _calls_in(seconds: float, call_s: float) -> int:
    return max(1, min(MAX_BLOCK_SAMPLES, round(seconds / call_s)))


def block_warmups(call_s: float) -> int:
    """Calls before a visit's samples, since the worker was parked: about 0.01 s of them, 1 to 10; 0 if slow."""
    return 0 if call_s >= SLOW_CALL_S else max(1, min(MAX_SETTLE_CALLS, math.ceil(SETTLE_S / call_s)))


def round_noise(warmups: Sequence[tuple[Sequence[float], int]]) -> float:
    """The standard deviation to expect of a mirrored round's log ratio, from calls before the first round.

    `warmups` holds, for each cell, the times of consecutive calls once steady (any unit) and the samples of a block.
    A mirrored round's ratio is that of two means of two blocks each, so its variance is that of a block, less what
    neighbours share: half the mean squared difference of successive blocks. The median over the cells that have 4
    blocks or more, within `ROUND_NOISE` and `MAX_ROUND_NOISE`; `ROUND_NOISE` where none has.
    """
    spreads = []
    for calls, samples in warmups:
        blocks = [math.log(statistics.median(calls[i : i + samples])) for i in range(0, len(calls) - samples + 1, samples)]
        if len(blocks) >= 4:
            squares = [(after - before) ** 2 for before, after in itertools.pairwise(blocks)]
            spreads.append(math.sqrt(statistics.fmean(squares) / 2.0))
    return min(MAX_ROUND_NOISE, max(ROUND_NOISE, statistics.median(spreads) if spreads else 0.0))


def warmup_rule(call_s: float) -> WarmupRule:
    """Windows of 0.2 s, 5 calls or more, that agree to 1 %; of one call, to 5 %, where it takes 0.5 s."""
    return WarmupRule(1, 0.05) if call_s >= SLOW_CALL_S else WarmupRule(max(5, _calls_in(WINDOW_S, call_s)), 0.01)


def expected_half_width(
    launches: int, rounds: float, order: Order, launch_noise: float = LAUNCH_NOISE, round_noise: float = ROUND_NOISE
) -> float:
    """Half the 95 % interval of a log ratio under the given noise; infinite for a single round."""
    of_rounds = round_noise**2 * VARIANCE[order] / (rounds * launches)
    of_launches = 2 * launch_noise**2 / launches
    total = of_rounds + of_launches
    if rounds > 1:
        df = total**2 / (of_rounds**2 / (launches * (rounds - 1)) + of_launches**2 / (LAUNCH_NOISE_DF + launches - 1))
    elif launches > 1:
        df = launches - 1.0
    else:
        return math.inf
    return student_t_quantile(0.975, df) * math.sqrt(total)


def choose_design(
    cells: Sequence[CellCost],
    budget_s: float,
    launch_noise: float = LAUNCH_NOISE,
    round_noise: float = ROUND_NOISE,
    orders: Sequence[Order] = tuple(Order),
    *,
    begun: int = 0,
    rounds: int = 0,
) -> Design:
    """The design with the narrowest expected interval that fits `budget_s`.

    Where not even one launch of 3 rounds fits, that is the design; it exceeds the budget, and `expected_s` says by
    how much.

    Args:
        cells: all that take turns, baseline and controls too.
        budget_s: what is left of it.
        begun, rounds: launches and rounds so far: starts are cheaper, and more of them fit, once cells have lost.

    Raises:
        UsageError: no cell, a cost that is not above zero, or a budget that is not.
    """
    if not cells or any(not (c.visit_s > 0.0 and c.launch_s >= 0.0) for c in cells) or not (budget_s > 0.0 or begun):
        raise UsageError("a design needs at least one cell, visits above 0 s and a budget above 0 s")
    launch_s = sum(cell.launch_s for cell in cells)
    turn_s = sum(cell.visit_s for cell in cells)

    def design(more: int, order: Order, more_rounds: float) -> Design:
        launches, seconds = begun + more, more * launch_s + more_rounds * order.blocks_per_round * turn_s
        each = min(float(MAX_ROUNDS), (rounds + more_rounds) / launches)
        half = expected_half_width(launches, each, order, launch_noise, round_noise)
        return Design(launches, math.floor(each), order, half, seconds)

    candidates = [design(0, orders[0], max(0.0, budget_s) / (orders[0].blocks_per_round * turn_s))] if begun else []
    for order in orders:
        for more in range(1, MAX_LAUNCHES - begun + 1):
            fit = math.floor((budget_s / more - launch_s) / (order.blocks_per_round * turn_s))
            if fit >= (MIN_ROUNDS if begun + more == 1 or begun else 1):
                candidates.append(design(more, order, more * fit))
    return min(
        candidates or [design(1, order, MIN_ROUNDS) for order in orders],
        key=lambda one: one.expected_half_width if candidates else one.expected_s,
    )
