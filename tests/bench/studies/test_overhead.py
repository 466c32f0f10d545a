"""The overhead script measures what it says; how fast this machine is decides nothing here."""

from __future__ import annotations

from typing import Literal

import pytest

from depthport.bench.studies.overhead import (
    BOUNDARIES,
    OVER,
    UNKNOWN,
    WITHIN,
    WORK_US,
    Overhead,
    measure,
    report,
    telemetry_ms,
)


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_a_row_is_measured_by_the_workers_own_code(boundary: Literal["device", "host", "both"]) -> None:
    found = measure(boundary, work_us=50, rounds=20)
    low, high = found.figure_ci95_us
    assert low <= high
    assert found.bare_us >= 50  # the fake call spins for that long
    assert found.around_us >= found.figure_us


@pytest.mark.parametrize(
    ("bare_us", "ci95_us", "limit_us", "verdict"),
    [
        (100.0, (1.0, 19.0), 20.0, WITHIN),
        (100.0, (21.0, 30.0), 20.0, OVER),
        (100.0, (-500.0, 900.0), 20.0, UNKNOWN),
        (100_000.0, (40.0, 90.0), 100.0, WITHIN),
    ],
)
def test_the_bound_is_20_us_or_a_thousandth(
    bare_us: float, ci95_us: tuple[float, float], limit_us: float, verdict: str
) -> None:
    found = Overhead("host", bare_us, sum(ci95_us) / 2, ci95_us, 0.0, 0.0)
    assert found.limit_us == limit_us
    assert found.verdict == verdict


def test_the_report_has_a_row_for_each_boundary_and_length(monkeypatch: pytest.MonkeyPatch) -> None:
    import depthport.bench.studies.overhead as overhead

    def row(boundary: str, work_us: int, rounds: int) -> Overhead:
        ci95 = (-9.0, 99.0) if (boundary, work_us) == ("host", 1_000) else (0.5, 1.5)
        return Overhead(boundary, float(work_us), 1.0, ci95, 0.5, 5.0)

    monkeypatch.setattr(overhead, "measure", row)
    monkeypatch.setattr(overhead, "telemetry_ms", lambda: {"before": (0.5, 0.9)})
    lines = list(report(20))
    assert len(lines) == 1 + len(BOUNDARIES) * len(WORK_US) + 2
    assert lines[-1] == f"overhead: {UNKNOWN}"


def test_telemetry_is_timed_with_real_parked_processes() -> None:
    figures = telemetry_ms(visits=3, parked=2)
    assert set(figures) == {"before", "after"}
    assert all(0 < median <= p95 for median, p95 in figures.values())
