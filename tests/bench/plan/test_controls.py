"""Which cell a run repeats."""

from __future__ import annotations

from dataclasses import replace

from depthport.bench.plan.cells import CellSpec
from depthport.bench.plan.controls import PLUS5, control_subject, controls_of, repeated
from depthport.exporters.core.artifact import Shape
from tests.support.requests import request_for

BASE = CellSpec(export=request_for(Shape(1, 1, 14, 14)), runtime="pytorch", device="cpu", mode="upstream", baseline=True)
COMPILED, SLOW, FAST = (replace(BASE, mode=mode, baseline=False) for mode in ("compile", "slow", "fast"))


def test_the_cheapest_cell_is_repeated() -> None:
    cells = [BASE, COMPILED, SLOW, FAST]
    assert control_subject(cells, {BASE.id: 1.0, COMPILED.id: 90.0, SLOW.id: 9.0, FAST.id: 4.0}) is FAST
    assert control_subject(cells, {COMPILED.id: 90.0, SLOW.id: 9.0}) is SLOW  # the fast one has failed
    assert control_subject(cells, {}) is SLOW
    assert control_subject([BASE], {}) is BASE


def test_a_control_is_told_by_the_cell_that_it_repeats() -> None:
    aa, plus5 = controls_of(FAST)
    assert repeated([BASE, SLOW, FAST], {SLOW.id, aa.id}) is FAST
    assert repeated([BASE, SLOW, FAST], {SLOW.id, aa.id}, PLUS5) is None
    assert repeated([BASE, SLOW, FAST], {plus5.id}, PLUS5) is FAST
