"""When a cell and when a run has been timed enough."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from depthport.bench.statistics.estimate import Estimate, Round, RoundTable
from depthport.bench.statistics.stopping import ERROR, error_at, look_number, lost, narrow, surely_slower


def table(log: Sequence[float]) -> RoundTable:
    return {0: {i: Round(value, 1) for i, value in enumerate(log)}}


def noisy(log: float, rounds: int, seed: int, noise: float = 0.01) -> RoundTable:
    return table((log + noise * np.random.default_rng(seed).standard_normal(rounds)).tolist())


def test_looks_are_further_and_further_apart() -> None:
    looks = {rounds: number for rounds in range(100) if (number := look_number(rounds))}
    assert looks == {4: 1, 6: 2, 8: 3, 12: 4, 16: 5, 24: 6, 32: 7, 48: 8, 64: 9, 96: 10}


def test_all_tests_together_spend_the_error() -> None:
    spent = sum(4 * error_at(look, 4) for look in range(1, 10_000))
    assert ERROR * 0.999 < spent <= ERROR


def test_the_slow_are_out_and_the_leader_and_the_near_stay() -> None:
    cells = {"leader": noisy(-1.0, 12, 1), "near": noisy(-0.99, 12, 2), "slow": noisy(-0.5, 12, 3)}
    assert lost(cells, noisy(0.0, 12, 0), look=4, margin=0.02) == ["slow"]
    assert lost(cells, noisy(0.0, 12, 0), look=4, margin=0.02, wrong={"leader"}) == ["slow"]
    cells["slow"] = noisy(-0.9, 12, 3)
    assert lost(cells, noisy(0.0, 12, 0), look=4, margin=0.02, wrong={"leader", "near"}) == []
    assert lost({}, noisy(0.0, 12, 0), look=4, margin=0.02) == []


def test_a_single_round_puts_nothing_out() -> None:
    cells = {"leader": table([-1.0]), "slow": table([1.0])}
    assert lost(cells, table([0.0]), look=1, margin=0.02) == []


def test_a_cell_is_slower_beyond_the_margin_only() -> None:
    leader = noisy(0.0, 24, 0, noise=0.001)
    assert not surely_slower(noisy(0.03, 24, 1, noise=0.001), leader, 0.001, margin=0.02)
    assert surely_slower(noisy(0.10, 24, 1, noise=0.001), leader, 0.001, margin=0.02)


def estimate(error: float, rounds: int = 24) -> Estimate:
    return Estimate(0.0, error, 100.0, 1, rounds)


def test_a_run_ends_when_every_interval_is_narrow() -> None:
    assert narrow([estimate(0.001), estimate(0.002)], 0.01)
    assert not narrow([estimate(0.001), estimate(0.02)], 0.01)
    assert not narrow([estimate(0.001), None], 0.01)
    assert not narrow([Estimate(0.0, None, None, 1, 24)], math.inf)
    assert not narrow([], 0.01)
    assert not narrow([estimate(0.001, rounds=6)], 0.01)
