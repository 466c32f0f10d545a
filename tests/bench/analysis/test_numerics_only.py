"""A runtime whose time means nothing: its outputs are compared, it has no timing, and nobody is told to deploy it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from depthport.bench.choice.choice import Request
from depthport.bench.choice.choose import choose
from depthport.bench.cli.summary import _without_figures
from depthport.bench.plan.controls import control_subject
from depthport.bench.plan.request import Filters, make_cell, measure_request
from depthport.bench.plan.suites import _runtime_cells
from depthport.bench.report.model.merge import merge
from depthport.bench.report.model.rows import status
from depthport.bench.results.model import Results, Status
from depthport.runtimes.base import Device, Mode, Runtime, Session
from depthport.runtimes.registry import Surveyed
from tests.support import results as fixtures
from tests.support.simulated_run import Row

WHY = "it shows what is computed, not how fast"
# Faster than all others by its clock, were it asked.
ROW = Row("onnx", "openvino", "cpu", "reference", "fp32", 0.5, 5e-6, numerics_only=WHY)


@pytest.fixture(scope="module")
def run() -> Results:
    return fixtures.results(fixtures.CPU_SERVER, (*fixtures.CPU_ROWS[:3], ROW), sampling=fixtures.FEW)


def test_it_has_parity_and_no_timing(run: Results) -> None:
    cell = next(cell for cell in run.cells if cell.id == ROW.id)
    assert cell.status is Status.OK and cell.numerics_only == WHY
    assert cell.parity is not None and isinstance(depth := cell.parity["depth"], dict)
    assert depth["rel_l2"] == pytest.approx(5e-6, rel=1e-3)
    assert (cell.timing, cell.speedup, cell.rank) == ({}, {}, {})
    others = [cell for cell in run.cells if cell.id != ROW.id]
    assert all(cell.timing and cell.numerics_only is None for cell in others)


@pytest.mark.parametrize("goal", ["latency_ms", "memory_mib", "cold_start_s", "depth_error"])
def test_it_is_never_chosen(goal: str, run: Results) -> None:
    choice = choose(run, Request(goal=goal))
    assert choice.pick != ROW.id and ROW.id not in (*choice.ties, *choice.pareto)
    against = next(r for r in choice.rejected if r.cell == ROW.id)
    assert (against.kind, against.reason) == ("numerics", f"numerics only: {WHY}")


def test_report_and_summary_say_so(run: Results) -> None:
    (entry,) = _without_figures(run)
    assert entry == f"numerics only, depth error 5.0e-06: {WHY}"
    row = next(r for m in merge([run]).machines for g in m.groups for r in g.rows if r.cell.id == ROW.id)
    assert status(row) == f"numerics only: {WHY}"


class Reference(Runtime):
    name, formats = "reference", ("onnx",)

    def probe(self) -> list[Device]:
        return [Device("cpu", "a CPU", (Mode("default", "plain"),), ("fp32",), numerics_only=WHY)]

    def _load(self, *arguments: Any) -> Session:
        raise AssertionError("nothing is loaded here")


def test_default_suites_leave_it_to_who_asks() -> None:
    request = measure_request("da3-small", height=70, width=98, weights="synthetic:0")
    asked = replace(request, filters=Filters(runtimes=("reference",)))
    here = Surveyed("reference", Reference(), tuple(Reference().probe()))
    assert not list(_runtime_cells(here, request))
    (cell,) = _runtime_cells(here, asked)
    (full,) = _runtime_cells(here, replace(request, suite="full"))
    assert cell.numerics_only == full.numerics_only == WHY


def test_no_control_repeats_it() -> None:
    request = measure_request("da3-small", height=70, width=98, weights="synthetic:0")
    device = Reference().probe()[0]
    timed = make_cell(Reference(), replace(device, numerics_only=None), device.modes[0], "fp32", request)
    untimed = make_cell(Reference(), device, device.modes[0], "fp32", request)
    assert control_subject([untimed, timed], {untimed.id: 1.0}) is timed
