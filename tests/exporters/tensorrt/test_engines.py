"""Engines from the real package, built without a GPU; what stops a build, and what it leaves behind."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from depthport.exporters.core.artifact import Artifact
from depthport.exporters.core.errors import ArtifactError, ExportError
from depthport.exporters.core.store import ArtifactStore
from depthport.exporters.da3.models import MODELS
from depthport.exporters.tensorrt.build import build, parse
from depthport.exporters.tensorrt.exporter import TensorRTExporter, TensorRTRTXExporter
from depthport.exporters.tensorrt.graph import QUANTIZED_FILE, find_onnx
from depthport.exporters.tensorrt.options import options_for
from depthport.exporters.tensorrt.platform import ENGINE_FILE, TENSORRT_RTX, damage, gpu_here, read_header
from tests.conftest import Exported, export_small
from tests.exporters.tensorrt.conftest import VIEWS
from tests.support.paths import ROOT

TARGET = "sm86,sm89,sm120"


@pytest.fixture(scope="module")
def engine(trt: Any, exported: Exported) -> Artifact:
    pytest.importorskip("onnxscript")
    return exported("tensorrt-rtx", precision="fp16", views=VIEWS, target=TARGET)


def test_an_engine_for_three_generations(engine: Artifact, trt: Any) -> None:
    manifest = engine.manifest
    engine.verify()
    path = engine.file(ENGINE_FILE)
    assert damage(path, TENSORRT_RTX) is None
    header = read_header(path)
    assert header is not None and header.version == manifest.target["version"] == trt.__version__
    assert manifest.target["capabilities"] == ["sm86", "sm89", "sm120"]
    assert manifest.extra["network"]["attention"] == {"IAttention": 12}
    assert manifest.extra["network"]["attention_decomposable"] == 0, "every attention is one kernel"
    assert manifest.extra["warnings"] == []
    assert manifest.extra["estimate"]["weights_bytes"] < path.stat().st_size
    assert find_onnx(engine).is_file()


def test_a_second_export_finds_it(engine: Artifact, store: ArtifactStore) -> None:
    again = export_small(store, "tensorrt-rtx", precision="fp16", views=VIEWS, target="sm120,sm89,sm86")
    assert again.origin == "cached" and again.artifact.path == engine.path


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "tf32", "bf16", "int8", "fp8"])
def test_every_precision_builds(precision: str, trt: Any, exported: Exported) -> None:
    target = "sm89,sm120" if precision == "fp8" else TARGET
    artifact = exported("tensorrt-rtx", precision=precision, views=VIEWS, target=target)
    assert damage(artifact.file(ENGINE_FILE), TENSORRT_RTX) is None
    assert (find_onnx(artifact).name == QUANTIZED_FILE) == (precision == "fp8")
    assert ("quantization" in artifact.manifest.extra) == (precision in ("int8", "fp8"))
    if precision == "int8":
        found = artifact.manifest.extra["quantization"]["held_out"]
        assert found["depth"] <= 8e-3 and found["rotation_deg"] <= 0.4
    if precision == "fp8":
        assert any("fp16 keeps both" in line for line in artifact.manifest.extra["warnings"])


@pytest.mark.slow
def test_an_engine_for_a_range_of_shapes(trt: Any, exported: Exported) -> None:
    """One profile over views, size and batch, from the graph with open dimensions."""
    pytest.importorskip("onnxruntime")
    artifact = exported(
        "tensorrt-rtx", precision="fp16", height=28, width=42, target="sm89", dynamic=("views", "size", "batch"),
        options={"views": "1:2:4", "batch": "1:2", "size": "28x42:56x84"},
    )  # fmt: skip
    assert damage(artifact.file(ENGINE_FILE), TENSORRT_RTX) is None
    assert artifact.manifest.extra["network"]["products"]["positions matrix_multiply"] == {"float32": 2}
    profile: Any = artifact.manifest.options["profile"]
    assert profile["views"] == {"min": 1, "opt": 2, "max": 4}


def test_an_engine_that_takes_poses(trt: Any, exported: Exported) -> None:
    artifact = exported("tensorrt-rtx", precision="fp16", views=2, height=28, width=42, target="sm89", pose_input=True)
    names = {spec.name: spec.native_name for spec in artifact.manifest.inputs}
    assert names == {"image": "image", "extrinsics": "extrinsics_in", "intrinsics": "intrinsics_in"}
    network = parse(trt, find_onnx(artifact)).network
    assert {network.get_input(index).name for index in range(network.num_inputs)} == set(names.values())


@pytest.mark.slow
@pytest.mark.parametrize("model", list(MODELS))
def test_every_model_of_the_family_parses(model: str, trt: Any, store: ArtifactStore) -> None:
    from depthport.exporters.api import export
    from depthport.exporters.core.precision import POLICIES
    from depthport.exporters.onnx.graph_file import read_graph
    from depthport.exporters.tensorrt.network import audit, walk
    from depthport.exporters.tensorrt.onnx_file import onnx_facts

    stored = export(
        model, format="onnx", target="tensorrt", precision="fp16", height=70, width=98, weights="synthetic:0", store=store
    )
    path = stored.artifact.file("model.onnx")
    parsed = parse(trt, path)
    found = audit(walk(parsed.network), onnx_facts(read_graph(path)), POLICIES["fp16"])
    assert found.errors == () and found.attention


@pytest.mark.slow
def test_without_weights_an_engine_is_small(trt: Any, exported: Exported, engine: Artifact) -> None:
    if gpu_here() is None:
        pytest.skip("no NVIDIA GPU or driver: without one the builder stops halfway when it strips weights")
    stripped = exported("tensorrt-rtx", precision="fp16", views=VIEWS, target="sm89", options={"strip_weights": True})
    assert stripped.manifest.extra["stripped"]
    assert stripped.file(ENGINE_FILE).stat().st_size < 0.3 * engine.file(ENGINE_FILE).stat().st_size


PRESSED = """
import os, signal, sys
from pathlib import Path
import tensorrt_rtx as trt
from depthport.exporters.core.artifact import load_artifact
from tests.exporters.tensorrt.test_engines import TENSORRT_RTX, build, find_onnx, options_for, parse

engine, path = map(Path, sys.argv[1:])
steps = []

def press(step):
    steps.append(step)
    if len(steps) == 2:
        os.kill(os.getpid(), signal.SIGINT)

signal.signal(signal.SIGINT, signal.default_int_handler)
try:
    parsed = parse(trt, find_onnx(load_artifact(engine)))
    build(trt, parsed, TENSORRT_RTX, options_for("sm89", TENSORRT_RTX), False, path, press)
except KeyboardInterrupt:
    print("pressed")
assert steps[0] == "building the engine" and all(step.startswith("building the engine") for step in steps), steps
assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
"""


def test_ctrl_c_ends_a_build_and_leaves_nothing(engine: Artifact, trt: Any, tmp_path: Path) -> None:
    # In a process of its own: at the end of a long test process the same once ended that without a word.
    command = [sys.executable, "-c", PRESSED, str(engine.path), str(tmp_path / "model.engine")]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout.strip()) == (0, "pressed"), ended.stderr
    assert not list(tmp_path.iterdir())


def test_a_failing_builder_says_why(engine: Artifact, trt: Any, tmp_path: Path) -> None:
    parsed = parse(trt, find_onnx(engine))
    parsed.network.unmark_output(parsed.network.get_output(0))
    for _ in range(parsed.network.num_outputs):
        parsed.network.unmark_output(parsed.network.get_output(0))
    with pytest.raises(ExportError, match=r"can't build the engine: .*output") as raised:
        options = options_for("sm89", TENSORRT_RTX)
        build(trt, parsed, TENSORRT_RTX, options, False, tmp_path / "model.engine", lambda step: None)
    assert "\n" not in str(raised.value) and not list(tmp_path.iterdir())


def test_a_graph_that_is_gone_is_one_line(engine: Artifact, tmp_path: Path) -> None:
    moved = Artifact(tmp_path / "elsewhere", engine.manifest)
    with pytest.raises(ArtifactError, match="is not in the store: export the engine again"):
        find_onnx(moved)


def test_full_tensorrt_says_what_it_needs() -> None:
    reason = TensorRTExporter().probe()
    if reason is None:
        pytest.skip("full TensorRT and a GPU are here")
    assert "\n" not in reason and ("pip install" in reason or "this one has none" in reason)


def test_probe(trt: Any) -> None:
    pytest.importorskip("onnxscript")
    assert TensorRTRTXExporter().probe() is None
