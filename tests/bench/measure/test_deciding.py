"""A journal is resumed only where nothing that decides the measurement has changed."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from depthport.bench.inputs.inputs import load_scenes
from depthport.bench.measure import deciding
from depthport.bench.measure.observer import Observer
from depthport.bench.measure.plan import RunPlan
from depthport.bench.measure.run_journal import open_journal
from depthport.bench.plan.cells import CellSpec
from depthport.bench.workers import reference
from depthport.exporters.core import provenance, source
from depthport.exporters.core.errors import UsageError
from tests.bench.measure.test_engine import FAST, SHAPE, fake_cell
from tests.support.fake_runtime import fake_artifact
from tests.support.requests import plan_of, request_for

VERSIONS = provenance.package_versions
SOURCE = source.source_digest


def cell(runtime: str, format: str, **changes: Any) -> CellSpec:
    return replace(CellSpec(request_for(SHAPE, format), runtime, "cpu", "-"), **changes)


def plan(*cells: CellSpec) -> RunPlan:
    return plan_of(tuple(cells), load_scenes(SHAPE, sets=1), FAST)


ALL = (
    cell("pytorch", "pytorch", baseline=True),
    cell("onnxruntime", "onnx"),
    cell("openvino", "onnx"),
    cell("coreml", "coreml"),
    cell("tensorrt", "tensorrt"),
    cell("tensorrt-rtx", "tensorrt-rtx"),
)


@pytest.mark.parametrize(
    "package",
    ["torch", "triton", "onnxruntime-gpu", "openvino", "coremltools", "tensorrt-cu12", "tensorrt-rtx-cu13", "cuda-bindings",
     "onnxscript", "depth-anything-3", "numpy", "einops"],
)  # fmt: skip
def test_an_upgrade_is_another_plan(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = plan(*ALL).fingerprint()
    assert plan(*ALL).fingerprint() == before

    def upgraded(names: list[str]) -> dict[str, str]:
        return VERSIONS(names) | ({package: "99.0"} if package in names else {})

    monkeypatch.setattr(deciding, "package_versions", upgraded)
    assert plan(*ALL).fingerprint() != before


def test_what_takes_no_part_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: set[str] = set()

    def note(names: list[str]) -> dict[str, str]:
        asked.update(names)
        return {}

    monkeypatch.setattr(deciding, "package_versions", note)
    plan(ALL[0], ALL[1], replace(ALL[3], unavailable="no Mac")).fingerprint()
    assert {"torch", "onnxruntime"} <= asked and not {"coremltools", "openvino"} & asked


@pytest.mark.parametrize(
    "module",
    [
        "depthport.bench.workers.worker",
        "depthport.bench.measure.pool",
        "depthport.bench.plan.design",
        "depthport.runtimes.openvino",
        "depthport.runtimes.host.threads",
        "depthport.exporters.onnx.targets.openvino",
    ],
)
def test_the_source_of_worker_runtime_and_exporter_counts(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from depthport.exporters.core import source

    cells = (ALL[0], ALL[2])
    before = plan(*cells).fingerprint()
    read = source._read
    monkeypatch.setattr(source, "_read", lambda name: replace(read(name), digest="0") if name == module else read(name))
    source.source_digest.cache_clear()
    changed = plan(*cells).fingerprint()
    monkeypatch.undo()
    source.source_digest.cache_clear()
    assert changed != before == plan(*cells).fingerprint()


def test_the_source_of_another_runtime_or_of_the_report_does_not_count() -> None:
    from depthport.exporters.core.source import reachable

    reached = reachable(*deciding.MEASURING, "depthport.runtimes.openvino")
    rooms = {".".join(name.split(".")[1:3]) for name in reached}
    assert not rooms & {"bench.report", "bench.choice", "bench.cli", "runtimes.pytorch", "runtimes.tensorrt"}


def test_an_interpreter_of_its_own_tells_its_own_versions(monkeypatch: pytest.MonkeyPatch) -> None:
    from depthport.exporters.core.provenance import package_version

    found = deciding.deciding([ALL[0], replace(ALL[1], python=sys.executable)])
    assert set(found["interpreters"]) == {sys.executable}
    own = found["interpreters"][sys.executable]
    assert own.get("onnxruntime") == package_version("onnxruntime") and own["numpy"]
    assert deciding.deciding([replace(ALL[1], python=sys.executable + "-gone")])["interpreters"].popitem()[1] == {}


def test_an_artifact_that_was_given_counts_by_its_key(tmp_path: Path) -> None:
    given = fake_artifact(tmp_path / "artifact", SHAPE)
    assert deciding.deciding([fake_cell(given.path, "Fake")])["artifacts"].popitem()[1] == given.manifest.key


def test_an_unfinished_run_is_not_gone_on_with_after_an_upgrade(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    open_journal(plan(*ALL), tmp_path, Observer()).close()
    open_journal(plan(*ALL), tmp_path, Observer()).close()
    monkeypatch.setattr(deciding, "package_versions", lambda names: VERSIONS(names) | {"openvino": "99.0"})
    with pytest.raises(UsageError, match="unfinished run with another configuration, versions or source"):
        open_journal(plan(*ALL), tmp_path, Observer())


def test_a_reference_counts_with_the_source_that_computed_it(monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = (request_for(SHAPE), "1" * 64, "cpu")
    before = reference.reference_key(*arguments)
    monkeypatch.setattr(reference, "source_digest", lambda *modules: "f" * 64)
    assert reference.reference_key(*arguments) != before


def test_cameras_belong_to_the_plan_and_to_the_reference() -> None:
    """Photographs as they were with another focal length are other inputs: nothing of the first run is resumed."""
    scenes = load_scenes(SHAPE, sets=1)
    other = tuple(replace(scene, intrinsics=scene.intrinsics * np.array([[1.5], [1.5], [1.0]])) for scene in scenes)
    given = (scenes, load_scenes(SHAPE, sets=1), other)
    first, same, changed = (plan_of((ALL[0],), each, FAST) for each in given)
    assert first.fingerprint() == same.fingerprint() != changed.fingerprint()
    assert first.reference_name() == same.reference_name() != changed.reference_name()
