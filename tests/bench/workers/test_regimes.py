"""Regimes on a simulated clock: closed forms for queues, seeded noise for sustained runs; nothing sleeps."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from depthport.bench.analysis.regime_analysis import (
    Window,
    find_onset,
    summarize_fixed_rate,
    summarize_sustained,
    wilson_interval,
)
from depthport.bench.workers.regimes import (
    FixedRateResult,
    SustainedResult,
    check_sustained,
    device_call,
    frames_in,
    host_call,
    join,
    run_fixed_rate,
    run_sustained,
)
from depthport.exporters.core.errors import UsageError

MS = 1_000_000


class SimulatedClock:
    """Each read takes `read_ns`; `sleep` ends `oversleep_ns` late; `work` is what a call takes."""

    def __init__(self, read_ns: int = 500, oversleep_ns: int = 0) -> None:
        self.now = 7_000_000_000
        self.read_ns = read_ns
        self.oversleep_ns = oversleep_ns
        self.slept_s = 0.0

    def __call__(self) -> int:
        self.now += self.read_ns
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.slept_s += seconds
        self.now += round(seconds * 1e9) + self.oversleep_ns

    def work(self, milliseconds: Callable[[int], float]) -> Callable[[int], None]:
        def call(index: int) -> None:
            self.now += round(milliseconds(index) * MS)

        return call


def fixed_rate(
    service_ms: Callable[[int], float], rate_hz: float, seconds: float, oversleep_ns: int = 0
) -> FixedRateResult:
    clock = SimulatedClock(oversleep_ns=oversleep_ns)
    return run_fixed_rate(clock.work(service_ms), rate_hz, seconds, clock, clock.sleep)


# -- fixed rate ---------------------------------------------------------------------------------------------


def test_a_cell_that_keeps_up() -> None:
    summary = summarize_fixed_rate(fixed_rate(lambda i: 20.0, 30, 10))
    assert (summary.frames, summary.served, summary.missed) == (300, 300, 0)
    assert summary.keeps_up and summary.worst_lateness_ms == 0
    assert summary.p50_ms == pytest.approx(20.0, abs=0.002)
    assert summary.service_ms == pytest.approx(20.0, abs=0.002)
    assert summary.achieved_hz == pytest.approx(30.0)
    assert summary.timer_late_ms < 0.002
    assert summary.miss_share_ci95[0] == 0.0 and summary.miss_share_ci95[1] == pytest.approx(0.01264, abs=1e-4)
    json.dumps(summary.to_json(), allow_nan=False)


def test_one_stall_delays_the_frames_that_queue_behind_it() -> None:
    # Every 10 ms a frame of 4 ms; frame 10 takes 54: done 44 ms past its deadline, each one after 6 ms less.
    result = fixed_rate(lambda i: 54.0 if i == 10 else 4.0, 100, 1)
    summary = summarize_fixed_rate(result)
    assert summary.missed == 8  # 44, 38, 32, 26, 20, 14, 8, 2 ms; timed from their start only one was slow
    assert summary.worst_lateness_ms == pytest.approx(44.0, abs=0.01)
    assert summary.keeps_up
    latency = [(done - result.due_ns(i)) / MS for i, done in enumerate(result.done_ns)]
    assert latency[9:13] == pytest.approx([4, 54, 48, 42], abs=0.01)
    assert summary.p95_ms == pytest.approx(np.quantile(latency, 0.95))
    assert summary.p99_ms is None  # 100 frames do not carry it


def test_a_cell_twice_too_slow_misses_all_and_never_keeps_up() -> None:
    summary = summarize_fixed_rate(fixed_rate(lambda i: 20.0, 100, 1))
    assert (summary.frames, summary.served, summary.missed) == (100, 50, 100)
    assert not summary.keeps_up
    assert summary.achieved_hz == pytest.approx(50.0, rel=1e-3)
    assert summary.p50_ms is None
    assert summary.miss_share_ci95[1] == 1.0
    # The first frame not served was due at 500 ms, its deadline 10 ms later; the run ended at 1000 ms.
    assert summary.worst_lateness_ms == pytest.approx(max(1000 - 500, 1000 - 510), abs=0.1)


def test_a_call_longer_than_the_run_ends_it() -> None:
    result = fixed_rate(lambda i: 9_000.0, 30, 2)
    summary = summarize_fixed_rate(result)
    assert (summary.frames, summary.served, summary.missed) == (60, 1, 60)
    assert summary.worst_lateness_ms == pytest.approx(9_000 - 1000 / 30, abs=0.1)


@pytest.mark.parametrize("seed", range(5))
def test_frames_follow_lindleys_recursion(seed: int) -> None:
    rng = np.random.default_rng(seed)
    service = rng.gamma(2.0, 4.5, 500)
    result = fixed_rate(lambda i: float(service[i]), 100, 5)
    free = 0.0
    for frame, done in enumerate(result.done_ns):
        free = max(frame * 10.0, free) + service[frame]
        assert (done - result.origin_ns) / MS == pytest.approx(free, abs=1.0)  # clock reads add up in a queue


def test_the_last_stretch_before_a_frame_is_spun_so_a_late_timer_costs_nothing() -> None:
    summary = summarize_fixed_rate(fixed_rate(lambda i: 5.0, 30, 5, oversleep_ns=800_000))
    assert summary.timer_late_ms < 0.002
    worse = summarize_fixed_rate(fixed_rate(lambda i: 5.0, 30, 5, oversleep_ns=3 * MS))
    assert worse.timer_late_ms == pytest.approx(2.0, abs=0.01)  # and where it does cost, it is said


@pytest.mark.parametrize(("rate_hz", "seconds"), [(0, 1), (-30, 1), (math.nan, 1), (30, 0), (30, math.inf), (0.1, 5)])
def test_impossible_rates_are_refused(rate_hz: float, seconds: float) -> None:
    with pytest.raises(UsageError):
        frames_in(rate_hz, seconds)


def test_frames_whose_deadline_is_within_the_time() -> None:
    assert frames_in(30, 10) == 300
    assert frames_in(29.97, 100) == 2997
    assert frames_in(1, 1.999) == 1


def test_wilson_against_published_values() -> None:
    # Newcombe 1998 (Statistics in Medicine 17:857), table I, method 3
    for hits, n, low, high in [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611)]:
        assert wilson_interval(hits, n) == pytest.approx((low, high), abs=5e-5)
    assert wilson_interval(29, 29)[1] == 1.0
    with pytest.raises(UsageError):
        wilson_interval(3, 2)


# -- sustained ----------------------------------------------------------------------------------------------


def test_a_sustained_run_ends_with_the_sample_in_flight() -> None:
    clock = SimulatedClock()
    result = run_sustained(clock.work(lambda i: 30.0), 1.0, clock)
    assert len(result.start_ns) == 34  # the 34th began at 990 ms
    assert result.sample_ns[0] == pytest.approx(30 * MS, abs=2000)


def test_a_call_longer_than_the_run_is_still_one_sample() -> None:
    clock = SimulatedClock()
    assert len(run_sustained(clock.work(lambda i: 5_000.0), 1.0, clock).sample_ns) == 1


def test_binding_is_outside_the_samples_and_indices_go_on() -> None:
    clock = SimulatedClock()
    seen: list[int] = []

    def bind(index: int) -> None:
        seen.append(index)
        clock.now += 20 * MS

    result = run_sustained(clock.work(lambda i: 30.0), 0.2, clock, bind, first_index=7, calls_per_sample=3)
    assert seen[:4] == [7, 8, 9, 10]
    assert max(result.sample_ns) < 30.1 * MS
    assert summarize_sustained(result).windows[0].median_ms == pytest.approx(10.0, abs=0.01)


def test_parts_join_in_order_only() -> None:
    first, second = SustainedResult([1, 5], [4, 4]), SustainedResult([9], [4])
    assert join([first, second]) == SustainedResult([1, 5, 9], [4, 4, 4])
    with pytest.raises(UsageError, match="order"):
        join([second, first])
    with pytest.raises(UsageError, match="calls per sample"):
        join([first, SustainedResult([9], [4], calls_per_sample=2)])


def test_a_sustained_run_takes_ten_minutes() -> None:
    check_sustained(600)
    for seconds in (599.0, math.nan, math.inf):
        with pytest.raises(UsageError, match="at least 600 s"):
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
    json.dumps(summary.to_json(), allow_nan=False)


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


# -- the calls of a session ---------------------------------------------------------------------------------


class FakeSession:
    def __init__(self) -> None:
        self.calls: list[str] = []

    def bind(self, inputs: dict[str, str]) -> None:
        self.calls.append(f"bind {inputs['image']}")

    def run(self) -> None:
        self.calls.append("run")

    def synchronize(self) -> None:
        self.calls.append("synchronize")

    def outputs(self) -> dict[str, str]:
        self.calls.append("outputs")
        return {}


def test_samples_of_a_session_at_both_boundaries() -> None:
    inputs = [{"image": "a"}, {"image": "b"}]
    session = FakeSession()
    host_call(session, inputs)(3)  # type: ignore[arg-type]
    assert session.calls == ["bind b", "run", "synchronize", "outputs"]
    session.calls.clear()
    prepare, call = device_call(session, inputs, calls=2)  # type: ignore[arg-type]
    prepare(2)
    call(2)
    assert session.calls == ["bind a", "synchronize", "run", "run", "synchronize"]
