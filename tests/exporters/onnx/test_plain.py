"""What people do without this package, exported: `quantize_dynamic`, and upstream's own `torch.onnx.export`."""

from __future__ import annotations

import json
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("onnx")
ort = pytest.importorskip("onnxruntime")

from depthport.exporters.api import describe, export, prepare  # noqa: E402
from depthport.exporters.core.errors import ExportError, UnsupportedError, UsageError  # noqa: E402
from depthport.exporters.onnx.exporter import MODEL_FILE, OnnxExporter  # noqa: E402
from depthport.exporters.onnx.plain import innermost  # noqa: E402

SMALL: dict[str, Any] = {"format": "onnx", "weights": "synthetic:0", "height": 28, "width": 28, "target": "portable"}


def options(**asked: Any) -> dict[str, Any]:
    return dict(describe(prepare("da3-small", **{**SMALL, **asked}), OnnxExporter()).options)


def test_the_version_that_quantizes_is_part_of_the_key() -> None:
    found = options(precision="int8", options={"mix": "dynamic"})
    assert found == {"target": "portable", "opset": 18, "mix": "dynamic", "onnxruntime": ort.__version__}


@pytest.mark.parametrize(
    "asked", [{"options": {"network": "upstream"}}, {"precision": "int8", "options": {"mix": "dynamic"}}]
)
def test_they_take_nothing_else(asked: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="has no option 'opset'"):
        options(**{**asked, "options": {**asked["options"], "opset": 20}})
    with pytest.raises(UsageError, match="they are for portable"):
        options(**asked, target="ort-cpu")
    with pytest.raises(UnsupportedError):
        options(**asked, preprocess=True)


def test_another_network_is_refused() -> None:
    with pytest.raises(UsageError, match=r"option network of .* is one of upstream, not 'ours'"):
        options(options={"network": "ours"})


def test_a_dynamically_quantized_file_is_one_like_any_other(store: Any) -> None:
    made = export("da3-small", precision="int8", options={"mix": "dynamic"}, store=store, **SMALL).artifact
    assert made.manifest.extra["operators"]["DynamicQuantizeLinear"] > 0 and made.manifest.extra["opsets"]["ai.onnx"] == 18
    session = ort.InferenceSession(str(made.path / MODEL_FILE), providers=["CPUExecutionProvider"])
    assert [output.name for output in session.get_outputs()] == [spec.name for spec in made.manifest.outputs]


@pytest.mark.slow
def test_what_torch_says_of_upstream_itself_is_the_reason(store: Any) -> None:
    with pytest.raises(ExportError, match=r"can't export upstream itself \(dynamo: .*; TorchScript: "):
        export("da3-small", options={"network": "upstream"}, store=store, **SMALL)


def test_what_a_package_wraps_around_an_error_is_taken_off() -> None:
    try:
        try:
            json.loads("{")
        except ValueError as error:
            raise RuntimeError("step 1 of 3\n\nfailed") from error
    except RuntimeError as error:
        assert innermost(error).startswith("JSONDecodeError: Expecting property name")
