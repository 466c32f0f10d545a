"""The optimized graph that ONNX Runtime's adapter keeps: made once, bound to what it depends on, never trusted blindly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from depthport.exporters.core.artifact import Artifact
from depthport.exporters.core.files.sealed import SEAL
from depthport.runtimes.base import Arrays, LoadOptions
from depthport.runtimes.contract import Subject
from depthport.runtimes.onnxruntime import cache as ort_cache
from depthport.runtimes.onnxruntime.cache import OptimizedGraph
from depthport.runtimes.onnxruntime.runtime import OnnxRuntimeRuntime
from tests.runtimes.conftest import THREADS
from tests.support.tiny import tiny_onnx

ort = pytest.importorskip("onnxruntime")


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return tiny_onnx(tmp_path_factory.mktemp("tiny"))


def options(folder: Path, **extra: object) -> LoadOptions:
    return LoadOptions(threads=THREADS, cache_dir=folder, extra=extra)


def run(artifact: Artifact, chosen: LoadOptions) -> tuple[Any, Arrays]:
    """What the load said of its graph, and the outputs."""
    inputs = Subject(OnnxRuntimeRuntime(), artifact).inputs(0)
    with OnnxRuntimeRuntime().load(artifact, "cpu", chosen) as session:
        session.bind(inputs)
        session.run()
        session.synchronize()
        placement = session.placement()
        assert placement.delegated_share in (None, 1.0)
        return placement.details["optimized_graph"], session.outputs()


def entry(artifact: Artifact, chosen: LoadOptions) -> OptimizedGraph:
    return OptimizedGraph.of(artifact, chosen, ort.__version__, "all")


def test_the_second_load_takes_the_kept_graph_and_computes_the_same(artifact: Artifact, tmp_path: Path) -> None:
    first, expected = run(artifact, options(tmp_path))
    second, found = run(artifact, options(tmp_path))
    assert (first, second) == ("optimized and kept", "kept by an earlier load")
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value)
    kept = entry(artifact, options(tmp_path))
    assert kept.complete()
    assert {path.name for path in kept.folder.iterdir()} >= {ort_cache.MODEL_FILE, SEAL}
    assert not list(kept.folder.parent.glob(".writing-*"))


@pytest.mark.parametrize("damage", ["truncated", "garbled", "no seal", "a flipped bit"])
def test_a_damaged_graph_is_made_anew(artifact: Artifact, tmp_path: Path, damage: str) -> None:
    _, expected = run(artifact, options(tmp_path))
    kept = entry(artifact, options(tmp_path))
    content = kept.model.read_bytes()
    if damage == "truncated":
        kept.model.write_bytes(content[: len(content) // 2])
    elif damage == "garbled":
        kept.model.write_bytes(b"\xff" * len(content))
    elif damage == "a flipped bit":
        weights = kept.folder / ort_cache.WEIGHTS_FILE
        flipped = bytearray(weights.read_bytes())
        flipped[len(flipped) // 2] ^= 0x40
        weights.write_bytes(flipped)
    else:
        (kept.folder / SEAL).unlink()
    said, found = run(artifact, options(tmp_path))
    assert said == "optimized and kept"
    np.testing.assert_array_equal(found["depth"], expected["depth"])
    assert run(artifact, options(tmp_path))[0] == "kept by an earlier load"


def test_another_version_processor_or_level_is_another_entry(
    artifact: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = options(tmp_path)
    entries = {
        OptimizedGraph.of(artifact, chosen, version, level).folder
        for version in ("1.31.0", "1.32.0")
        for level in ("all", "extended")
    }
    monkeypatch.setattr(ort_cache, "cpu_fingerprint", lambda: "another")
    entries.add(OptimizedGraph.of(artifact, chosen, "1.32.0", "all").folder)
    assert len(entries) == 5


def test_nothing_is_kept_where_nothing_can_be_written(artifact: Artifact, tmp_path: Path) -> None:
    occupied = tmp_path / "file"
    occupied.write_text("not a folder")
    said, _ = run(artifact, options(occupied / "cache"))
    assert said == "not kept"
    assert occupied.read_text() == "not a folder"


def test_an_unoptimized_session_keeps_nothing(artifact: Artifact, tmp_path: Path) -> None:
    assert run(artifact, options(tmp_path, graph_optimization="disabled"))[0] == "not kept"
    assert not list(tmp_path.iterdir())


def test_two_processes_that_write_at_once_leave_one_entry(artifact: Artifact, tmp_path: Path) -> None:
    kept = entry(artifact, options(tmp_path))
    folders = [kept.begin(), kept.begin()]
    for folder in folders:
        (folder / ort_cache.MODEL_FILE).write_bytes(b"graph")
    assert [kept.finish(folder) for folder in folders] == [True, False]
    assert kept.complete()
    assert [path.name for path in kept.folder.parent.iterdir()] == [kept.folder.name]
