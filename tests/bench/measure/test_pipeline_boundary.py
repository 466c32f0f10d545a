"""Runs that begin with encoded photographs: both regimes, stages, outputs, deadlines; no ranking with others."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from depthport.bench.choice.choose import choose
from depthport.bench.inputs.encoded import EncodedScene, encoded_scenes, files_of, photograph_size, write_encoded
from depthport.bench.inputs.inputs import load_scenes
from depthport.bench.measure import engine
from depthport.bench.measure.observer import Observer
from depthport.bench.measure.plan import RunPlan
from depthport.bench.plan.cells import CellSpec
from depthport.bench.plan.protocol import RIGOROUS, Protocol
from depthport.bench.plan.regime import Regime
from depthport.bench.plan.request import measure_request
from depthport.bench.plan.visits import CallTimes, plan_visits
from depthport.bench.report.write import write_report
from depthport.bench.results.metrics import default_boundary
from depthport.bench.results.model import FROM_FILES, Results, Status
from depthport.bench.results.regimes import FixedRateSummary
from depthport.exporters.core.artifact import Shape
from depthport.exporters.core.errors import UsageError
from depthport.exporters.core.files.npz import read_npz
from depthport.exporters.core.store import ArtifactStore
from depthport.exporters.inputs.preprocess import final_size, preprocess, upstream_steps
from tests.support.fake_runtime import fake_artifact
from tests.support.requests import plan_of, request_for

pytest.importorskip("skimage.data")
SHAPE = Shape(1, 2, 14, 28)
FAST = replace(
    RIGOROUS, launches=1, budget_s=1.0, max_rounds=2, load_timeout_s=30.0, call_timeout_s=10.0, warmup_budget_s=0.2,
    boundary="pipeline",
)  # fmt: skip


@pytest.fixture(scope="module")
def scenes() -> tuple[EncodedScene, ...]:
    return encoded_scenes(SHAPE, sets=2)


def plan(artifact: Path, scenes: tuple[EncodedScene, ...], protocol: Protocol = FAST) -> RunPlan:
    cells = [
        CellSpec(
            export=request_for(SHAPE), runtime="tests.support.fakes:Fake", device="cpu", mode="plain", baseline=not call_ms,
            extra={"call_ms": 2 + call_ms}, artifact=str(artifact), label=json.dumps(call_ms), tags=(FROM_FILES,),
        )
        for call_ms in (0, 20)
    ]  # fmt: skip
    return plan_of(tuple(cells), scenes, protocol, parity=False)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory, scenes: tuple[EncodedScene, ...]) -> Results:
    folder = tmp_path_factory.mktemp("pipeline")
    artifact = fake_artifact(folder / "artifact", SHAPE).path
    return engine.run(plan(artifact, scenes), folder / "out", ArtifactStore(folder / "store"), Observer())


def test_a_run_has_both_regimes_and_neither_of_the_networks_boundaries(results: Results) -> None:
    cells = [cell for cell in results.cells if not cell.id.endswith(("aa", "plus5"))]
    assert [(cell.status, cell.reason) for cell in cells] == [(Status.OK, None)] * 2
    for cell in cells:
        assert set(cell.timing) == {"pipeline", "stream"}
        assert cell.stages_ms is not None and list(cell.stages_ms) == ["decode", "resize", "copy", "network", "back"]
        assert all(value > 0 for value in cell.stages_ms.values()) and cell.stages_ms["decode"] > cell.stages_ms["copy"]
    slow = cells[1]
    assert slow.stages_ms is not None and slow.stages_ms["network"] > 20
    assert set(slow.speedup) == {"pipeline", "stream"}
    assert results.protocol["boundary"] == "pipeline"


def test_its_controls_are_judged_by_scenes_alone(results: Results) -> None:
    assert set(results.controls) == {"aa", "plus5"}
    assert results.controls["aa"].ratio == pytest.approx(1.0, rel=0.5)
    assert "twice" not in results.controls["plus5"].reason


def test_it_is_a_workload_of_its_own(results: Results, tmp_path: Path) -> None:
    assert default_boundary(results.cells) == "pipeline"
    assert choose(results).workload.endswith("from encoded photographs")
    network = replace_tags(results)
    assert default_boundary(network.cells) == "pipeline"
    write_report([results, network], tmp_path)
    text = (tmp_path / "report.md").read_text()
    assert "Latency at the pipeline boundary: encoded photographs in" in text
    assert text.count("14×28, synthetic:0, from encoded photographs") > 0
    assert "where the time goes" in text and "decode" in text


def replace_tags(results: Results) -> Results:
    """The same cells as if they had been timed from arrays."""
    import msgspec

    return msgspec.structs.replace(results, cells=[msgspec.structs.replace(cell, tags=[]) for cell in results.cells])


def test_deadlines_are_those_of_the_whole_pipeline(tmp_path: Path, scenes: tuple[EncodedScene, ...]) -> None:
    artifact = fake_artifact(tmp_path / "artifact", SHAPE).path
    made = plan(artifact, scenes)
    made = replace(made, request=replace(made.request, regime=Regime("fixed-rate", 1.0, 5.0)))
    found = engine.run(made, tmp_path / "out", ArtifactStore(tmp_path / "store"), Observer())
    quick = found.cells[0].regime
    # Two photographs of two megapixels take longer to decode than the network's two milliseconds.
    assert isinstance(quick, FixedRateSummary) and quick.service_ms is not None and quick.service_ms > 8


def test_photographs_are_such_as_upstream_makes_the_artifacts_size_of() -> None:
    for height, width in ((504, 504), (280, 504), (14, 28), (70, 98), (98, 70)):
        tall, wide = photograph_size(height, width)
        assert abs(tall * wide / (1920 * 1080) - 1) < 0.02
        assert final_size((wide, tall), upstream_steps((wide, tall), max(height, width))) == (width, height)


def test_the_reference_computes_on_what_a_decoder_gives(scenes: tuple[EncodedScene, ...], tmp_path: Path) -> None:
    files = files_of(read_npz(write_encoded(scenes, tmp_path, "input")[1]))
    assert tuple(files) == scenes[1].files
    decoded = [np.asarray(Image.open(path)) for path in _written(files, tmp_path)]
    np.testing.assert_array_equal(preprocess(decoded, process_res=28)[0], scenes[1].image[0])
    assert scenes[0].sha256 != scenes[1].sha256 != load_scenes(SHAPE, sets=2)[1].sha256


def _written(files: list[bytes], folder: Path) -> list[Path]:
    paths = [folder / f"{index}.jpg" for index in range(len(files))]
    for path, data in zip(paths, files, strict=True):
        path.write_bytes(data)
    return paths


def test_the_users_own_files_go_in_as_they_are(tmp_path: Path) -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (60, 120, 3), np.uint8)
    paths = [tmp_path / "a.png", tmp_path / "b.jpg"]
    for path in paths:
        Image.fromarray(rgb).save(path)
    (scene,) = encoded_scenes(SHAPE, sets=3, images=paths)
    assert scene.files == tuple(path.read_bytes() for path in paths)
    np.testing.assert_array_equal(scene.image[0, 0], preprocess([rgb], process_res=28)[0][0])


def test_a_visit_is_scenes_alone_and_then_a_stream() -> None:
    visits = plan_visits({"a": CallTimes(1.0, 0.0), "b": CallTimes(0.003, 0.0)}, 1e-3, None, from_files=True)
    assert [(block.boundary, block.samples) for block in visits["a"].blocks] == [("pipeline", 1), ("stream", 8)]
    assert [block.boundary for block in visits["b"].blocks] == ["pipeline", "stream"]


@pytest.mark.parametrize("asked", [{"batch": 2}, {"pose_input": True}])
def test_what_has_no_files_of_one_scene_is_refused(asked: dict[str, bool | int]) -> None:
    with pytest.raises(UsageError, match="boundary pipeline takes photographs of one scene"):
        measure_request("da3-small", boundary="pipeline", weights="synthetic:0", height=14, width=28, **asked)  # type: ignore[arg-type]
