"""What may be asked of format `coreml`, and the one line for what may not. Needs neither torch nor coremltools."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from depthport.exporters.core.artifact import Shape
from depthport.exporters.core.errors import DepthportError, UnsupportedError, UsageError
from depthport.exporters.core.precision import POLICIES
from depthport.exporters.coreml.exporter import CoreMLExporter
from depthport.exporters.coreml.options import CoreMLOptions, function_name, parse_options, parse_shape
from depthport.exporters.coreml.shims import SHIMS, shims_needed
from depthport.exporters.da3.models import MODELS
from depthport.exporters.da3.request import ExportRequest


def request(precision: str = "fp16", views: int = 2, **changes: Any) -> ExportRequest:
    base = ExportRequest(
        model=MODELS["da3-small"], format="coreml", policy=POLICIES[precision], shape=Shape(1, views, 70, 98),
        weights=None, outputs=("depth", "depth_conf", "extrinsics", "intrinsics", "reference_view"),  # type: ignore[arg-type]
    )  # fmt: skip
    return replace(base, **changes)


def test_defaults() -> None:
    pytest.importorskip("torch")
    found = parse_options(request())
    assert found == CoreMLOptions(islands=("camera", "tail"))
    assert parse_options(request(views=3)).islands == ("reference", "camera", "tail")
    assert parse_options(request("fp16-mixed")).islands == ("camera", "tail", "head")
    assert parse_options(request("fp32")).islands == ()
    assert parse_options(request(options={"ane": "true"})).islands == ()


def test_iOS18_when_asked_or_needed() -> None:
    pytest.importorskip("torch")
    assert parse_options(request(options={"compress": "int8"})).target == "iOS17"
    assert parse_options(request(options={"compress": "int4"})).target == "iOS18"
    assert parse_options(request(options={"functions": "2x140x140"})).target == "iOS18"
    assert parse_options(request(target="macOS15")).target == "iOS18"
    assert parse_options(request(target="macOS15")).specification == 9


def test_options_as_text_and_as_values() -> None:
    pytest.importorskip("torch")
    text = {"route": "trace", "islands": "camera, tail", "functions": "1x70x70,2x3x28x42", "verify": "no"}
    found = parse_options(request(options=text))
    assert found.functions == ("1x1x70x70", "2x3x28x42") and not found.verify
    assert found == parse_options(
        request(options={"route": "trace", "islands": ["tail", "camera"], "functions": ["1x70x70", "2x3x28x42"],
                         "verify": False})
    )  # fmt: skip
    assert parse_options(request(options={"islands": "none"})).islands == ()
    assert CoreMLExporter().options(request(options=text))["functions"] == ["1x1x70x70", "2x3x28x42"]


@pytest.mark.parametrize("changes,kind,match", [
    ({"options": {"colour": 1}}, UsageError, "no option 'colour': it has route"),
    ({"options": {"target": "iOS18"}}, UsageError, "no option 'target'"),
    ({"options": {"route": "onnx"}}, UsageError, "route .* is one of export, trace"),
    ({"options": {"compress": "int2"}}, UsageError, "compress .* is one of"),
    ({"options": {"islands": "sea"}}, UsageError, "islands .* is any of reference, camera, .*, not .*sea"),
    ({"options": {"ane": "maybe"}}, UsageError, "ane .* is true or false"),
    ({"options": {"functions": "2x70"}}, UsageError, "write NxHxW"),
    ({"options": {"functions": "2x70x99"}}, UsageError, "multiple of 14"),
    ({"options": {"functions": "2x70x98"}}, UsageError, "already the main shape"),
    ({"target": "iOS12"}, UsageError, "unknown Core ML target 'iOS12'"),
    ({"target": "iOS17", "options": {"compress": "int4"}}, UnsupportedError, "compress int4 needs iOS18"),
    ({"target": "macOS14", "options": {"functions": "2x28x28"}}, UnsupportedError, "needs iOS18"),
    ({"dynamic": ("views",)}, UnsupportedError, "static shapes"),
    ({"pose_input": True}, UnsupportedError, "takes no poses"),
    ({"source_size": (480, 640), "preprocess": True}, UnsupportedError, "the network's own size"),
    ({"policy": POLICIES["int8"]}, UnsupportedError, "compress=int8"),
    ({"policy": POLICIES["bf16"]}, UnsupportedError, "fp32 and fp16 only"),
    ({"policy": POLICIES["tf32"]}, UnsupportedError, "fp32 and fp16 only"),
    ({"policy": POLICIES["fp32"], "options": {"ane": True}}, UnsupportedError, "fp16 only"),
    ({"policy": POLICIES["fp32"], "options": {"islands": "tail"}}, UsageError, "for precision fp16"),
])  # fmt: skip
def test_refused_in_one_line(changes: dict[str, Any], kind: type[DepthportError], match: str) -> None:
    with pytest.raises(kind, match=match) as caught:
        parse_options(request(**changes))
    assert "\n" not in str(caught.value) and caught.value.exit_code == 2


def test_shapes_and_names() -> None:
    assert parse_shape("1x2x252x504") == Shape(1, 2, 252, 504)
    assert function_name(Shape(1, 2, 252, 504)) == "b1_n2_252x504"


def test_every_shim_names_its_issue_and_its_end() -> None:
    for shim in SHIMS:
        assert shim.issue.startswith("https://github.com/apple/coremltools/")
        assert shim.defect
    assert [s.name for s in shims_needed("9.0")] == [s.name for s in SHIMS]


def test_shims_end_with_the_version_that_fixes_them(monkeypatch: pytest.MonkeyPatch) -> None:
    from depthport.exporters.coreml import shims as coreml_shims

    monkeypatch.setattr(coreml_shims, "SHIMS", tuple(replace(s, fixed_in=(9, 1)) for s in SHIMS))
    assert len(shims_needed("9.0")) == len(SHIMS)
    assert shims_needed("9.1") == [] and shims_needed("10.0") == []
