"""What our own adapters say of themselves, which reports, `choose` and `reproduce` repeat."""

from __future__ import annotations

import pytest

from depthport.runtimes.base import Mode
from depthport.runtimes.registry import baseline_runtime, get_runtime, installed_runtime, runtimes

PLAIN = Mode("plain", "no target of its own")


@pytest.mark.parametrize("name", runtimes())
def test_every_adapter_has_title_licence_and_packages(name: str) -> None:
    runtime = get_runtime(name)
    assert runtime.name == name
    assert runtime.title and runtime.licence and runtime.formats
    # What runs in a browser is no Python package.
    assert runtime.packages or name == "browser"
    assert set(runtime.builds) <= set(runtime.packages)


@pytest.mark.parametrize(
    ("name", "device", "precision", "target"),
    [
        ("onnxruntime", "cpu", "fp32", "ort-cpu"),
        ("onnxruntime", "cpu", "int8", "ort-cpu"),
        ("onnxruntime", "cuda:1", "fp16", None),
        ("openvino", "cpu", "int8", "openvino"),
        ("openvino", "cpu", "fp32", "openvino"),
        ("openvino", "gpu:1", "int8", None),
        ("pytorch", "cuda", "bf16", None),
        ("coreml", "cpu", "int8", None),
    ],
)
def test_export_targets(name: str, device: str, precision: str, target: str | None) -> None:
    runtime = get_runtime(name)
    assert runtime.target(device, PLAIN, precision) == target
    assert runtime.target(device, Mode("own", "with a target", target="mine"), precision) == "mine"


def test_one_runtime_runs_upstream() -> None:
    assert [name for name in runtimes() if get_runtime(name).baseline_mode] == [baseline_runtime().name]


def test_names_out_of_a_file_are_looked_up_and_never_imported() -> None:
    assert installed_runtime("nobody") is None
    assert installed_runtime("tests.support.fakes:Fake") is None
