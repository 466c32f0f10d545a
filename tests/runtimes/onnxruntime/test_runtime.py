"""Runtime `onnxruntime` on the CPU provider, with hand-made graphs; what it does on others, by their options."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from depthport.exporters.core.artifact import Artifact
from depthport.exporters.core.errors import LoadError, PlacementError, UnsupportedError, UsageError
from depthport.exporters.core.nvidia import Gpu
from depthport.runtimes.base import LoadOptions, Session
from depthport.runtimes.contract import CHECKS, Subject
from depthport.runtimes.onnxruntime.providers import PROVIDERS, ProviderContext, providers_for
from depthport.runtimes.onnxruntime.runtime import OnnxRuntimeRuntime
from tests.runtimes.conftest import THREADS
from tests.support.tiny import tiny_onnx

pytest.importorskip("onnxruntime")


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return tiny_onnx(tmp_path_factory.mktemp("tiny"))


def load(artifact: Artifact, **extra: object) -> Session:
    return OnnxRuntimeRuntime().load(artifact, "cpu", LoadOptions(threads=THREADS, extra=extra))


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_contract(check: Callable[[Subject, Path], None], artifact: Artifact, tmp_path: Path) -> None:
    check(Subject(OnnxRuntimeRuntime(), artifact, options=LoadOptions(threads=THREADS)), tmp_path)


def test_every_node_is_accounted_for(artifact: Artifact) -> None:
    with load(artifact) as session:
        placement = session.placement()
    assert placement.details["threads"] == THREADS
    assert placement.details["providers"] == ["CPUExecutionProvider"]
    if placement.delegated_share is not None:
        assert placement.delegated_share == 1.0
        assert set(placement.details["nodes"]) == {"CPUExecutionProvider"}


@pytest.mark.parametrize("spinning", ["run", "always", "never"])
@pytest.mark.parametrize("graph_optimization", ["all", "disabled"])
def test_options_change_the_speed_and_not_the_result(artifact: Artifact, spinning: str, graph_optimization: str) -> None:
    subject = Subject(OnnxRuntimeRuntime(), artifact)
    with load(artifact) as session, load(artifact, spinning=spinning, graph_optimization=graph_optimization) as other:
        results = []
        for each in (session, other):
            each.bind(subject.inputs(0))
            each.run()
            each.synchronize()
            results.append(each.outputs())
    for name, expected in results[0].items():
        np.testing.assert_allclose(results[1][name], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("extra", "complaint"),
    [
        ({"spinning": "sometimes"}, "spinning of onnxruntime is one of run, always, never"),
        ({"graph_optimization": "max"}, "graph_optimization of onnxruntime is one of all"),
        ({"provider_options": 3}, "provider_options of onnxruntime is a mapping"),
        ({"speed": "fast"}, "no option 'speed'"),
    ],
)
def test_bad_options_are_usage_errors(artifact: Artifact, extra: dict[str, Any], complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        load(artifact, **extra)


def test_a_graph_of_another_signature_is_a_load_error(artifact: Artifact, tmp_path: Path) -> None:
    import onnx

    from tests.support.tiny import seal

    model = onnx.load(artifact.file("model.onnx"))
    for node in model.graph.node:
        node.output[:] = ["range" if name == "depth" else name for name in node.output]
        node.input[:] = ["range" if name == "depth" else name for name in node.input]
    model.graph.output[0].name = "range"
    onnx.save(model, tmp_path / "model.onnx")
    with pytest.raises(LoadError, match=r"gives .*'range'.*export it again"):
        load(seal(tmp_path, "onnx"))


def test_a_provider_that_is_not_there_is_no_silent_cpu(artifact: Artifact, tmp_path: Path) -> None:
    """Asked for CUDA on a machine without it, ONNX Runtime itself warns and runs on the CPU."""
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this build has the CUDA provider")
    from depthport.runtimes.onnxruntime.session import OrtOptions, OrtSession

    cuda = next(p for p in PROVIDERS if p.name == "CUDAExecutionProvider")
    with pytest.raises((PlacementError, LoadError)):
        OrtSession(artifact, "cuda", LoadOptions(), artifact.file("model.onnx"), cuda, OrtOptions())


def test_modes_are_the_available_providers() -> None:
    everything = sorted({p.name for p in PROVIDERS})
    assert [p.mode.name for p in providers_for("cuda:1", everything)] == [
        "cuda", "cuda-graph", "tensorrt", "tensorrt-rtx",
    ]  # fmt: skip
    on_cpu = [p.mode for p in providers_for("cpu", ["CPUExecutionProvider"])]
    assert [mode.name for mode in on_cpu if not mode.alternative] == ["cpu"] == [on_cpu[0].name]
    assert {mode.target for mode in on_cpu if mode.alternative} == {"portable"}
    assert providers_for("ane", ["CPUExecutionProvider"]) == []


@pytest.mark.parametrize("tf32", [False, True])
def test_tf32_follows_the_policy(tf32: bool) -> None:
    """The CUDA provider's own default is on, which would make an fp32 cell something else."""
    context = ProviderContext(index=1, tf32=tf32, threads=2, cache_dir="cache", memory_limit_bytes=1 << 30)
    for provider in providers_for("cuda", ["CUDAExecutionProvider"]):
        options = provider.options(context)
        assert options["use_tf32"] == ("1" if tf32 else "0")
        assert options["device_id"] == "1"
        assert options["gpu_mem_limit"] == str(1 << 30)
        assert options.get("enable_cuda_graph") == ("1" if provider.cuda_graph else None)


def cuda_options(**changes: Any) -> list[dict[str, Any]]:
    context = ProviderContext(index=0, tf32=False, threads=2, cache_dir="cache", **changes)
    return [provider.options(context) for provider in providers_for("cuda", ["CUDAExecutionProvider"])]


def test_fp16_convolutions_get_tensor_cores() -> None:
    """The CUDA provider keeps fp16 convolutions off them unless TF32 is on."""
    assert {options["use_tf32"] for options in cuda_options(fp16_convolutions=True)} == {"1"}
    assert {options["use_tf32"] for options in cuda_options(fp16_convolutions=False)} == {"0"}


def test_cudnn_attention_is_for_hopper() -> None:
    assert all("sdpa_kernel" not in options for options in cuda_options(capability=(8, 9)))
    assert {options["sdpa_kernel"] for options in cuda_options(capability=(9, 0))} == {"10"}


def test_cuda_modes_run_the_graph_made_for_them() -> None:
    targets = {p.mode.name: p.mode.target for p in PROVIDERS if p.device == "cuda"}
    assert targets == {
        "cuda": "ort-cuda", "cuda-graph": "ort-cuda", "tensorrt": "tensorrt", "tensorrt-rtx": "tensorrt",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("dtypes", "fp16", "bf16"), [(("float16", "float32"), "1", "0"), (("bfloat16", "float16"), "1", "1"), ((), "0", "0")]
)
def test_tensorrt_takes_half_precision_from_the_policy(dtypes: tuple[str, ...], fp16: str, bf16: str) -> None:
    context = ProviderContext(index=0, tf32=False, threads=2, cache_dir="cache", dtypes=dtypes)
    (provider,) = providers_for("cuda", ["TensorrtExecutionProvider"])
    options = provider.options(context)
    assert (options["trt_fp16_enable"], options["trt_bf16_enable"]) == (fp16, bf16)
    assert provider.mode.target == "tensorrt" and "fp32" not in provider.mode.precisions


def test_probe_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("depthport.runtimes.onnxruntime.runtime.find_spec", lambda name: None)
    (device,) = OnnxRuntimeRuntime().probe()
    assert not device.available
    assert device.remedy == "pip install onnxruntime"


@pytest.mark.parametrize(
    ("gpus", "providers", "complaint"),
    [
        ((), ["CPUExecutionProvider"], "no NVIDIA GPU or driver"),
        (("NVIDIA L4", "NVIDIA L4"), ["CPUExecutionProvider"], "has no CUDA provider"),
        (("NVIDIA L4", "NVIDIA L4"), ["CPUExecutionProvider", "CUDAExecutionProvider"], None),
    ],
)
def test_probe_tells_no_gpu_from_the_wrong_package(
    monkeypatch: pytest.MonkeyPatch, gpus: tuple[str, ...], providers: list[str], complaint: str | None
) -> None:
    import onnxruntime

    monkeypatch.setattr(
        "depthport.runtimes.onnxruntime.runtime.cuda_devices", lambda: tuple(Gpu(name, 24 << 30) for name in gpus)
    )
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: providers)
    devices = [d for d in OnnxRuntimeRuntime().probe() if d.name.startswith("cuda")]
    assert [d.name for d in devices] == ["cuda", "cuda:1"][: max(1, len(gpus))]
    for device in devices:
        if complaint is None:
            assert device.available
            assert [mode.name for mode in device.modes] == ["cuda", "cuda-graph"]
        else:
            assert complaint in (device.unavailable or "")
            assert device.remedy


def test_a_cuda_graph_takes_one_shape(artifact: Artifact) -> None:
    from dataclasses import replace

    from depthport.runtimes.onnxruntime.providers import providers_for
    from depthport.runtimes.onnxruntime.runtime import _require_one_shape

    open_views = replace(artifact, manifest=replace(artifact.manifest, dynamic=("views",)))
    found = providers_for("cuda", ["CUDAExecutionProvider"])
    graphs = [provider for provider in found if provider.cuda_graph]
    others = [provider for provider in found if not provider.cuda_graph]
    assert graphs and others
    for provider in graphs:
        _require_one_shape(artifact, provider)
        with pytest.raises(UnsupportedError, match="leaves views open"):
            _require_one_shape(open_views, provider)
    for provider in others:
        _require_one_shape(open_views, provider)
