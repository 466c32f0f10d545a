"""`doctor --self-check`: real exports, loads, predictions and comparisons; what fails is named and can be sent."""

from __future__ import annotations

import io
import json
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from depthport.bench.cli import self_check_view
from depthport.bench.diagnose import self_check
from depthport.bench.plan.cells import CellSpec
from depthport.exporters.api import prepare
from depthport.exporters.core.artifact import Shape
from depthport.exporters.core.store import ArtifactStore
from depthport.exporters.core.text import without_paths

pytestmark = pytest.mark.skipif(find_spec("torch") is None, reason="torch is not installed")

SHAPE = Shape(1, 1, 70, 98)


def cell(format: str, runtime: str, device: str, mode: str, precision: str = "fp32", **options: Any) -> CellSpec:
    export = prepare(
        "da3-small", format=format, precision=precision, weights="synthetic:0", options=options, **asdict(SHAPE)
    )
    return CellSpec(export, runtime, device, mode)


def rendered(report: self_check.SelfCheck, saved: Path | None = None) -> str:
    from rich.console import Console

    text = io.StringIO()
    self_check_view.render(report, Console(file=text, width=160), saved)
    return text.getvalue()


def test_what_works_passes_and_what_does_not_is_named(store: ArtifactStore, exported: Any) -> None:
    exported("pytorch")
    cells = [
        cell("pytorch", "pytorch", "cpu", "eager"),
        cell("pytorch", "tests.support.fakes:LyingRuntime", "cpu", "eager"),
        cell("pytorch", "pytorch", "cpu", "nonsense"),
        CellSpec(cell("coreml", "coreml", "ane", "").export, "coreml", "ane", "CPU_AND_NE", unavailable="macOS only"),
    ]
    report = self_check.run(cells, store=store)
    good, unknown, bad, absent = report.checks
    assert good.status == "passed" and good.parity and good.parity["depth"]["rel_l2"] < 1e-5
    assert (unknown.status, unknown.step) == ("failed", "load")
    assert (bad.status, bad.step) == ("failed", "load") and "no mode 'nonsense'" in bad.detail and bad.log
    assert absent.status == "unavailable" and absent.detail == "macOS only"
    assert not report.ok and report.seconds > 0
    data = json.loads(json.dumps(report.to_json()))
    assert data["schema"] == "depthport.self-check/1" and str(Path.home()) not in json.dumps(data)
    text = rendered(report, Path("depthport-self-check.json"))
    assert "Send back depthport-self-check.json" in text and "no mode 'nonsense'" in text


def test_time_is_kept(store: ArtifactStore) -> None:
    report = self_check.run([cell("pytorch", "pytorch", "cpu", "eager")] * 2, store=store, budget_s=0.5)
    assert [c.status for c in report.checks] == ["not reached"] * 2 and not report.ok
    assert "not reached" in rendered(report)


@pytest.mark.slow
@pytest.mark.skipif(find_spec("coremltools") is None, reason="coremltools is not installed")
def test_core_ml_in_the_interpreter(store: ArtifactStore) -> None:
    cells = [
        cell("coreml", "coreml", "interpreter", "plain"), cell("coreml", "coreml", "interpreter", "ane", "fp16", ane=True),
    ]  # fmt: skip
    report = self_check.run(cells, store=store)
    assert [c.status for c in report.checks] == ["passed", "passed"], report.checks
    assert report.ok and "no Apple code" in rendered(report)


def test_names_are_taken_out() -> None:
    of_another = "/".join(("", "Users", "ada", "z.py"))
    text = f"File {Path.home()}/x.py and {Path.cwd()}/y.py and {of_another}"
    assert without_paths(text).count("ada") == 0
    assert str(Path.home()) not in without_paths(text)


def test_default_cells_hold_the_baseline_and_the_interpreter() -> None:
    ids = [c.id for c in self_check.default_cells()]
    assert "pytorch/cpu/upstream/fp32" in ids
    if find_spec("coremltools"):
        assert ids[-2:] == ["coreml/interpreter/plain/fp32", "coreml/interpreter/ane/fp16"]
