"""Accuracy for every cell: rendered truth is computed once a cell, untimed, and marked where it means nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from depthport.bench.analysis.ground_truth import ground_truth_scenes
from depthport.bench.inputs.inputs import load_scenes
from depthport.bench.measure import engine
from depthport.bench.measure.observer import Observer
from depthport.bench.results.journal import NAME as JOURNAL_NAME
from depthport.bench.results.journal import Journal
from depthport.bench.results.metrics import METRICS
from depthport.bench.results.model import Results, Status
from depthport.bench.results.records import GroundTruthOutputs
from depthport.exporters.core.artifact import Shape
from depthport.exporters.core.store import ArtifactStore
from tests.bench.measure.test_engine import FAST, fake_cell
from tests.support.fake_runtime import fake_artifact, fake_outputs
from tests.support.requests import WEIGHTS, plan_of

SHAPE = Shape(1, 3, 14, 28)


def accuracy_run(tmp_path: Path, *fakes: str, synthetic: bool = False) -> Results:
    artifact = fake_artifact(tmp_path / "artifact", SHAPE)
    cells = tuple(fake_cell(artifact.path, fake, baseline=not i, call_ms=2) for i, fake in enumerate(fakes))
    weights = replace(WEIGHTS, synthetic=synthetic)
    cells = tuple(replace(cell, export=replace(cell.export, weights=weights)) for cell in cells)
    plan = plan_of(
        cells,
        load_scenes(SHAPE, sets=2),
        replace(FAST, launches=2, budget_s=1.0, max_rounds=1),
        parity=False,
        ground_truth=ground_truth_scenes(SHAPE, 2),
    )
    return engine.run(plan, tmp_path / "out", ArtifactStore(tmp_path / "store"), Observer())


def test_every_cell_is_judged_on_the_real_pair_and_on_the_rendered_scenes(tmp_path: Path) -> None:
    from depthport.bench.analysis.accuracy import scene_accuracy

    results = accuracy_run(tmp_path, "Fake", "Crasher")
    good, crashed = results.cells
    assert crashed.status is Status.RUN_FAILED and crashed.accuracy is None
    assert good.status is Status.OK and good.accuracy is not None
    assert good.accuracy["scene"] == "motorcycle" and good.accuracy["meaningless"] is False
    specs = fake_artifact(tmp_path / "again", SHAPE).manifest.outputs
    for scene in ground_truth_scenes(SHAPE, 2):
        expected = scene_accuracy(fake_outputs(scene.image, specs), scene)
        assert {"abs_rel", "rmse", "delta1", "rotation_deg", "centre_error", "fov_deg"} <= set(expected)
        assert good.accuracy[scene.name] == pytest.approx(expected)
    blocks: Any = (good.accuracy, good.accuracy["rendered 0"], good.accuracy["rendered 1"])
    worst = max(block["abs_rel"] for block in blocks)
    found = METRICS["accuracy_abs_rel"].of(good, "device")
    assert found is not None and found.value == pytest.approx(worst)
    # Once a cell, though there were two launches; the controls, which repeat a cell, are not asked.
    entries = Journal(tmp_path / "out" / JOURNAL_NAME).of(GroundTruthOutputs)
    assert [(e.cell, e.scene) for e in entries] == [(good.id, 0), (good.id, 1)]
    assert results.inputs["truth"] == ["rendered 0", "rendered 1"]


def test_synthetic_weights_make_it_meaningless(tmp_path: Path) -> None:
    (cell,) = accuracy_run(tmp_path, "Fake", synthetic=True).cells
    assert cell.accuracy is not None and cell.accuracy["meaningless"] is True
    assert METRICS["accuracy_abs_rel"].of(cell, "device") is None


@pytest.mark.parametrize("views", [1, 2, 5])
def test_scenes_have_the_cells_views_and_exact_truth(views: int) -> None:
    scenes = ground_truth_scenes(Shape(1, views, 28, 42), 2)
    assert [scene.shape.views for scene in scenes] == [views] * 2
    assert not np.array_equal(scenes[0].rgb, scenes[1].rgb)
    assert all(scene.depth is not None and np.isfinite(scene.depth).all() for scene in scenes)
    assert all(all(scene.calibrated) for scene in scenes)


def test_an_artifact_that_resizes_itself_gets_the_larger_rendering() -> None:
    (scene,) = ground_truth_scenes(Shape(1, 2, 28, 42), 1, source_size=(56, 84))
    assert scene.source is not None and scene.source.shape == (1, 2, 56, 84, 3)
    assert scene.rgb.shape == (1, 2, 28, 42, 3) and scene.depth is not None and scene.depth.shape == (1, 2, 28, 42)
