"""Options and targets: what is taken, and the line that refuses the rest."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from depthport.exporters.core.errors import UnsupportedError, UsageError
from depthport.exporters.tensorrt import options as module
from depthport.exporters.tensorrt.options import Range, TensorRTOptions, parse_options
from depthport.exporters.tensorrt.platform import TENSORRT, TENSORRT_RTX, EngineGpu
from tests.exporters.tensorrt.conftest import request

pytest.importorskip("torch")


@pytest.fixture(autouse=True)
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "gpu_here", lambda: None)


def test_targets_are_a_sorted_set() -> None:
    found = parse_options(request(target="sm120, SM86,sm86"), TENSORRT_RTX)
    assert (found.target, found.capabilities, found.compatibility) == ("sm86,sm120", ("sm86", "sm120"), "none")
    assert parse_options(request(target=None), TENSORRT_RTX).capabilities == ("sm86", "sm89", "sm120")


def test_the_gpu_at_hand_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "gpu_here", lambda: EngineGpu("NVIDIA L4", "sm89"))
    assert parse_options(request(target=None), TENSORRT_RTX).capabilities == ("sm89",)
    full = parse_options(request(target="ampere+"), TENSORRT)
    assert (full.compatibility, full.capabilities, full.timing_cache) == ("ampere+", ("sm89",), True)


def test_a_gpu_that_the_package_does_not_know(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "gpu_here", lambda: EngineGpu("NVIDIA H100", "sm90"))
    assert "sm90" not in parse_options(request(target=None), TENSORRT_RTX).capabilities


def test_weights_are_not_stripped_without_a_gpu() -> None:
    with pytest.raises(UnsupportedError, match="strip_weights needs an NVIDIA GPU and its driver") as raised:
        parse_options(request(options={"strip_weights": True}), TENSORRT_RTX)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("target", "package", "kind", "complaint"),
    [
        ("sm90", TENSORRT_RTX, UnsupportedError, "does not build for sm90: it has sm75"),
        ("sm75", TENSORRT_RTX, UnsupportedError, "no fp32 matrix products on Turing"),
        ("ada", TENSORRT_RTX, UsageError, "names no GPU"),
        (" , ", TENSORRT_RTX, UsageError, "names no GPU"),
        ("ampere+", TENSORRT_RTX, UsageError, "takes compute capabilities"),
        ("sm89", TENSORRT, UnsupportedError, "has no NVIDIA GPU or driver"),
        (None, TENSORRT, UnsupportedError, "use format tensorrt-rtx"),
    ],
)
def test_targets_that_can_not_be_had(target: str | None, package: Any, kind: type[Exception], complaint: str) -> None:
    with pytest.raises(kind, match=complaint) as raised:
        parse_options(request(target=target), package)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"max_depth_error": 0.01}, "an error budget needs int8 with one shape"),
        ({"speed": 3}, "no option 'speed'"),
        ({"workspace_mb": 0}, "workspace_mb of .* is a whole number from 1"),
        ({"workspace_mb": True}, "workspace_mb of .* is a whole number"),
        ({"optimization_level": 6}, "from 0 to 5"),
        ({"refit": "maybe"}, "refit of .* is true or false, not 'maybe'"),
        ({"timing_cach": True}, "no option 'timing_cach': did you mean 'timing_cache'\\?"),
        ({"views": "1:8"}, "add --dynamic views"),
        ({"calibration": "photos"}, "needs no calibration"),
    ],
)
def test_bad_options_are_one_line(options: dict[str, Any], complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        parse_options(request(options=options), TENSORRT_RTX)


def test_this_package_has_no_timing_cache() -> None:
    with pytest.raises(UnsupportedError, match="no timing cache"):
        parse_options(request(options={"timing_cache": True}), TENSORRT_RTX)


def test_ranges_of_open_dimensions() -> None:
    asked = request(dynamic=("views", "size"), options={"views": "1:8", "size": "56x70:70x98:84x112"})
    found = parse_options(asked, TENSORRT_RTX)
    assert found.profile == {"views": Range(1, 3, 8), "height": Range(56, 70, 84), "width": Range(70, 98, 112)}
    assert TensorRTOptions.from_json(found.to_json()) == found, "a rebuild reads them from the manifest"
    for options, complaint in (
        ({"views": "1:8"}, r"add --option size=MIN:MAX"),
        ({"views": "4:8", "size": "70x98:70x98"}, "must rise: 4:3:8"),
        ({"views": "1:8", "size": "70:98"}, "instead of HxW"),
        ({"views": "1:8", "size": "56x71:70x98"}, "not a multiple of 14"),
        ({"views": "x:8", "size": "70x98:70x98"}, "'x' instead of a whole number"),
    ):
        with pytest.raises(UsageError, match=complaint):
            parse_options(replace(asked, options=options), TENSORRT_RTX)
