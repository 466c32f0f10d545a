"""The first report's 36 rows, as its tables count them."""

from __future__ import annotations

from collections import Counter

import pytest

from depthport.bench.plan import first_report
from depthport.bench.plan.first_report import FirstReportRow, first_report_rows, mode_of, paper_cells, precision_of
from depthport.bench.plan.request import measure_request
from depthport.runtimes.registry import get_runtime


def test_the_matrix_is_that_reports() -> None:
    rows = list(first_report_rows())
    assert len(rows) == len(set(rows)) == 36
    assert Counter(row.device for row in rows) == {"cuda": 16, "mps": 12, "cpu": 8}
    assert all(row.mode == "max" for row in rows if row.compile)


def test_modes_differ_in_what_they_do() -> None:
    for device, distinct in (("cuda", 4), ("mps", 3), ("cpu", 3)):
        modes = {mode_of(row) for row in first_report_rows() if row.device == device} - {None}
        assert len(modes) == distinct


def test_precisions() -> None:
    assert precision_of(FirstReportRow("cuda", "minimal", "None", False)) == "bf16-mixed"
    assert precision_of(FirstReportRow("cpu", "minimal", "None", False)) == "fp16-mixed"
    assert precision_of(FirstReportRow("cuda", "minimal", "float16", False)) == "fp16-mixed"
    assert precision_of(FirstReportRow("cuda", "max", "float16", True)) == "fp16"
    assert precision_of(FirstReportRow("mps", "max", "False", True)) == "fp32"


def test_cells_have_their_own_ids_and_what_cannot_run_has_a_reason() -> None:
    cells = list(paper_cells(measure_request(weights="synthetic:0", suite="paper")))
    assert len({cell.id for cell in cells}) == len(cells)
    rows = [cell for cell in cells if "first-report" in cell.tags]
    assert len(rows) == 36
    for cell in rows:
        if cell.device != "cpu":
            continue
        repeated = cell.label is not None and cell.label.startswith("first-max") and "compile" not in cell.tags
        assert bool(cell.unsupported) == repeated
    assert sum(cell.baseline for cell in rows if not cell.unavailable) >= 1


def test_future_work_of_that_report_has_rows() -> None:
    cells = list(paper_cells(measure_request(weights="synthetic:0", suite="paper")))
    future = [cell for cell in cells if "future" in cell.tags]
    assert {"onnxruntime", "tensorrt", "coreml"} <= {cell.runtime for cell in future}
    assert any(cell.device == "ane" for cell in future)
    assert any(cell.export.precision == "int8" for cell in future)
    assert not any(cell.baseline for cell in future)
    runs_here = {cell.runtime for cell in future if not cell.unavailable and not cell.unsupported}
    assert all(cell.runtime in runs_here or cell.unavailable for cell in future)


def test_where_no_processor_is_made_for_int8_one_row_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(first_report, "_future", lambda others, request: iter(()))
    cells = list(paper_cells(measure_request(weights="synthetic:0", suite="paper")))
    (row,) = (cell for cell in cells if "future" in cell.tags)
    runtime = get_runtime(row.runtime)
    assert row.export.precision in runtime.quantized and row.export.format in runtime.formats
    assert row.unavailable and "int8" in row.unavailable and not row.baseline
