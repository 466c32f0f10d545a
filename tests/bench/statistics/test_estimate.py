"""Estimates over launches and batches, by hand and by property."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from depthport.bench.statistics.estimate import (
    SURPRISED_DF,
    Estimate,
    difference,
    estimate_log_latency,
    estimate_log_ratio,
    estimate_ratio,
    paired_rounds,
    round_table,
)
from depthport.bench.statistics.guess import ERROR
from depthport.bench.statistics.replicates import LAUNCH_NOISE, LAUNCH_NOISE_DF
from depthport.bench.statistics.samples import Block, CellSamples
from depthport.bench.statistics.verdict import Verdict, judge
from depthport.exporters.core.errors import UsageError

settings.register_profile("any machine", deadline=None)  # time is no test result
settings.load_profile("any machine")


def cell(name: str, table: Mapping[int, Sequence[Sequence[Sequence[float]]]], warmup: int = 0) -> CellSamples:
    """`table` is launch -> list of rounds -> list of blocks -> list of samples."""
    blocks = [
        Block(launch, index, np.array(samples, dtype=float), warmup)
        for launch, rounds in table.items()
        for index, round_blocks in enumerate(rounds)
        for samples in round_blocks
    ]
    return CellSamples(name, tuple(blocks))


def pairs_of(baseline: CellSamples, other: CellSamples) -> list[NDArray[np.float64]]:
    return paired_rounds(round_table(baseline), round_table(other))[0]


def test_ratio_of_launch_means_by_hand() -> None:
    e = math.e
    baseline = cell("b", {0: [[[e**2]], [[e**4]]], 1: [[[e**5]], [[e**7]]], 2: [[[e]], [[e]]]})
    other = cell("c", {0: [[[e]], [[e]]], 1: [[[e]], [[e]]], 2: [[[e]], [[e**2]]]})
    found = estimate_log_ratio(baseline, other)
    # launch means of log ratios: (1 + 3) / 2 = 2, (4 + 6) / 2 = 5, (0 - 1) / 2 = -0.5
    means = np.array([2.0, 5.0, -0.5])
    rounds = (2.0 + 2.0 + 0.5) / 3  # pooled variance of a round, 1 degree of freedom a launch
    beyond = means.var(ddof=1) - rounds / 2
    # far more than expected: the prior is worth one degree of freedom
    launches = (SURPRISED_DF * 2 * LAUNCH_NOISE**2 + 2 * beyond) / (SURPRISED_DF + 2)
    assert found is not None
    assert found.log == pytest.approx(means.mean())
    assert found.standard_error == pytest.approx(math.sqrt((launches + rounds / 2) / 3))
    total, of_rounds, of_launches = (launches + rounds / 2) / 3, rounds / 6, launches / 3
    df = total**2 / (of_rounds**2 / 3 + of_launches**2 / (SURPRISED_DF + 2))
    assert found.df == pytest.approx(df) and (found.n_launches, found.n_rounds) == (3, 6)
    low, high = found.interval() or (0, 0)
    assert found.half_width == pytest.approx((high - low) / 2)


def test_launches_weigh_by_their_rounds() -> None:
    few, many = np.array([0.1, 0.3]), np.full(20, 0.0)
    many[::2] = 0.01
    found = estimate_ratio([few, many])
    assert 0.0 < found.log < 0.1


def test_one_launch_keeps_what_is_known_of_others() -> None:
    still = estimate_ratio([np.full(50, 0.7)])
    assert still.log == pytest.approx(0.7)
    assert still.standard_error == pytest.approx(math.sqrt(2) * LAUNCH_NOISE)
    assert still.df == pytest.approx(LAUNCH_NOISE_DF)


def test_nothing_is_known_beforehand_of_two_in_one_process() -> None:
    rounds = np.array([0.1, 0.2, 0.3])
    found = estimate_ratio([rounds], launch_noise=0.0)
    assert found.standard_error == pytest.approx(0.1 / math.sqrt(3)) and found.df == pytest.approx(2.0)
    still = estimate_ratio([np.full(5, 0.7)], launch_noise=0.0)
    assert still.log == pytest.approx(0.7) and still.standard_error == pytest.approx(0.0)


def test_rounds_of_one_each_have_their_own_spread_alone() -> None:
    found = estimate_ratio([np.array([value]) for value in (0.1, 0.2, 0.4)])
    assert found.standard_error == pytest.approx(np.std([0.1, 0.2, 0.4], ddof=1) / math.sqrt(3))
    assert found.df == 2.0


def test_ratios_are_of_calm_times_and_latencies_of_all() -> None:
    waited = CellSamples("a", tuple(Block(0, i, np.array([20.0]), calm=0.5) for i in range(3)))
    other = cell("b", {0: [[[10.0]]] * 3})
    found = estimate_log_ratio(waited, other)
    assert found is not None and found.log == pytest.approx(0.0)
    assert estimate_log_latency(waited).log == pytest.approx(math.log(20.0))


def test_rounds_weigh_by_how_little_their_blocks_waited() -> None:
    quiet, struck = [Block(0, i, np.array([10.0])) for i in range(6)], Block(0, 6, np.array([40.0]), calm=0.5)
    ours = CellSamples("a", (*quiet, struck, Block(0, 7, np.array([40.0]), calm=0.5)))
    theirs = cell("b", {0: [[[10.0]]] * 8})
    (ratios,), (waited,), _ = paired_rounds(round_table(ours, calm=True), round_table(theirs, calm=True))
    assert waited.tolist() == [0.0] * 6 + [0.5] * 2
    found = estimate_log_ratio(ours, theirs)
    assert found is not None and abs(found.log) < 0.01 < abs(ratios.mean())


def test_blocks_count_by_their_median_and_warmups_do_not() -> None:
    baseline = cell("b", {0: [[[99.0, 4.0, 4.0, 1e6]], [[99.0, 4.0, 4.0, 4.0]]]}, warmup=1)
    other = cell("c", {0: [[[99.0, 2.0]], [[99.0, 2.0]]]}, warmup=1)
    (pairs,) = pairs_of(baseline, other)
    assert pairs == pytest.approx([math.log(2.0)] * 2)


def test_a_straight_drift_cancels_in_a_mirrored_round() -> None:
    # turns A B B A at times 0..3, log latency rises by 0.1 a turn; the true ratio is 1
    at = [math.exp(0.1 * t) for t in range(4)]
    found = estimate_log_ratio(cell("a", {0: [[[at[0]], [at[3]]]]}), cell("b", {0: [[[at[1]], [at[2]]]]}))
    assert found is not None
    assert found.log == pytest.approx(0.0, abs=1e-15)


def test_half_a_mirrored_round_is_left_out() -> None:
    whole = [[2.0], [2.0]]
    baseline = cell("b", {0: [whole, whole, [[8.0]]]})
    other = cell("c", {0: [[[1.0], [1.0]], [[1.0]], [[1.0]]]})
    assert [len(pairs) for pairs in pairs_of(baseline, other)] == [1]


def test_a_random_round_has_one_block() -> None:
    baseline, other = cell("b", {0: [[[2.0]], [[2.0]]]}), cell("c", {0: [[[1.0]], [[1.0]]]})
    assert [len(pairs) for pairs in pairs_of(baseline, other)] == [2]


def test_a_block_still_warming_up_takes_its_round_out() -> None:
    warm = Block(0, 0, np.array([9.0, 9.0]), 2)
    baseline = CellSamples("b", (warm, Block(0, 1, np.array([2.0])), Block(0, 2, np.array([2.0]))))
    other = cell("c", {0: [[[1.0]], [[1.0]], [[1.0]]]})
    assert [len(pairs) for pairs in pairs_of(baseline, other)] == [2]


def test_only_shared_launch_sets_are_paired() -> None:
    baseline = cell("b", {0: [[[2.0]]], 1: [[[2.0]]], 3: [[[2.0]]]})
    assert len(pairs_of(baseline, cell("c", {1: [[[1.0]]], 2: [[[1.0]]], 3: [[[1.0]]]}))) == 2
    assert estimate_log_ratio(baseline, cell("c", {2: [[[1.0]]]})) is None
    assert estimate_log_ratio(baseline, CellSamples("c", ())) is None


def test_one_round_has_no_spread() -> None:
    found = estimate_log_ratio(cell("b", {0: [[[2.0]]]}), cell("c", {0: [[[1.0]]]}))
    assert found is not None
    assert found.log == pytest.approx(math.log(2.0))
    assert (found.standard_error, found.df, found.interval(), found.half_width, found.p_value) == (None,) * 5


def test_one_launch_uses_its_rounds() -> None:
    found = estimate_log_ratio(cell("b", {0: [[[1.0]], [[math.e]]]}), cell("c", {0: [[[1.0]], [[1.0]]]}))
    assert found is not None
    assert (found.log, found.standard_error) == pytest.approx((0.5, math.hypot(0.5, math.sqrt(2) * LAUNCH_NOISE)))


def test_constant_samples_give_an_interval_of_no_width() -> None:
    found = estimate_log_ratio(cell("b", {i: [[[4.0]]] for i in range(3)}), cell("c", {i: [[[2.0]]] for i in range(3)}))
    assert found is not None
    assert found.interval() == pytest.approx((math.log(2), math.log(2)))
    assert found.p_value == 0.0


def test_the_rounds_of_a_short_launch_are_replicates_with_a_wider_error() -> None:
    shared = 0.9**4
    alone = cell("c", {0: [[[1.0]], [[math.e]], [[math.e]], [[1.0]]]})
    found = estimate_log_latency(replace(alone, round_blocks=4.0))
    assert (found.log, found.df) == (0.5, 3.0)
    assert found.standard_error == pytest.approx(math.sqrt(1 / 12 * (1 + shared) / (1 - shared)))


def test_what_a_guess_may_be_wrong_by_is_in_the_interval() -> None:
    rounds, waited, doubt = np.full(16, 0.5) + np.tile([0.01, -0.01], 8), np.full(16, 0.4), np.full(16, 0.3)
    quiet, exact = estimate_ratio([rounds]), estimate_ratio([rounds], waited=[waited])
    assert exact.standard_error == quiet.standard_error
    busy = estimate_ratio([rounds], waited=[waited], doubt=[doubt])
    assert busy.log == pytest.approx(quiet.log)
    assert busy.standard_error == pytest.approx(math.hypot(quiet.standard_error or 0.0, 0.3))
    assert busy.df == pytest.approx(LAUNCH_NOISE_DF, rel=0.02)
    single = estimate_ratio([np.array([log]) for log in (0.4, 0.5, 0.6)], doubt=[np.array([0.3])] * 3)
    assert (single.standard_error or 0.0) > 0.3


def test_the_doubt_of_a_round_is_that_of_both_cells_blocks() -> None:
    ours, theirs = (
        CellSamples(name, tuple(Block(0, 0, np.array([1e6]), calm=1.0 - 2 * share, doubt=share) for share in shares))
        for name, shares in (("a", (0.1, 0.3)), ("b", (0.0, 0.0)))
    )
    _, (waited,), (doubt,) = paired_rounds(round_table(ours, calm=True), round_table(theirs, calm=True))
    assert waited.tolist() == pytest.approx([0.6]) and doubt.tolist() == pytest.approx([0.2 * ERROR])


@pytest.mark.parametrize("quiet", [(0, 0), (1, 2), (0, 6)])
def test_a_guess_does_the_same_to_both_cells_of_one_process(quiet: tuple[int, int]) -> None:
    # Threads that spin: calm times are too short by 3 a share. One cell has quiet blocks enough to tell, the other too few.
    def one(name: str, quiet_blocks: int) -> CellSamples:
        shares = [0.0] * quiet_blocks + [0.2] * (40 - quiet_blocks)
        clock = [1e6 * math.exp(0.01 * (turn % 2) - 3.0 * share) / (1.0 - 2.0 * share) for turn, share in enumerate(shares)]
        blocks = (
            Block(0, turn // 2, np.array([ns]), calm=1.0 - 2.0 * share, doubt=share)
            for turn, (ns, share) in enumerate(zip(clock, shares, strict=True))
        )
        return CellSamples(name, tuple(blocks))

    found = judge(estimate_log_ratio(one("a", quiet[0]), one("b", quiet[1]), launch_noise=0.0))
    assert found.estimate is not None and abs(found.estimate.log) < 0.02
    assert found.verdict not in (Verdict.FASTER, Verdict.SLOWER)


def test_a_burst_in_one_round_of_a_launch_does_not_move_its_ratio() -> None:
    calm = {i: [[[4.0]] for _ in range(8)] for i in range(3)}
    struck = {**calm, 1: [[[9.0]], *calm[1][1:]]}
    found = estimate_log_ratio(cell("b", struck), cell("c", calm))
    assert found is not None
    assert found.log == 0.0
    assert found.standard_error == pytest.approx(LAUNCH_NOISE * math.sqrt(2 / 3), rel=0.2)


def test_latency_of_a_cell() -> None:
    found = estimate_log_latency(cell("c", {0: [[[1.0], [math.e**2]]], 1: [[[math.e**3]]]}))
    assert found.log == pytest.approx(2.0) and found.df == 1.0
    assert found.standard_error == pytest.approx(1.0)
    with pytest.raises(UsageError, match="cell c has no steady sample"):
        estimate_log_latency(CellSamples("c", ()))


def test_welch_by_hand() -> None:
    found = difference(Estimate(3.0, 3.0, 4.0, 5, 10), Estimate(1.0, 4.0, 9.0, 10, 20))
    assert (found.log, found.standard_error, found.n_launches, found.n_rounds) == (2.0, 5.0, 5, 10)
    assert found.df == pytest.approx(625 / (81 / 4 + 256 / 9))


def test_welch_edges() -> None:
    still = Estimate(1.0, 0.0, 2.0, 3, 3)
    assert difference(still, still).df == 4.0
    assert difference(still, Estimate(1.0, None, None, 1, 1)).interval() is None


@given(st.floats(1e-6, 10), st.floats(1e-6, 10), st.floats(1, 50), st.floats(1, 50))
def test_welch_degrees_lie_between_the_smaller_and_the_sum(
    error_a: float, error_b: float, df_a: float, df_b: float
) -> None:
    df = difference(Estimate(0.0, error_a, df_a, 2, 2), Estimate(0.0, error_b, df_b, 2, 2)).df
    assert df is not None
    assert min(df_a, df_b) * (1 - 1e-9) <= df <= (df_a + df_b) * (1 + 1e-9)


positive = st.floats(1.0, 1e9)


@given(st.lists(st.tuples(positive, positive), min_size=2, max_size=8), positive, positive)
def test_swapping_cells_flips_the_sign_and_units_cancel(
    pairs: list[tuple[float, float]], unit: float, scale: float
) -> None:
    a = cell("a", {i: [[[x]]] for i, (x, _) in enumerate(pairs)})
    b = cell("b", {i: [[[y]]] for i, (_, y) in enumerate(pairs)})
    scaled = cell("b", {i: [[[y * unit]]] for i, (_, y) in enumerate(pairs)})
    scaled_a = cell("a", {i: [[[x * unit]]] for i, (x, _) in enumerate(pairs)})
    ab, ba, same = estimate_log_ratio(a, b), estimate_log_ratio(b, a), estimate_log_ratio(scaled_a, scaled)
    assert ab is not None
    assert ba is not None
    assert same is not None
    assert ab.log == pytest.approx(-ba.log, abs=1e-12)
    assert ab.standard_error == pytest.approx(ba.standard_error, abs=1e-12)
    assert ab.log == pytest.approx(same.log, abs=1e-9)


def test_p_value_against_scipy() -> None:
    stats = pytest.importorskip("scipy.stats")
    values = [0.01, -0.02, 0.05, 0.04]
    ours = estimate_log_ratio(
        cell("b", {i: [[[math.exp(v)]]] for i, v in enumerate(values)}), cell("c", {i: [[[1.0]]] for i in range(4)})
    )
    theirs = stats.ttest_1samp(values, 0.0)
    interval = theirs.confidence_interval(0.95)
    assert ours is not None
    assert ours.p_value == pytest.approx(theirs.pvalue)
    assert ours.interval() == pytest.approx((interval.low, interval.high))


@given(st.lists(st.lists(st.floats(1.0, 1e9), min_size=1, max_size=7), min_size=1, max_size=5))
def test_a_block_counts_by_its_median(blocks: list[list[float]]) -> None:
    ((_, rounds),) = round_table(cell("c", {0: [blocks]})).items()
    assert rounds[0].blocks == len(blocks)
    assert rounds[0].log == pytest.approx(np.mean([math.log(float(np.median(block))) for block in blocks]), abs=1e-12)
