"""Figures and rules that several places show: they come from one definition."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import structs

from depthport.bench.analysis.advice import CellFacts, cell_advice
from depthport.bench.analysis.advice_codes import Code
from depthport.bench.choice.choose import choose
from depthport.bench.choice.compare import compare
from depthport.bench.report.markdown.methodology import READING
from depthport.bench.report.model import rows
from depthport.bench.report.model.merge import Row, merge
from depthport.bench.report.model.ranking import depth_error, main_boundary
from depthport.bench.results.metrics import METRICS, default_boundary, memory_mib
from depthport.bench.results.model import Cell, Memory, Results, Timing, is_control
from depthport.bench.results.samples import Samples
from depthport.bench.statistics import figures
from depthport.bench.statistics.steady_state import DRIFT_PER_MINUTE


def timing(ms: float | None) -> Timing:
    return Timing(ms, None, None, None, None, None, None, None, n=9, img_s=None, samples=Samples(), cv=0.01)


def make(name: str = "a/cuda/-/fp32", device: str = "cuda", **fields: Any) -> Cell:
    fields.setdefault("timing", {"device": timing(10.0)})
    return Cell(
        name, "da3-small", batch=1, views=1, height=70, width=98, weights="w", format="onnx", runtime="a",
        device=device, mode="-", precision="fp32", **fields,
    )  # fmt: skip


def row(cell: Cell) -> Row:
    return next(r for g in merge([results(cell)]).machines[0].groups for r in g.rows)


def results(*cells: Cell) -> Results:
    return Results({}, {"name": "rigorous"}, {}, {}, list(cells))


@pytest.mark.parametrize("device", ["cuda", "cuda:1", "cpu", "mps", "ane"])
@pytest.mark.parametrize("device_mib", [None, 100.0])
def test_table_and_choice_know_the_same_memory(device: str, device_mib: float | None) -> None:
    cell = make(device=device, memory=Memory(host_peak_mib=5000.0, device_peak_mib=device_mib))
    assert rows.memory(row(cell)) == figures.mib(METRICS["memory_mib"].read(cell, "device")[0])
    if device.startswith("cuda") and device_mib is None:
        assert memory_mib(cell) is None and rows.memory(row(cell)) == figures.NONE


@pytest.mark.parametrize("drift", [None, 0.004, -0.006, 0.02, 0.03])
def test_mark_and_advice_agree_on_drift(drift: float | None) -> None:
    cell = make()
    cell.timing["device"] = structs.replace(cell.timing["device"], drift_per_minute=drift)
    marked = "drift" in rows.stability(row(cell), "device")
    advised = any(a.code is Code.DRIFTING for a in cell_advice(CellFacts("cuda", drift_per_minute=drift)))
    assert marked == advised == (drift is not None and abs(drift) > DRIFT_PER_MINUTE)


def test_the_report_says_the_bounds_it_judges_by() -> None:
    line = next(line for line in READING if line.startswith("Stability"))
    assert "variation is at most 2.5 %" in line and "drift at most 0.5 % a minute" in line


@pytest.mark.parametrize("value", [0.1, True, -1.0, "0.1", None])
def test_table_and_choice_know_the_same_parity(value: Any) -> None:
    cell = make(parity={"depth": {"rel_l2": value}})
    assert depth_error(row(cell)) == METRICS["depth_error"].read(cell, "device")[0]


@pytest.mark.parametrize(("devices", "boundary"), [((1.0, 2.0), "device"), ((1.0, None), "host"), ((), "device")])
def test_report_choice_and_comparison_are_at_one_boundary(devices: tuple[float | None, ...], boundary: str) -> None:
    # A timing whose median is null was measured and gave nothing: it can't be ranked there.
    cells = [
        make(f"a{index}/cuda/-/fp32", timing={"device": timing(ms), "host": timing(5.0)})
        for index, ms in enumerate(devices)
    ] or [make(timing={})]
    assert default_boundary(cells) == boundary
    assert main_boundary(row(cell) for cell in cells) == boundary
    assert choose(results(*cells)).boundary == boundary
    assert compare(results(*cells), results(*cells)).boundary == boundary


def test_controls_are_told_by_their_tags() -> None:
    assert is_control(["suite", "control-aa"]) and not is_control(["suite"]) and not is_control([])
