"""Sums of real runs whose right answer is known."""

from __future__ import annotations

import pytest

from depthport.bench.studies.verdicts import cpu_slots, summary, wilson


def test_wilson() -> None:
    # Wilson 1927; the figures of statsmodels' proportion_confint(3, 20, method="wilson") and of (0, 20)
    assert wilson(3, 20) == pytest.approx((0.0523687, 0.3604184), abs=1e-4)
    assert wilson(0, 20) == pytest.approx((0.0, 0.1611252), abs=1e-4)


def test_a_row_for_each_build_under_each_load() -> None:
    common = {"kind": "controls", "size": "70x98", "budget": 30.0, "load": "busy", "wall_s": 31.0}
    lines = [
        {**common, "package": "new", "aa": "faster", "aa_half_width": 0.01, "plus5": "slower"},
        {**common, "package": "new", "aa": "equivalent", "aa_half_width": 0.03, "plus5": "inconclusive"},
        {**common, "package": "old", "aa": "inconclusive", "aa_half_width": None, "plus5": "slower"},
    ]
    head, _, new, old = summary(lines)
    cells = dict(zip(head.split("|"), new.split("|"), strict=True))
    assert cells[" A/A ± "] == " 2.00% (1.00%–3.00%) "
    assert cells[" A/A false "] == " 1 (9%–91%) " == cells[" +5 % found "]
    assert "| old | 1 |" in old and "| – |" in old


def test_runs_at_once_share_no_core() -> None:
    assert cpu_slots({0, 1, 2}, 1) == [{0, 1, 2}]
    with pytest.raises(SystemExit, match="physical cores, not"):
        cpu_slots({0, 1}, 100)
