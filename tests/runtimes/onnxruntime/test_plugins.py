"""Runtime `onnxruntime-ep`: the contract on a real plug-in, and that a provider proves where and how it computed."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from depthport.exporters.core.artifact import Artifact
from depthport.exporters.core.errors import PlacementError, UnsupportedError, UsageError
from depthport.runtimes.base import Device, LoadOptions
from depthport.runtimes.contract import CHECKS, Subject
from depthport.runtimes.contract.subject import infer
from depthport.runtimes.onnxruntime import plugin_runtime, plugins
from depthport.runtimes.onnxruntime.plugin_runtime import PluginProviderRuntime
from depthport.runtimes.onnxruntime.plugins import Offer, Plugin
from depthport.runtimes.onnxruntime.providers import ProviderContext, plugin_options
from tests.runtimes.conftest import THREADS
from tests.support.tiny import tiny_matmul_onnx, tiny_onnx
from tests.support.wheel import distribution, hide_packages

REAL = pytest.mark.skipif(
    find_spec("onnxruntime_ggml") is None, reason="needs a plug-in for this CPU (pip install --no-deps onnxruntime-ggml)"
)
GGML = LoadOptions(mode="ggml", threads=THREADS)


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """What one test says is installed is not remembered for the next."""
    monkeypatch.setenv("ORT_GGML_LOG", "error")
    plugin_runtime._survey.cache_clear()


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return tiny_matmul_onnx(tmp_path_factory.mktemp("tiny"))


@REAL
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_contract(check: Callable[[Subject, Path], None], artifact: Artifact, tmp_path: Path) -> None:
    check(Subject(PluginProviderRuntime(), artifact, options=GGML), tmp_path)


@REAL
def test_placement_proves_nodes_and_precision(artifact: Artifact) -> None:
    subject = Subject(PluginProviderRuntime(), artifact, options=GGML)
    with subject.load() as session:
        infer(session, subject.inputs(0))
        placement = session.placement()
    assert placement.details["nodes"] == {"onnxruntime-ggml": 9} and placement.delegated_share == 1.0
    assert placement.details["plugin"].startswith("onnxruntime-ggml ")
    assert placement.details["bit_equal"] is False
    assert set(placement.details["cpu_provider_error"]) == {"depth", "intrinsics"}


@REAL
def test_less_than_fp32_in_an_fp32_policy_is_a_failure(artifact: Artifact) -> None:
    """Its own default: weights in fp16."""
    options = LoadOptions(mode="ggml", extra={"provider_options": {"weights": "f16"}})
    subject = Subject(PluginProviderRuntime(), artifact, options=options)
    with subject.load() as session:
        infer(session, subject.inputs(0))
        with pytest.raises(PlacementError, match=r"computes in less than float32: its depth is \d.\de-05 off"):
            session.placement()


@REAL
@pytest.mark.parametrize("fallback", [False, True])
def test_a_provider_that_takes_nothing_has_no_form_of_the_model(tmp_path: Path, fallback: bool) -> None:
    """It has no ArgMax, and then claims nothing at all; ONNX Runtime would run everything on the CPU. A run has a row of it
    and no warning: nobody chose that provider for that model.
    """
    options = LoadOptions(mode="ggml", extra={"cpu_fallback": fallback})
    with pytest.raises(UnsupportedError, match=r"takes none of .* 10 nodes"):
        PluginProviderRuntime().load(tiny_onnx(tmp_path), "cpu", options)


@REAL
def test_a_provider_whose_nodes_nobody_counts_and_whose_bits_are_the_cpus_is_a_failure(
    artifact: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with a version of ONNX Runtime that does not tell who runs what."""
    subject = Subject(PluginProviderRuntime(), artifact, options=GGML)
    with subject.load() as session:
        infer(session, subject.inputs(0))
        monkeypatch.setattr("depthport.runtimes.onnxruntime.session._assignments", lambda session: iter(()))
        monkeypatch.setattr(type(session), "_errors", lambda self: ({"depth": 0.0}, True))
        with pytest.raises(PlacementError, match="ran nothing: its outputs are those of the CPU provider to the bit"):
            session.placement()


@REAL
def test_an_unknown_mode_is_a_usage_error_that_names_those_there_are(artifact: Artifact) -> None:
    with pytest.raises(UsageError, match=r"no mode 'swift' on cpu: choose one of .*ggml"):
        PluginProviderRuntime().load(artifact, "cpu", LoadOptions(mode="swift"))


# --- what is installed, without any of it


def package(site: Path, name: str, module: str, source: str) -> None:
    distribution(site, name, "1.5", files={f"{module}/__init__.py": source})


def test_plug_ins_are_found_by_what_they_provide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    provides = "def get_ep_names(): ...\ndef get_library_path(): ..."
    package(tmp_path, "onnxruntime-ep-acme-cu13", "onnxruntime_ep_acme", provides)
    package(tmp_path, "acme-ep-npu", "acme_npu", "EP_NAME = 'acme'\ndef library_path(): ...")
    package(tmp_path, "onnxruntime-extensions", "onnxruntime_extensions", "def get_library_path(): ...")
    package(tmp_path, "deep-epoch", "deep_epoch", provides)
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    assert plugins.installed() == (
        Plugin("acme-ep-npu", "1.5", "acme_npu"),
        Plugin("onnxruntime-ep-acme-cu13", "1.5", "onnxruntime_ep_acme"),
    )


def surveyed(monkeypatch: pytest.MonkeyPatch, *answers: dict[str, Any]) -> list[Device]:
    """What `probe` makes of plug-ins that answer so."""
    found = tuple(Plugin(f"onnxruntime-ep-{index}", "1.5", "none") for index in range(len(answers)))
    monkeypatch.setattr(plugins, "installed", lambda: found)
    monkeypatch.setattr(plugin_runtime, "call_isolated", lambda *_: SimpleNamespace(value=list(answers)))
    return PluginProviderRuntime().probe()


def offer(provider: str, device: str) -> dict[str, Any]:
    return {"provider": provider, "mode": plugins._mode(provider), "device": device, "hardware": "Acme 1", "plugin": {}}


def test_each_offer_is_a_mode_of_its_device_and_silent_plug_ins_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnxruntime")
    cpu, gpu = surveyed(
        monkeypatch,
        {"offers": [offer("OpenVINOExecutionProvider", "cpu"), offer("OpenVINOExecutionProvider", "gpu")]},
        {"offers": [offer("WebGpuExecutionProvider", "gpu")]},
        {"offers": []},
        {"problem": "Fail: no libcuda.so.1"},
    )
    assert [mode.name for mode in cpu.modes] == ["openvino"] and cpu.precisions == ("fp32",)
    assert [mode.name for mode in gpu.modes] == ["openvino", "webgpu"] and gpu.description == "Acme 1"
    assert cpu.notes == (
        "onnxruntime-ep-2 1.5 lists no device of this machine",
        "onnxruntime-ep-3 1.5 does not register (Fail: no libcuda.so.1)",
    )


def test_plug_ins_that_offer_nothing_here_are_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnxruntime")
    (device,) = surveyed(monkeypatch, {"offers": []})
    assert device.unavailable == "onnxruntime-ep-0 1.5 lists no device of this machine" and device.remedy


@pytest.mark.parametrize(
    ("installed", "reason", "remedy"),
    [
        ((), "onnxruntime not installed", "pip install onnxruntime"),
        (("1.17.0", ""), "onnxruntime 1.17.0 is too old (>=1.23 is needed)", 'pip install "onnxruntime>=1.23"'),
        (
            ("1.30.0", "cp39-cp39-any"), "onnxruntime 1.30.0 is built for another Python",
            'pip install --force-reinstall "onnxruntime>=1.23"',
        ),
        (("1.30.0", ""), "no plug-in provider of ONNX Runtime is installed", "pip install onnxruntime-ep-openvino (Intel)"),
    ],
)  # fmt: skip
def test_probe_without_packages(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, installed: tuple[str, str] | tuple[()], reason: str, remedy: str
) -> None:
    if installed:
        distribution(tmp_path, "onnxruntime", *installed)
        monkeypatch.syspath_prepend(str(tmp_path))
    else:
        hide_packages(monkeypatch)
    monkeypatch.setattr(plugins, "installed", lambda: ())
    (device,) = PluginProviderRuntime().probe()
    assert device.unavailable == reason and (device.remedy or "").startswith(remedy)


@pytest.mark.parametrize(
    ("dtype", "hint"), [("float32", '"INFERENCE_PRECISION_HINT": "f32"'), ("bfloat16", '"EXECUTION_MODE_HINT": "ACCURACY"')]
)
def test_what_openvino_is_told(dtype: str, hint: str) -> None:
    context = ProviderContext(0, False, 2, "", dtypes=(dtype, "float32"))
    options = plugin_options("openvino", "cpu")(context)
    assert hint in options["load_config"] and '"INFERENCE_NUM_THREADS": "2"' in options["load_config"]
    assert "THREADS" not in plugin_options("openvino", "gpu")(context)["load_config"]
    assert plugin_options("webgpu", "gpu")(context) == {}


def test_offers_are_named_as_devices_are_here() -> None:
    assert plugins._mode("NvTensorRTRTXExecutionProvider") == "nvtensorrtrtx"
    assert plugins._mode("onnxruntime-ggml") == "ggml" and plugins._mode("cpu_ep") == "cpu-ep"
    assert Offer("a", "a", "gpu:1", "Acme", Plugin("b", "1", "c")).device == "gpu:1"
