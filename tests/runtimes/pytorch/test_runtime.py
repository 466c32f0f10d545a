"""Runtime `pytorch`: the contract over its three modes, flags, determinism, what it refuses."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from depthport.exporters.core.artifact import Artifact, TensorSpec
from depthport.exporters.core.errors import LoadError, RunError, UnsupportedError, UsageError
from depthport.exporters.core.precision import resolve_policy
from depthport.runtimes.base import Arrays, LoadOptions
from depthport.runtimes.contract import CHECKS, Subject
from depthport.runtimes.pytorch.runtime import PyTorchRuntime
from tests.conftest import Exported
from tests.runtimes.conftest import THREADS
from tests.support.tiny import tiny_pytorch

pytest.importorskip("torch")
import torch


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return tiny_pytorch(tmp_path_factory.mktemp("tiny"))


def options(mode: str, **fields: object) -> LoadOptions:
    return LoadOptions(mode=mode, threads=THREADS, **fields)  # type: ignore[arg-type]


def load(artifact: Artifact, mode: str, **fields: Any) -> Any:
    return PyTorchRuntime().load(artifact, "cpu", options(mode, **fields))


def infer(session: Any, inputs: Arrays) -> Arrays:
    session.bind(inputs)
    session.run()
    session.synchronize()
    return dict(session.outputs())


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_contract_eager(check: Callable[[Subject, Path], None], tiny: Artifact, tmp_path: Path) -> None:
    check(Subject(PyTorchRuntime(), tiny, options=options("eager")), tmp_path)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_contract_compile(check: Callable[[Subject, Path], None], tiny: Artifact, tmp_path: Path) -> None:
    check(Subject(PyTorchRuntime(), tiny, options=options("compile")), tmp_path)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_contract_upstream(check: Callable[[Subject, Path], None], exported: Exported, tmp_path: Path) -> None:
    check(Subject(PyTorchRuntime(), exported("pytorch"), options=options("upstream")), tmp_path)


@pytest.mark.parametrize("mode", ["upstream", "eager"])
def test_the_same_bits_every_time(mode: str, exported: Exported) -> None:
    artifact = exported("pytorch")
    with load(artifact, mode) as session:
        inputs = Subject(PyTorchRuntime(), artifact).inputs(0)
        first = infer(session, inputs)
        for _ in range(20):
            again = infer(session, inputs)
            for name in first:
                np.testing.assert_array_equal(again[name], first[name], err_msg=name)


@pytest.mark.parametrize("precision", ["fp32", "tf32"])
def test_tf32_is_set_from_the_policy(precision: str, tmp_path: Path) -> None:
    with load(tiny_pytorch(tmp_path, precision), "eager") as session:
        wanted = precision == "tf32"
        assert torch.backends.cudnn.allow_tf32 is wanted
        assert torch.get_float32_matmul_precision() == ("high" if wanted else "highest")
        assert session.placement().details["tf32"] is wanted


def test_seed_names_are_aliases(tiny: Artifact) -> None:
    runtime = PyTorchRuntime()
    device = runtime.device("cpu")
    names = {alias: runtime.mode(device, alias).name for alias in ("minimal", "balanced", "max")}
    assert names == {"minimal": "upstream", "balanced": "eager", "max": "compile"}


def test_placement_names_devices_and_dtypes(tiny: Artifact) -> None:
    with load(tiny, "eager") as session:
        infer(session, Subject(PyTorchRuntime(), tiny).inputs(0))
        details = session.placement().details
    assert details["tensors_by_device"] == {"cpu": 5}
    assert details["tensors_by_dtype"] == {"float32": 5}
    assert details["threads"] == THREADS


def test_upstream_has_only_its_own_precisions(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match="upstream has no precision 'bf16': its own are fp32, tf32"):
        load(tiny_pytorch(tmp_path, "bf16"), "upstream")


def test_upstream_under_torch_compile_refuses_what_it_can_not_give(exported: Exported) -> None:
    artifact = exported("pytorch")
    ray = TensorSpec("ray", (1, 1, 40, 56, 6), "float32")
    asked = replace(artifact, manifest=replace(artifact.manifest, outputs=(*artifact.manifest.outputs, ray)))
    with pytest.raises(UnsupportedError, match=r"takes normalised images and gives depth and cameras"):
        load(asked, "upstream-compile")


@pytest.mark.slow
@pytest.mark.parametrize("views", [1, 3])
def test_upstream_under_torch_compile_is_upstream(exported: Exported, views: int) -> None:
    from torch._dynamo.utils import counters

    artifact = exported("pytorch", views=views)
    inputs = Subject(PyTorchRuntime(), artifact).inputs(0)
    with load(artifact, "upstream") as session:
        plain = infer(session, inputs)
    with load(artifact, "upstream-compile") as session:
        for _ in range(2):
            infer(session, inputs)
        graphs = counters["stats"]["unique_graphs"]
        found = infer(session, inputs)
        assert counters["stats"]["unique_graphs"] == graphs > 1, "compiled in its first two calls, and not whole"
    assert all(np.allclose(found[name], plain[name], rtol=1e-4, atol=1e-4) for name in plain)
    assert np.array_equal(found["reference_view"], plain["reference_view"])


def test_upstream_runs_under_its_official_autocast(exported: Exported) -> None:
    """bf16 autocast moves the outputs by what bf16 rounds, and reports itself."""
    artifact = exported("pytorch")
    inputs = Subject(PyTorchRuntime(), artifact).inputs(0)
    with load(artifact, "upstream") as session:
        full = infer(session, inputs)
    # Upstream reads the fp32 weights in every policy, so another policy's artifact differs only in its manifest.
    policy = resolve_policy("bf16-mixed").to_json()
    with load(replace(artifact, manifest=replace(artifact.manifest, precision=policy)), "upstream") as session:
        mixed = infer(session, inputs)
        assert session.placement().details["autocast"] == "bfloat16"
    error = np.linalg.norm(mixed["depth"] - full["depth"]) / np.linalg.norm(full["depth"])
    assert 1e-5 < error < 0.1


def test_weights_of_another_model_are_a_load_error(exported: Exported, tmp_path: Path) -> None:
    from depthport.exporters.core.artifact import Artifact

    source = exported("pytorch")
    for info in source.manifest.files:
        if info.path != "model.safetensors":
            os.link(source.file(info.path), tmp_path / info.path)
    from safetensors.torch import save_file

    save_file({"model.something": torch.zeros(3)}, tmp_path / "model.safetensors")
    for mode in ("upstream", "eager"):
        with pytest.raises(LoadError, match=r"model\.safetensors of .*(does not fit|does not hold)"):
            load(Artifact(tmp_path, source.manifest), mode)


def test_options_of_others_are_refused(tiny: Artifact) -> None:
    with pytest.raises(UsageError, match="pytorch has no option 'spinning'"):
        load(tiny, "eager", extra={"spinning": "never"})


def test_probe_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("depthport.runtimes.pytorch.runtime.find_spec", lambda name: None)
    (device,) = PyTorchRuntime().probe()
    assert not device.available
    assert device.remedy == 'pip install "depthport[da3]"'


def test_probe_without_a_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("depthport.runtimes.pytorch.runtime._compiler", lambda: None)
    cpu = PyTorchRuntime().device("cpu")
    assert [mode.name for mode in cpu.modes] == ["upstream", "eager"]
    assert any("C++ compiler" in note for note in cpu.notes)


@pytest.mark.parametrize("bf16", [False, True])
def test_bf16_is_advised_only_where_the_cpu_has_it(monkeypatch: pytest.MonkeyPatch, bf16: bool) -> None:
    monkeypatch.setattr("depthport.runtimes.pytorch.runtime.has_bf16", lambda: bf16)
    cpu = PyTorchRuntime().device("cpu")
    assert ("bf16" in cpu.precisions) is bf16
    assert cpu.precisions[0] == "fp32"
    assert any("bf16" in note for note in cpu.notes)


def test_the_runtime_imports_without_torch() -> None:
    names = "('torch', 'onnxruntime')"
    code = (
        "import sys; from depthport.runtimes.onnxruntime import runtime; from depthport.runtimes.pytorch import runtime; "
        f"print([m for m in {names} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_second_process_finds_the_compiled_code(tiny: Artifact, tmp_path: Path) -> None:
    """The second process compiles nothing: inductor's C++ compiler is never started."""
    code = """
import json, sys
from torch._dynamo.utils import counters
from depthport.exporters.core.artifact import load_artifact
from depthport.exporters.core.precision import resolve_policy
from depthport.runtimes.base import LoadOptions
from depthport.runtimes.pytorch.runtime import PyTorchRuntime
from depthport.runtimes.contract import Subject
from pathlib import Path
artifact = load_artifact(sys.argv[1])
options = LoadOptions(mode="compile", threads=1, cache_dir=Path(sys.argv[2]))
subject = Subject(PyTorchRuntime(), artifact, options=options)
with subject.load() as session:
    session.bind(subject.inputs(0))
    session.run()
    print(json.dumps({**counters["inductor"], "placement": session.placement().details}))
"""
    found = []
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", code, str(tiny.path), str(tmp_path / "cache")],
            capture_output=True,
            text=True,
            check=True,
        )
        found.append(json.loads(done.stdout.splitlines()[-1]))
    assert found[0]["fxgraph_cache_miss"] >= 1
    assert found[1].get("fxgraph_cache_miss", 0) == 0
    assert found[1]["placement"]["graph_breaks"] == 0


MPS_WARNING = (
    "The operator 'aten::{}' is not currently supported on the MPS backend and will fall back to run on the CPU. This may"
    " have performance implications. (Triggered internally at MPSFallback.mm:14.)"
)


def test_operators_that_mps_hands_to_the_cpu_are_listed(tiny: Artifact) -> None:
    """PyTorch's own warnings, by a session that believes to be on MPS; each operator once, from the first run."""
    import warnings

    session = load(tiny, "eager")
    inputs = Subject(PyTorchRuntime(), tiny).inputs(0)
    forward = session._forward
    calls: list[int] = []

    def falls_back(image: torch.Tensor) -> object:
        names = ["upsample_bicubic2d.out", "_linalg_svd", "upsample_bicubic2d.out"] if not calls else ["late"]
        calls.append(1)
        for name in names:
            warnings.warn(MPS_WARNING.format(name), stacklevel=1)
        return forward(image)

    session.bind(inputs)
    session._forward, session._device = falls_back, torch.device("mps")
    session.run()
    assert session._fell_back == ("aten::upsample_bicubic2d.out", "aten::_linalg_svd")
    with pytest.warns(UserWarning, match="late"):
        session.run()
    placement = session.placement()
    assert set(session._fell_back) <= set(placement.fallback)


def test_an_operator_that_mps_lacks_is_named(tiny: Artifact) -> None:
    session = load(tiny, "eager")
    session.bind(Subject(PyTorchRuntime(), tiny).inputs(0))

    torchs_own = NotImplementedError("The operator 'aten::_linalg_svd' is not currently implemented for the MPS device.")

    def lacks(image: torch.Tensor) -> None:
        raise torchs_own

    session._forward, session._device = lacks, torch.device("mps")
    with pytest.raises(RunError, match="aten::_linalg_svd"):
        session.run()


def test_mps_as_the_seed_report_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fraction 0.85 unless given; a set fallback variable is a note of the device."""
    from depthport.runtimes.pytorch import device as torch_device
    from depthport.runtimes.pytorch import runtime as pytorch

    fractions: list[float] = []
    monkeypatch.setattr(torch.mps, "set_per_process_memory_fraction", fractions.append)
    mps = torch.device("mps")
    assert torch_device.limit_memory(mps, None) == 0.85 and torch_device.limit_memory(mps, 0.5) == 0.5
    assert fractions == [0.85, 0.5]
    monkeypatch.delenv(torch_device.MPS_FALLBACK_VARIABLE, raising=False)
    assert not torch_device.mps_fallback() and len(pytorch._mps_notes()) == 1
    monkeypatch.setenv(torch_device.MPS_FALLBACK_VARIABLE, "1")
    assert any(torch_device.MPS_FALLBACK_VARIABLE in note for note in pytorch._mps_notes())
