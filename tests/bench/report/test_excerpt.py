"""The table of our cells beside what people would run instead, from a run of suite `alternatives`."""

from __future__ import annotations

import msgspec
import pytest

from depthport.bench.report.markdown.excerpt import alternatives, replaced, rewritten
from depthport.bench.report.model.merge import merge
from depthport.bench.results.model import ALTERNATIVE, Results, Status
from depthport.exporters.core.errors import UsageError
from tests.support import results as fixtures
from tests.support.simulated_run import Row

ROWS = (
    *fixtures.CPU_ROWS[:2],
    Row("onnx", "onnxruntime", "cpu", "quantize-dynamic", "int8", 2000, 0.2, host_mib=400, description="quantized"),
    Row("onnx", "onnxruntime", "cpu", "upstream-export", "fp32", failed=(Status.EXPORT_FAILED, "torch can't")),
)
PAGE = "a\n<!-- demo:begin -->\n<!-- demo:end -->\nb\n<!-- alternatives:begin -->\nold\n<!-- alternatives:end -->\nc\n"


@pytest.fixture(scope="module")
def run() -> Results:
    """One of the suite."""
    found = fixtures.results(fixtures.CPU_SERVER, ROWS, sampling=fixtures.FEW)
    cells = [
        msgspec.structs.replace(cell, tags=[ALTERNATIVE] if cell.mode in ("quantize-dynamic", "upstream-export") else [])
        for cell in found.cells
    ]
    return msgspec.structs.replace(found, cells=cells, protocol={**found.protocol, "suite": "alternatives"})


def test_every_timed_cell_is_a_row_and_what_is_wrong_is_said(run: Results) -> None:
    lines = alternatives(merge([run])).splitlines()
    rows = [[part.strip() for part in line.strip("| ").split(" | ")] for line in lines if line.startswith("| `")]
    assert [row[0].strip("`").split("/")[2] for row in rows] == ["quantize-dynamic", "eager", "upstream"], "fastest first"
    assert [row[1].partition(":")[0] for row in rows[:2]] == ["instead", "ours"] and rows[2][3] == "baseline"
    assert all(row[7].endswith("MiB") and float(row[6]) > 0 for row in rows)
    text = "\n".join(lines)
    assert "quantize-dynamic/int8`: parity failed: depth is" in text
    assert "upstream-export/fp32`: export failed: torch can't." in text


def test_the_page_keeps_its_table_until_a_run_of_the_suite_is_recorded(run: Results) -> None:
    other = msgspec.structs.replace(run, protocol={**run.protocol, "suite": "default"})
    assert "\nold\n" in rewritten(PAGE, merge([other]))
    text = rewritten(PAGE, merge([run]))
    assert "\nold\n" not in text and "quantize-dynamic" in text and rewritten(text, merge([run])) == text


def test_a_page_without_its_marks_is_refused() -> None:
    with pytest.raises(UsageError, match="no <!-- demo:begin -->"):
        replaced("nothing", "demo", "x")
    with pytest.raises(UsageError, match="no <!-- demo:begin --> or <!-- alternatives:begin -->"):
        rewritten("nothing", merge([fixtures.results(fixtures.CPU_SERVER, ROWS, sampling=fixtures.FEW)]))
