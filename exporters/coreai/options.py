"""Options of format `coreai`: what may be asked for, and which systems can load the result. Imports no framework."""

from __future__ import annotations

from typing import Literal

import msgspec

from depthport.exporters.core.artifact import Shape
from depthport.exporters.core.errors import UnsupportedError, UsageError
from depthport.exporters.core.options import Options, read_options
from depthport.exporters.da3.request import ExportRequest
from depthport.exporters.da3.shapes import PATCH

FORMAT = "coreai"
TARGETS = {"iOS27": "v27", "macOS27": "v27"}
"""Oldest system the asset is for, and coreai-core's name of it: there is one, and its names mean the same."""
DEFAULT_TARGET = "iOS27"
Compression = Literal["none", "int8", "palette8", "palette6", "palette4"]
Check = Literal["full", "small", "none"]
POLICIES = ("fp32", "fp16", "fp16-mixed")


class AskedOptions(Options, frozen=True):
    """Options of format `coreai`."""

    compress: Compression = "none"
    """Weights only; activations keep the policy's dtype."""
    verify: Check | None = None
    """Run the saved asset and compare it with upstream before it counts as exported: at its own shape (`full`, the default
    where everything is fp32), as an asset of the smallest shape with as many views (`small`), or not (`none`)."""


class CoreAIOptions(AskedOptions, frozen=True):
    """Every choice, with defaults filled in."""

    verify: Check = "full"
    target: str = DEFAULT_TARGET
    """A key of `TARGETS`."""

    def to_json(self) -> dict[str, object]:
        return msgspec.structs.asdict(self)


def parse_options(request: ExportRequest) -> CoreAIOptions:
    """The request's options, checked.

    Raises:
        UsageError: an unknown option or value.
        UnsupportedError: the format can't express what is asked.
    """
    _refuse(request)
    asked = read_options(AskedOptions, request.options, f"format {FORMAT!r}")
    # In fp16 the runtime of Linux takes a hundred times as long as in fp32.
    verify = asked.verify or ("full" if request.policy.backbone == "float32" else "small")
    return CoreAIOptions(compress=asked.compress, verify=verify, target=_target(request.target))


def small_shape(shape: Shape) -> Shape:
    """The smallest scene of as many views that tells height from width: one patch by two."""
    return Shape(shape.batch, shape.views, PATCH, 2 * PATCH)


def _refuse(request: ExportRequest) -> None:
    policy = request.policy
    if request.dynamic:
        raise UnsupportedError(f"format 'coreai' has static shapes here: leave out --dynamic {','.join(request.dynamic)}")
    if policy.quantization is not None:
        raise UnsupportedError(
            f"Core AI quantizes weights only, not products: use precision fp16 with option compress=int8, not {policy.name}"
        )
    if policy.name not in POLICIES:
        raise UnsupportedError(f"format 'coreai' has {', '.join(POLICIES)}: use one of these, not {policy.name}")


def _target(asked: str | None) -> str:
    if asked is None:
        return DEFAULT_TARGET
    if asked not in TARGETS:
        raise UsageError(
            f"unknown Core AI target {asked!r}: choose one of {', '.join(TARGETS)} (older systems have format coreml)"
        )
    return asked
