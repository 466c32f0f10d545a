"""Regimes on a simulated clock: closed forms for queues, seeded noise for sustained runs; nothing sleeps."""

from __future__ import annotations

import json
import math
from collections.abc import Callable

import msgspec
import numpy as np
import pytest

from depthport.bench.analysis.regime_analysis import summarize_fixed_rate, wilson_interval
from depthport.bench.plan.regime import frames_in
from depthport.bench.workers.messages import FixedRateResult
from depthport.bench.workers.regimes import host_call, run_fixed_rate
from depthport.exporters.core.errors import UsageError
from tests.support.simulated_clock import MS, SimulatedClock


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
    json.dumps(msgspec.to_builtins(summary), allow_nan=False)


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


# -- the calls of a session ---------------------------------------------------------------------------------


class FakeSession:
    def __init__(self) -> None:
        self.calls: list[str] = []

    def bind(self, inputs: dict[str, str], *, checked: bool = False) -> None:
        self.calls.append(f"bind {inputs['image']}")

    def run(self) -> None:
        self.calls.append("run")

    def synchronize(self) -> None:
        self.calls.append("synchronize")

    def outputs(self) -> dict[str, str]:
        self.calls.append("outputs")
        return {}


def test_a_sample_of_a_session_at_the_host_boundary() -> None:
    inputs = [{"image": "a"}, {"image": "b"}]
    session = FakeSession()
    host_call(session, inputs)(3)  # type: ignore[arg-type]
    assert session.calls == ["bind b", "run", "synchronize", "outputs"]
