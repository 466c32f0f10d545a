"""Runtime `litert`: the contract on a real `.tflite`, and what is decided for LiteRT instead of by it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from depthport.exporters.core.artifact import Artifact
from depthport.exporters.core.errors import LoadError, UsageError
from depthport.exporters.core.isolation import call_isolated
from depthport.exporters.litert.convert import quantize
from depthport.exporters.litert.recipes import Recipe, dynamic, half
from depthport.runtimes.base import LoadOptions
from depthport.runtimes.contract import CHECKS, Subject
from depthport.runtimes.contract.subject import infer
from depthport.runtimes.host.threads import allowed_threads
from depthport.runtimes.litert import DELEGATE, LiteRTRuntime, executed
from tests.conftest import Exported
from tests.runtimes.conftest import THREADS
from tests.support.tiny import seal, tiny_litert
from tests.support.wheel import distribution, hide_packages


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    pytest.importorskip("ai_edge_litert")
    if reason := _exporter_missing():
        pytest.skip(reason)
    return tiny_litert(tmp_path_factory.mktemp("tiny"))


def _exporter_missing() -> str | None:
    from depthport.exporters.litert.exporter import LiteRTExporter

    return LiteRTExporter().probe()


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_contract(check: Callable[[Subject, Path], None], artifact: Artifact, tmp_path: Path) -> None:
    check(Subject(LiteRTRuntime(), artifact, options=LoadOptions(threads=THREADS)), tmp_path)


def test_placement_shows_threads_and_kernels(artifact: Artifact) -> None:
    with LiteRTRuntime().load(artifact, "cpu") as session:
        placement = session.placement()
    assert placement.details["threads"] == allowed_threads()
    assert placement.details["kernels"] == "XNNPACK"
    assert placement.details["delegated_nodes"] > 0
    # XNNPACK has no argmax: the reference view is LiteRT's own work.
    assert "ARG_MAX" in placement.details["other_nodes"]
    assert placement.delegated_share is not None and 0.5 < placement.delegated_share < 1


def test_operators_say_which_part_of_the_network_they_are_of(artifact: Artifact) -> None:
    """What int8 is chosen by: a module around the converted one would take its place in every name."""
    from ai_edge_litert.interpreter import Interpreter

    names = {tensor["name"] for tensor in Interpreter(str(artifact.file("model.tflite"))).get_tensor_details()}
    assert any("Conv2d_first" in name for name in names) and any("Conv2d_second" in name for name in names)


@pytest.mark.parametrize(
    ("precision", "recipe", "share", "bound"), [("fp16", half(), 0.6, 1e-3), ("int8", dynamic(), 0.5, 3e-2)]
)
def test_a_smaller_file_keeps_names_types_and_values(
    artifact: Artifact, tmp_path: Path, precision: str, recipe: Recipe, share: float, bound: float
) -> None:
    exact = artifact.file("model.tflite")
    arguments = {"model": str(exact), "quantized": "model.tflite", "recipe": recipe}
    call_isolated(quantize, arguments, tmp_path)
    small = seal(tmp_path, "litert", precision)
    assert small.file("model.tflite").stat().st_size < share * exact.stat().st_size
    found = []
    for each in (artifact, small):
        subject = Subject(LiteRTRuntime(), each, options=LoadOptions(threads=THREADS))
        with subject.load() as session:
            found.append(infer(session, subject.inputs(0)))
            assert session.placement().details["kernels"] == "XNNPACK"
    assert [(name, value.dtype) for name, value in found[1].items()] == [(n, v.dtype) for n, v in found[0].items()]
    assert 0 < np.linalg.norm(found[1]["depth"] - found[0]["depth"]) < bound * np.linalg.norm(found[0]["depth"])


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp16", "int8"])
@pytest.mark.parametrize("views", [1, 3])
def test_a_smaller_network_has_the_depth_of_the_exact_one(exported: Exported, views: int, precision: str) -> None:
    found = []
    for each in ("fp32", precision):
        subject = Subject(
            LiteRTRuntime(), exported("litert", views=views, precision=each), options=LoadOptions(threads=THREADS)
        )
        with subject.load() as session:
            found.append(infer(session, subject.inputs(0)))
    exact, small = found
    assert small["reference_view"].dtype == np.int64 and small["reference_view"] == exact["reference_view"]
    for name in ("depth", "extrinsics", "intrinsics"):
        assert 0 < np.linalg.norm(small[name] - exact[name]) < 2e-2 * np.linalg.norm(exact[name])


def test_executed_follows_the_outputs_backwards() -> None:
    def operator(name: str, inputs: list[int], outputs: list[int]) -> dict[str, Any]:
        return {"op_name": name, "inputs": inputs, "outputs": outputs}

    listed = [
        operator("CONV_2D", [0, -1], [1]),
        operator("RELU", [1], [2]),
        operator("ARG_MAX", [2], [3]),
        operator("MUL", [2], [4]),
        operator("SIN", [9], [8]),  # Nothing needs it.
        operator(DELEGATE, [0], [2]),
        operator(DELEGATE, [2], [4]),
    ]
    delegates, outside = executed(listed, [3, 4])
    assert delegates == 2
    assert dict(outside) == {"ARG_MAX": 1}


def test_times_here_are_not_a_phones() -> None:
    pytest.importorskip("ai_edge_litert")
    (device,) = LiteRTRuntime().probe()
    assert device.available and "phone" in (device.off_target or "")


def test_unknown_options_are_usage_errors(artifact: Artifact) -> None:
    with pytest.raises(UsageError, match="no option 'speed'"):
        LiteRTRuntime().load(artifact, "cpu", LoadOptions(extra={"speed": "fast"}))


def test_a_file_of_another_signature_is_a_load_error(artifact: Artifact, tmp_path: Path) -> None:
    content = artifact.file("model.tflite").read_bytes()
    # Names of equal length keep a flatbuffer's offsets.
    assert b"intrinsics" in content
    (tmp_path / "model.tflite").write_bytes(content.replace(b"intrinsics", b"extrinsics"))
    with pytest.raises(LoadError, match=r"gives .*'extrinsics'.*export it again"):
        LiteRTRuntime().load(seal(tmp_path, "litert"), "cpu")


def test_probe_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    hide_packages(monkeypatch)
    (device,) = LiteRTRuntime().probe()
    assert device.unavailable == "ai-edge-litert not installed"
    assert device.remedy == 'pip install "depthport[litert]"'


@pytest.mark.parametrize(
    ("version", "tag", "reason", "remedy"),
    [
        ("1.4.0", "", "is too old", 'pip install "ai-edge-litert<2.4,>=2.3"'),
        (
            "2.3.0", "cp39-cp39-any", "is built for another Python",
            'pip install --force-reinstall "ai-edge-litert<2.4,>=2.3"',
        ),
    ],
)  # fmt: skip
def test_probe_with_a_package_that_can_not_serve(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, version: str, tag: str, reason: str, remedy: str
) -> None:
    distribution(tmp_path, "ai-edge-litert", version, tag)
    monkeypatch.syspath_prepend(str(tmp_path))
    (device,) = LiteRTRuntime().probe()
    assert (device.unavailable or "").startswith(f"ai-edge-litert {version} {reason}") and device.remedy == remedy


def test_probe_with_a_broken_package(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ai_edge_litert")
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    (device,) = LiteRTRuntime().probe()
    assert "does not start" in (device.unavailable or "") and "--force-reinstall" in (device.remedy or "")


def test_the_adapter_imports_without_litert() -> None:
    source = Path(sys.modules[LiteRTRuntime.__module__].__file__ or "").read_text(encoding="utf-8")
    assert "\nimport ai_edge_litert" not in source and "\nfrom ai_edge_litert" not in source
