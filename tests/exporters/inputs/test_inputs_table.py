"""Every row of exporters/INPUTS.md within its bound."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")
pytest.importorskip("depth_anything_3")

from tests.support.inputs_table import BOUND, ROWS, Row, measure


@pytest.mark.slow
@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.model} {row.shape} {row.option}")
def test_row(row: Row, store: Any) -> None:
    found = measure(row, store)
    assert found.pop("reference_view") == 0
    assert {name: figure for name, figure in found.items() if not figure <= BOUND} == {}
