"""The whole analysis on a simulated run: what is true of the cells is what the results say."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from depthport.bench.results.model import BOUNDARIES, Cell, Results, Status
from tests.support import results as fixtures
from tests.support.simulated_run import COMPILING_MIB, Row

BASELINE = fixtures.H100_ROWS[0]
RAN = [row for row in fixtures.H100_ROWS if not row.failed]


@pytest.fixture(scope="module")
def run() -> Results:
    return fixtures.h100()


@pytest.mark.parametrize("row", RAN, ids=lambda row: row.id)
def test_latency_ratio_and_parity_are_the_true_ones(run: Results, row: Row) -> None:
    cell = next(cell for cell in run.cells if cell.id == row.id)
    for boundary, ms, base in zip(
        BOUNDARIES[:2],  # those of the network alone
        (row.ms, row.ms * (1 + row.host_extra)),
        (BASELINE.ms, BASELINE.ms * (1 + BASELINE.host_extra)),
        strict=True,
    ):
        timing = cell.timing[boundary]
        assert timing.n == 240 and timing.median_ms is not None and timing.median_ms == pytest.approx(ms, rel=5e-3)
        assert timing.ci95_ms is not None and timing.ci95_ms[0] < timing.median_ms < timing.ci95_ms[1]
        if row is not BASELINE:
            assert cell.speedup[boundary].ratio == pytest.approx(base / ms, rel=5e-3)
            assert cell.speedup[boundary].verdict == ("faster" if ms < 0.98 * base else "slower")
    assert cell.parity is not None and isinstance(depth := cell.parity["depth"], dict)
    assert depth["rel_l2"] == pytest.approx(row.error, abs=1e-12)
    assert cell.parity["inputs"] == 2 and cell.launches == 5


def test_cells_that_can_not_be_told_apart_share_a_rank(run: Results) -> None:
    rank = {cell.id: cell.rank.get("device") for cell in run.cells}
    assert rank["tensorrt/cuda/default/bf16"] == 1
    assert rank["pytorch/cuda/compile/bf16"] == rank["pytorch/cuda/compile/fp16"] == 2
    assert {rank[row.id] for row in fixtures.H100_ROWS if row.failed} == {None}


def test_the_controls_come_out_as_they_must(run: Results) -> None:
    aa, plus5 = run.controls["aa"], run.controls["plus5"]
    assert aa.ok and aa.verdict == "equivalent" and aa.ratio == pytest.approx(1, abs=5e-3)
    assert plus5.ok and plus5.verdict == "slower" and plus5.ratio == pytest.approx(1 / 1.05, abs=5e-3)


@pytest.mark.parametrize("row", RAN, ids=lambda row: row.id)
def test_memory_is_that_of_the_launches_that_found_everything_compiled(run: Results, row: Row) -> None:
    memory = next(cell.memory for cell in run.cells if cell.id == row.id)
    assert (memory.host_peak_mib, memory.device_peak_mib) == (row.host_mib, row.device_mib)
    assert memory.first_host_peak_mib == (None if row.host_mib is None else row.host_mib + COMPILING_MIB)


def test_warm_ups_are_kept_and_counted_in_nothing(run: Results) -> None:
    timing = run.cells[0].timing["device"]
    assert timing.samples.steady.count(False) == 2 * 5 and timing.samples.steady.count(True) == timing.n


def test_what_is_too_far_from_upstream_fails_parity_and_has_no_rank() -> None:
    cell = next(cell for cell in fixtures.cpu_server().cells if cell.precision == "int8")
    assert cell.status is Status.PARITY_FAILED and "depth is 3.1e-01 from upstream fp32" in (cell.reason or "")
    assert cell.timing and cell.rank == {}


def test_advice_is_given_where_there_is_cause(run: Results) -> None:
    advice = {cell.id: [found["code"] for found in cell.advice] for cell in run.cells if cell.advice}
    assert advice == {BASELINE.id: ["host-bound"], "onnxruntime/cuda/cuda-ep/fp16": ["transfer-bound"]}
    assert run.warnings == []
    assert "synthetic-weights" in [warning["code"] for warning in fixtures.synthetic().warnings]


def _figures(cell: Cell) -> dict[str, Any]:
    return {**(cell.accuracy or {})}


def test_accuracy_suffers_from_a_cells_error() -> None:
    exact, wrong = (replace(row, baseline=False) for row in (fixtures.CPU_ROWS[3], fixtures.CPU_ROWS[4]))
    cells = fixtures.results(fixtures.CPU_SERVER, (exact, wrong), sampling=fixtures.FEW).cells
    right, off = map(_figures, cells)
    assert set(right) >= {"abs_rel", "scene", "meaningless", "rendered 0", "rendered 1"}
    assert 0.05 < right["abs_rel"] < 0.1 < off["abs_rel"]


def test_one_seed_gives_one_run() -> None:
    one, same, other = (fixtures.results(fixtures.MAC, fixtures.MAC_ROWS, seed=seed).to_json() for seed in (1, 1, 2))
    assert one == same != other
