"""What can't run here but was exported here: its artifact, and what is known of it, belong to the run."""

from __future__ import annotations

from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path

import pytest

from depthport.bench.inputs.inputs import load_scenes
from depthport.bench.measure import engine
from depthport.bench.measure.observer import Observer
from depthport.bench.plan.cells import CellSpec
from depthport.bench.report.model import neural_engine
from depthport.bench.report.model.merge import merge
from depthport.bench.results.model import Status
from depthport.exporters.api import find, prepare
from depthport.exporters.core.store import ArtifactStore
from tests.bench.measure.test_engine import FAST, SHAPE, fake_cell
from tests.support.fake_runtime import fake_artifact
from tests.support.requests import plan_of

pytestmark = pytest.mark.skipif(
    find_spec("torch") is None or find_spec("coremltools") is None, reason="torch or coremltools is not installed"
)


def core_ml_cell(precision: str) -> CellSpec:
    export = prepare(
        "da3-small",
        format="coreml",
        precision=precision,
        weights="synthetic:0",
        options={"ane": precision == "fp16"},
        **asdict(SHAPE),
    )
    return CellSpec(export, "coreml", "ane", "CPU_AND_NE", unavailable="Core ML runs on macOS only")


def test_predictions_reach_a_report_off_a_mac(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.support.coreml.mini import export_mini, use_mini_network

    use_mini_network(monkeypatch)
    store = ArtifactStore(tmp_path / "store")
    made = export_mini(store.root, "fp16", SHAPE.views, (SHAPE.height, SHAPE.width), options={"ane": True}).artifact
    fake = fake_cell(fake_artifact(tmp_path / "fake", SHAPE).path, "Fake", baseline=True, call_ms=1)
    cells = (fake, core_ml_cell("fp16"), core_ml_cell("fp32"))
    plan = plan_of(cells, load_scenes(SHAPE, sets=2), FAST, parity=False)
    results = engine.run(plan, tmp_path / "out", store, Observer())
    _, ready, absent = results.cells
    assert ready.status is absent.status is Status.UNAVAILABLE
    assert ready.artifact and ready.artifact["key"] == made.manifest.key and absent.artifact is None
    report = merge([results])
    group = report.machines[0].groups[0]
    lines = neural_engine.lines(report.machines[0], group)
    assert [line.chips for line in lines] == ["M1", "M2", "M3", "M4, M5"] and {line.placed for line in lines} == {"–"}


def test_find_makes_nothing(tmp_path: Path) -> None:
    assert find(core_ml_cell("fp32").export, ArtifactStore(tmp_path / "store")) is None
    assert not (tmp_path / "store").exists()
