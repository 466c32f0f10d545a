"""What may be asked of format `coreai`: defaults, refusals in one line, the shape that fp16 is checked at."""

from __future__ import annotations

from typing import Any

import pytest

from depthport.exporters.core.artifact import Shape
from depthport.exporters.core.errors import DepthportError, UnsupportedError, UsageError
from depthport.exporters.core.precision import POLICIES
from depthport.exporters.coreai.exporter import CoreAIExporter, islands
from depthport.exporters.coreai.options import parse_options, small_shape
from depthport.exporters.da3.models import MODELS
from depthport.exporters.da3.request import ExportRequest
from depthport.exporters.da3.weights_ref import WeightsRef


def request(precision: str = "fp32", **changes: object) -> ExportRequest:
    fields: dict[str, object] = {
        "model": MODELS["da3-small"],
        "format": "coreai",
        "policy": POLICIES[precision],
        "shape": Shape(1, 2, 70, 98),
        "weights": WeightsRef("synthetic:0", "0" * 64, True, "none"),
        "outputs": ("depth",),
        **changes,
    }
    return ExportRequest(**fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(("precision", "check"), [("fp32", "full"), ("fp16", "small"), ("fp16-mixed", "small")])
def test_defaults(precision: str, check: str) -> None:
    assert CoreAIExporter().options(request(precision)) == {"target": "iOS27", "compress": "none", "verify": check}


@pytest.mark.parametrize(
    ("changes", "error", "complaint"),
    [
        ({"options": {"speed": "fast"}}, UsageError, "no option 'speed': it has compress, verify"),
        ({"options": {"compress": "int3"}}, UsageError, "compress of format 'coreai' is one of none, int8"),
        ({"options": {"verify": "maybe"}}, UsageError, "verify of format 'coreai' is one of full, small, none"),
        ({"target": "iOS18"}, UsageError, "choose one of iOS27, macOS27 .older systems have format coreml"),
        ({"dynamic": ("views", "size")}, UnsupportedError, "static shapes here: leave out --dynamic views,size"),
    ],
)
def test_refusals(changes: dict[str, Any], error: type[DepthportError], complaint: str) -> None:
    with pytest.raises(error, match=complaint):
        parse_options(request(**changes))


@pytest.mark.parametrize("precision", ["tf32", "bf16", "bf16-mixed", "int8", "fp8"])
def test_precisions_it_lacks(precision: str) -> None:
    with pytest.raises(UnsupportedError, match=r"use (one of these|precision fp16)"):
        parse_options(request(precision))


def test_the_smallest_shape_keeps_views_and_tells_height_from_width() -> None:
    assert small_shape(Shape(2, 5, 504, 504)) == Shape(2, 5, 14, 28)


def test_islands() -> None:
    assert islands(POLICIES["fp32"]) == ()
    assert "camera" in islands(POLICIES["fp16"]) and "head" not in islands(POLICIES["fp16"])
    assert "head" in islands(POLICIES["fp16-mixed"])


def test_probe_names_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "depthport.exporters.coreai.exporter.find_spec", lambda name: None if "coreai" in name else object()
    )
    assert "coreai-core and coreai-torch not installed: pip install" in str(CoreAIExporter().probe())
