"""A run at full speed for minutes: windows, throttling, onset."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Sequence

import msgspec
import numpy as np
import pytest

from depthport.bench.analysis.regime_analysis import find_onset, summarize_sustained
from depthport.bench.plan.regime import check_sustained
from depthport.bench.results.regimes import Window
from depthport.bench.workers.messages import SustainedResult
from depthport.bench.workers.regimes import join, run_sustained
from depthport.exporters.core.errors import UsageError
from tests.support.simulated_clock import MS, SimulatedClock


def test_a_sustained_run_ends_with_the_sample_in_flight() -> None:
    clock = SimulatedClock()
    result = run_sustained(clock.work(lambda i: 30.0), 1.0, clock)
    assert len(result.start_ns) == 34  # the 34th began at 990 ms
    assert result.sample_ns[0] == pytest.approx(30 * MS, abs=2000)


def test_a_call_longer_than_the_run_is_still_one_sample() -> None:
    clock = SimulatedClock()
    assert len(run_sustained(clock.work(lambda i: 5_000.0), 1.0, clock).sample_ns) == 1


def test_indices_go_on_from_part_to_part() -> None:
    clock = SimulatedClock()
    seen: list[int] = []
    work = clock.work(lambda i: 30.0)

    def note(index: int) -> None:
        seen.append(index)
        work(index)

    run_sustained(note, 0.2, clock, first_index=7)
    assert seen[:4] == [7, 8, 9, 10]


def test_parts_join_in_order_only() -> None:
    first, second = SustainedResult([1, 5], [4, 4]), SustainedResult([9], [4])
    assert join([first, second]) == SustainedResult([1, 5, 9], [4, 4, 4])
    with pytest.raises(UsageError, match="order"):
        join([second, first])


def test_a_sustained_run_takes_ten_minutes() -> None:
    check_sustained(600)
    for seconds in (599.0, math.nan, math.inf):
        with pytest.raises(UsageError, match=r"at least 600 s|--minutes is (nan|inf)"):
            check_sustained(seconds)


def simulated(seconds: float, latency_ms: Callable[[float], float], noise: float, seed: int) -> SustainedResult:
    """Back-to-back samples with AR(1) noise at 0.9 around a latency that depends on time in s."""
    rng = np.random.default_rng(seed)
    now, state = 0.0, 0.0
    starts, samples = [], []
    for innovation in itertools.repeat(rng.standard_normal):
        if now >= seconds:
            break
        state = 0.9 * state + math.sqrt(1 - 0.81) * innovation()
        ms = latency_ms(now) * math.exp(noise * state)
        starts.append(round(now * 1e9))
        samples.append(round(ms * MS))
        now += ms / 1e3
    return SustainedResult(starts, samples)


def test_throttling_after_four_minutes_is_found_and_sized() -> None:
    result = simulated(600, lambda t: 100.0 if t < 240 else 125.0, 0.02, seed=1)
    summary = summarize_sustained(result)
    assert summary.onset is not None
    assert summary.onset.start_s == pytest.approx(240, abs=10)
    assert summary.onset.ratio == pytest.approx(1.25, rel=0.02)
    assert summary.ratio is not None and summary.ratio_ci95 is not None
    assert summary.ratio_ci95[0] < 1.25 < summary.ratio_ci95[1]
    assert summary.first_ms == pytest.approx(100, rel=0.02)
    assert summary.last_ms == pytest.approx(125, rel=0.02)
    assert len(summary.windows) == 60
    json.dumps(msgspec.to_builtins(summary), allow_nan=False)


def test_the_drop_from_boost_within_the_first_minute_is_found() -> None:
    summary = summarize_sustained(simulated(600, lambda t: 100.0 if t < 30 else 130.0, 0.02, seed=2))
    assert summary.onset is not None
    assert summary.onset.start_s == pytest.approx(30, abs=10)


def test_a_chip_that_warms_up_slowly_gets_an_onset_on_its_way() -> None:
    result = simulated(600, lambda t: 100 * (1 + 0.15 * -math.expm1(-t / 90)), 0.01, seed=3)
    summary = summarize_sustained(result)
    assert summary.onset is not None and 20 <= summary.onset.start_s <= 180
    assert summary.ratio is not None and 1.05 < summary.ratio < 1.15


def test_noise_is_no_onset_and_the_edge_ratio_covers_the_truth() -> None:
    runs = [summarize_sustained(simulated(600, lambda t: 500.0, 0.03, seed)) for seed in range(200)]
    assert sum(run.onset is not None for run in runs) <= 2
    covered = sum(run.ratio_ci95[0] <= 1 <= run.ratio_ci95[1] for run in runs if run.ratio_ci95)
    assert covered >= 184  # of 200: a 95 % interval has fewer in 2 of 100 draws; Welch's t on the edges alone covers 175


def test_calls_of_nine_seconds_get_windows_of_three_samples() -> None:
    summary = summarize_sustained(simulated(600, lambda t: 9_000.0, 0.01, seed=4))
    assert summary.window_s == pytest.approx(27, rel=0.02)
    assert summary.edge_s == pytest.approx(81, rel=0.02)
    assert {window.n for window in summary.windows} <= {2, 3, 4, 5, 6}
    assert summary.ratio is not None


def test_a_short_run_has_windows_but_no_first_and_last_minute() -> None:
    summary = summarize_sustained(simulated(60, lambda t: 50.0, 0.01, seed=5))
    assert len(summary.windows) == 6
    assert (summary.first_ms, summary.last_ms, summary.ratio, summary.ratio_ci95) == (None,) * 4
    with pytest.raises(UsageError, match="without a sample"):
        summarize_sustained(SustainedResult())


def windows(medians: Sequence[float]) -> tuple[Window, ...]:
    return tuple(Window(10.0 * i, 9, ms, ms) for i, ms in enumerate(medians))


def test_onset_needs_a_rise_that_lasts() -> None:
    assert find_onset(windows([10] * 20)) is None
    assert find_onset(windows([10] * 10 + [14] + [10] * 10)) is None  # one bad window
    assert find_onset(windows([14] * 10 + [10] * 10)) is None  # it became faster
    assert find_onset(windows([10] * 10 + [10.2] * 10)) is None  # 2 %
    assert find_onset(windows([10, 10, 14, 14])) is None  # too few
    found = find_onset(windows([10] * 4 + [14] * 3))
    assert found is not None and (found.start_s, round(found.ratio, 3)) == (40.0, 1.4)
