"""Looks at a run while it goes on, on journals of invented blocks."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from depthport.bench.analysis.looks import take_look
from depthport.bench.plan.cells import CellSpec
from depthport.bench.plan.controls import AA, PLUS5
from depthport.bench.plan.protocol import RIGOROUS
from depthport.bench.results.journal import Journal
from depthport.bench.results.records import Eliminated, TimedBlock
from depthport.bench.statistics.guess import ERROR
from depthport.exporters.core.artifact import Shape
from tests.support.requests import request_for

BASE = CellSpec(export=request_for(Shape(1, 1, 14, 14)), runtime="pytorch", device="cpu", mode="upstream", baseline=True)
FAST, SLOW = (replace(BASE, runtime="onnxruntime", mode=mode, baseline=False) for mode in ("fast", "slow"))
CONTROLS = [FAST.with_tag(tag, tag) for tag in (AA, PLUS5)]
MS = {BASE.id: 10.0, FAST.id: 4.0, SLOW.id: 6.0, CONTROLS[0].id: 4.0, CONTROLS[1].id: 4.2}
REPEATED = [SLOW.with_tag(tag, tag) for tag in (AA, PLUS5)]
SLOW_FIRST = {BASE.id: 10.0, SLOW.id: 6.0, FAST.id: 4.0, REPEATED[0].id: 6.0, REPEATED[1].id: 6.3}


def journal_of(
    path: Path,
    rounds: int,
    cells: Mapping[str, float] = MS,
    calm: float | None = None,
    noise: float = 0.002,
    doubt: float = 0,
) -> Journal:
    path.mkdir(exist_ok=True)
    journal = Journal(path / "journal.jsonl")
    draw = np.random.default_rng(0)
    for number in range(rounds):
        for visit, (cell, ms) in enumerate(cells.items()):
            ns = int(ms * 1e6 * math.exp(noise * draw.standard_normal()) / (calm or 1.0))
            journal.append(
                TimedBlock(
                    cell=cell, launch=0, round=number, visit=visit, calls=1, device_ns=[ns], host_ns=[ns], starts_s=[0.0],
                    input=0, outputs_sha256="", calm_share=calm, doubt_share=doubt,
                )
            )  # fmt: skip
    return journal


def test_what_surely_lost_is_out_and_a_found_delay(tmp_path: Path) -> None:
    timed = [BASE, FAST, SLOW, *CONTROLS]
    journal = journal_of(tmp_path, 12)
    look = take_look(journal, timed, RIGOROUS, 4)
    assert set(look.lost) == {SLOW.id, CONTROLS[1].id}
    assert [cell for cell, _ in look.ranking] == [FAST.id, SLOW.id]
    assert not look.enough
    assert look.round_noise == pytest.approx(0.002 * math.sqrt(2), rel=0.6)
    for cell in look.lost:
        journal.append(Eliminated(cell=cell, launch=0, round=11))
    again = take_look(journal, timed, RIGOROUS, 5)
    assert again.lost == ()
    assert again.ranking[1][1].reason.endswith("timed no further once it had surely lost")
    assert take_look(journal, timed, replace(RIGOROUS, target_half_width=0.05), 5).enough


def test_nothing_loses_to_a_wrong_answer(tmp_path: Path) -> None:
    look = take_look(journal_of(tmp_path, 12), [BASE, FAST, SLOW], RIGOROUS, 4, wrong={FAST.id})
    assert look.lost == ()
    assert [cell for cell, _ in look.ranking] == [SLOW.id]


def test_controls_go_with_the_cell_that_they_repeat(tmp_path: Path) -> None:
    look = take_look(journal_of(tmp_path, 12, SLOW_FIRST), [BASE, SLOW, FAST, *REPEATED], RIGOROUS, 4)
    assert set(look.lost) == {SLOW.id, *(spec.id for spec in REPEATED)}


@pytest.mark.parametrize(("number", "noise"), [(1, 0.002), (4, 0.05)])
def test_it_stays_until_they_have_shown_what_they_are_for(number: int, noise: float, tmp_path: Path) -> None:
    journal = journal_of(tmp_path, 12, SLOW_FIRST, noise=noise)
    assert not {SLOW.id, REPEATED[0].id} & set(take_look(journal, [BASE, SLOW, FAST, *REPEATED], RIGOROUS, number).lost)


def test_a_loaded_machine_is_said_in_the_ratio(tmp_path: Path) -> None:
    look = take_look(journal_of(tmp_path, 8, calm=0.8), [BASE, FAST, SLOW, *CONTROLS], RIGOROUS, 3)
    assert "waiting for a CPU, 20 % of the time, is taken off" in look.ranking[0][1].reason


def test_what_more_rounds_will_not_tell_beside_work_that_never_pauses(tmp_path: Path) -> None:
    timed = [BASE, FAST, SLOW, *CONTROLS]
    assert take_look(journal_of(tmp_path / "a", 12, calm=0.99, doubt=0.005), timed, RIGOROUS, 4).doubt == 0.0
    look = take_look(journal_of(tmp_path / "b", 12, calm=0.6, doubt=0.2), timed, RIGOROUS, 4)
    assert look.doubt == pytest.approx(2.57 * math.sqrt(2) * 0.2 * ERROR, rel=0.02)
    assert not {FAST.id, SLOW.id} & set(look.lost)
