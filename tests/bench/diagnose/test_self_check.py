"""`doctor --self-check`: ordinary cells under the protocol of a check; what fails is named and can be sent."""

from __future__ import annotations

import io
import json
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from depthport.bench.cli.doctor_view import render_self_check
from depthport.bench.diagnose import self_check
from depthport.bench.plan.cells import CellSpec
from depthport.bench.plan.request import Filters, MeasureRequest, measure_request
from depthport.bench.plan.suites import build_cells
from depthport.bench.results.load_results import parse_results
from depthport.bench.results.model import Results, Status
from depthport.exporters.api import prepare
from depthport.exporters.core.artifact import Shape
from depthport.exporters.core.store import ArtifactStore
from depthport.exporters.core.text import without_paths
from depthport.exporters.registry import get_exporter

pytestmark = pytest.mark.skipif(find_spec("torch") is None, reason="torch is not installed")

SHAPE = Shape(1, 1, 70, 98)


def cell(format: str, runtime: str, device: str, mode: str, precision: str = "fp32", **options: Any) -> CellSpec:
    export = prepare(
        "da3-small", format=format, precision=precision, weights="synthetic:0", options=options, **asdict(SHAPE)
    )
    return CellSpec(export, runtime, device, mode)


def checked(cells: list[CellSpec], store: ArtifactStore, budget_s: float = 600.0) -> Results:
    asked = MeasureRequest(cells[0].export, self_check.request(budget_s).protocol, suite="check")
    return self_check.run(asked, cells, store=store)


def rendered(results: Results, saved: Path | None = None) -> str:
    text = io.StringIO()
    render_self_check(results, Console(file=text, width=160), saved)
    return text.getvalue()


def test_what_works_passes_and_what_does_not_is_named(store: ArtifactStore, exported: Any) -> None:
    exported("pytorch")
    cells = [
        cell("pytorch", "pytorch", "cpu", "eager"),
        cell("pytorch", "tests.support.fakes:LyingRuntime", "cpu", "eager"),
        cell("pytorch", "pytorch", "cpu", "nonsense"),
        CellSpec(cell("coreml", "coreml", "ane", "").export, "coreml", "ane", "CPU_AND_NE", unavailable="macOS only"),
    ]
    results = checked(cells, store)
    good, unknown, bad, absent = results.cells
    assert good.status is Status.OK and good.parity
    depth = good.parity["depth"]
    assert isinstance(depth, dict) and (depth["rel_l2"] or 0.0) < 1e-5
    assert not good.timing and not good.speedup and good.numerics_only, "nothing of it is a time"
    assert unknown.status is Status.LOAD_FAILED
    assert bad.status is Status.LOAD_FAILED and "no mode 'nonsense'" in (bad.reason or "") and bad.log
    assert absent.status is Status.UNAVAILABLE and absent.reason == "macOS only" and absent.log is None
    assert not self_check.passed(results)
    data = json.loads(json.dumps(results.to_json()))
    assert str(Path.home()) not in json.dumps(data)
    assert "no mode 'nonsense'" in (parse_results(data)[0].cells[2].log or ""), "it is a results file like any other"
    text = rendered(results, Path("depthport-self-check.json"))
    assert "Send back depthport-self-check.json" in text and "no mode 'nonsense'" in text


def test_time_is_kept(store: ArtifactStore) -> None:
    results = checked([cell("pytorch", "pytorch", "cpu", "eager"), cell("pytorch", "pytorch", "cpu", "x")], store, 0.5)
    assert [(c.status, c.reason) for c in results.cells] == [(Status.NOT_MEASURED, "the time was up")] * 2
    assert not self_check.passed(results) and "not reached" in rendered(results)


@pytest.mark.slow
@pytest.mark.skipif(find_spec("coremltools") is None, reason="coremltools is not installed")
def test_core_ml_in_the_interpreter(store: ArtifactStore) -> None:
    cells = [
        cell("coreml", "coreml-interpreter", "cpu", "plain"),
        cell("coreml", "coreml-interpreter", "cpu", "ane", "fp16", ane=True),
    ]
    results = checked(cells, store)
    assert [c.status for c in results.cells] == [Status.OK, Status.OK], results.cells
    assert self_check.passed(results)


def test_names_are_taken_out() -> None:
    of_another = "/".join(("", "Users", "ada", "z.py"))
    text = f"File {Path.home()}/x.py and {Path.cwd()}/y.py and {of_another}"
    assert without_paths(text).count("ada") == 0
    assert str(Path.home()) not in without_paths(text)


def test_default_cells_begin_with_the_baseline_and_hold_what_shows_numerics_alone() -> None:
    cells = self_check.default_cells(self_check.request())
    here = [c for c in cells if not c.unavailable]
    assert here[0].id == "pytorch/cpu/upstream/fp32"
    assert {"coreml-interpreter/cpu/plain/fp32", "coreml-interpreter/cpu/ane/fp16"} <= {c.id for c in here}
    assert all(c.numerics_only for c in cells)
    slow = [get_exporter(c.export.format).slow for c in here]
    assert slow == sorted(slow), "what takes longest to export is last"


def test_who_measures_times_none_of_them_unless_they_are_named() -> None:
    assert not [c for c in build_cells(measure_request(weights="synthetic:0")) if c.numerics_only]
    filters = Filters(runtimes=("coreml-interpreter",))
    named = build_cells(measure_request(weights="synthetic:0", filters=filters))
    assert [c.numerics_only is not None for c in named] == [False, True, True]
