"""`compare`: verdicts between runs hold the spread between launches, and refuse what is not comparable."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from msgspec.structs import force_setattr

from depthport.bench.choice.compare import ASSUMED_LAUNCH_SD, Change, Comparison, compare
from depthport.bench.results.model import Results, Status
from tests.support import results as fixtures


def scaled(factor: float, seed: int = 2, only: str | None = None) -> Results:
    """The H100 run with its cells' latencies multiplied."""
    rows = (replace(r, ms=r.ms * (factor if only in (None, r.id) else 1.0)) for r in fixtures.H100_ROWS)
    return fixtures.h100(tuple(rows), seed=seed)


def verdicts(comparison: Comparison) -> dict[str, str]:
    return {change.cell: change.verdict for change in comparison.changes}


def of(comparison: Comparison, cell: str) -> Change:
    return next(c for c in comparison.changes if c.cell == cell)


CELL = "pytorch/cuda/compile/bf16"


def test_a_rerun_of_the_same_machine_changes_nothing() -> None:
    found = compare(fixtures.h100(), fixtures.h100(seed=2))
    assert set(found.counts) <= {"equivalent", "inconclusive", "not comparable"}
    assert found.bars == () and found.flags == ()


def test_a_cell_that_got_slower_is_found_and_the_ratio_is_a_over_b() -> None:
    found = compare(fixtures.h100(), scaled(1.08, only=CELL))
    change = of(found, CELL)
    assert change.verdict == "slower" and change.ratio == pytest.approx(1 / 1.08, rel=0.01)
    assert change.ci95 is not None and change.ci95[0] < 1 / 1.08 < change.ci95[1]
    assert found.changes[0].cell == CELL
    assert of(compare(scaled(1.08, only=CELL), fixtures.h100()), CELL).verdict == "faster"


def test_a_slower_machine_is_not_a_slower_cell() -> None:
    found = compare(fixtures.h100(), scaled(1.06))
    assert of(found, "pytorch/cuda/upstream/bf16-mixed").verdict == "slower"
    assert found.baseline_shift == pytest.approx(1 / 1.06, rel=0.02)
    others = [c for c in found.changes if c.verdict != "not comparable" and "upstream/bf16" not in c.cell]
    assert all(c.relative and "baseline" in c.reason for c in others)
    assert {c.verdict for c in others} <= {"equivalent", "inconclusive"}


def test_one_launch_takes_the_spread_from_elsewhere_and_says_so() -> None:
    a, b = fixtures.h100(), fixtures.h100(seed=2)
    for results in (a, b):
        for cell in results.cells:
            for timing in cell.timing.values():
                timing.samples.launch[:] = [0] * len(timing.samples.ms)
    found = compare(a, b)
    assert found.launch_sd == ASSUMED_LAUNCH_SD
    assert "assumed" in of(found, CELL).reason
    interval = of(found, CELL).ci95
    assert interval is not None and interval[1] / interval[0] > 1.02


def change_shape(r: Results) -> None:
    force_setattr(r.cells[4], "views", 3)


def change_weights(r: Results) -> None:
    r.weights["da3-large"]["sha256"] = "0" * 64


def change_precision(r: Results) -> None:
    force_setattr(r.cells[4], "precision", "fp16")


def change_boundary(r: Results) -> None:
    del r.cells[4].timing["device"]


def change_status(r: Results) -> None:
    force_setattr(r.cells[4], "status", Status.LOAD_FAILED)
    force_setattr(r.cells[4], "timing", {})


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (change_shape, "another shape"),
        (change_weights, "other weights"),
        (change_precision, "another precision"),
        (change_boundary, "was not measured at the device boundary"),
        (change_status, "load failed"),
    ],
)
def test_cells_that_differ_are_not_comparable(change: Any, says: str) -> None:
    b = fixtures.h100(seed=2)
    change(b)
    found = compare(fixtures.h100(), b, "device")
    assert of(found, CELL).verdict == "not comparable"
    assert says in of(found, CELL).reason


@pytest.mark.parametrize(
    ("field", "value", "says"), [("name", "paper", "another protocol"), ("regime", "sustained", "another protocol")]
)
def test_another_protocol_bars_everything(field: str, value: str, says: str) -> None:
    b = fixtures.h100(seed=2)
    protocol: Any = b.protocol
    protocol[field] = value
    found = compare(fixtures.h100(), b)
    assert set(verdicts(found).values()) == {"not comparable"} and says in found.bars[0]


def test_another_machine_bars_unless_asked_for() -> None:
    a, b = fixtures.h100(), fixtures.h100(seed=2)
    force_setattr(b, "environment", json.loads(json.dumps(b.environment)))
    b.environment["gpus"][0]["name"] = "NVIDIA L4"
    assert "another machine" in compare(a, b).bars[0]
    asked = compare(a, b, across_machines=True)
    assert asked.bars == () and any("machines differ" in flag for flag in asked.flags)


def test_drivers_versions_inputs_and_failed_controls_are_flagged() -> None:
    a, b = fixtures.h100(), fixtures.h100(seed=2)
    force_setattr(b, "environment", json.loads(json.dumps(b.environment)))
    b.environment["gpus"][0]["driver"] = "590.1"
    b.environment["packages"]["torch"] = "2.14.0"
    b.inputs["sha256"] = ["0" * 64]
    force_setattr(b.controls["plus5"], "ok", False)
    flags = " ".join(compare(a, b).flags)
    assert all(word in flags for word in ("driver", "torch", "inputs", "plus5"))


def test_cells_of_one_run_only_name_their_nearest() -> None:
    a, b = fixtures.h100(), fixtures.h100(seed=2)
    force_setattr(b, "cells", [c for c in b.cells if c.id != CELL])
    change = of(compare(a, b), CELL)
    assert change.verdict == "not comparable" and "not in B" in change.reason and "another mode" in change.reason


def test_runs_without_samples_give_medians_but_no_verdict() -> None:
    b = fixtures.h100(seed=2)
    for cell in b.cells:
        for timing in cell.timing.values():
            timing.samples.ms.clear()
    assert of(compare(fixtures.h100(), b), CELL).verdict == "inconclusive"


def test_json_is_strict() -> None:
    text = json.dumps(compare(fixtures.h100(), scaled(1.1)).to_json(), allow_nan=False)
    assert json.loads(text)["changes"]


@pytest.mark.parametrize("control", ["aa", "plus5"])
def test_a_control_that_did_not_pass_leaves_every_verdict_open(control: str) -> None:
    a, b = fixtures.h100(), fixtures.h100(seed=2)
    force_setattr(a.controls[control], "ok", False)
    found = compare(a, b)
    assert not {"faster", "slower", "equivalent"} & set(found.counts)
    assert f"control {control} of A did not pass" in of(found, CELL).reason


def test_a_cell_that_the_quota_held_back_is_left_open() -> None:
    a, b = fixtures.h100(), fixtures.h100(seed=2)
    cell = next(c for c in b.cells if c.id == CELL)
    force_setattr(
        cell, "telemetry", {**(cell.telemetry or {}), "quota_throttled_share": {"median": 0.4, "min": 0.3, "max": 0.5}}
    )
    change = of(compare(a, b), CELL)
    assert change.verdict == "inconclusive" and "CPU quota held B back 40 % of the time" in change.reason
