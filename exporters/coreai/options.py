"""Options of format `coreai`: what may be asked for, and which systems can load the result. Imports no framework."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from depthport.exporters.core.artifact import Shape
from depthport.exporters.core.errors import UnsupportedError, UsageError
from depthport.exporters.core.option_values import choice
from depthport.exporters.da3.request import ExportRequest
from depthport.exporters.da3.shapes import PATCH

FORMAT = "coreai"
TARGETS = {"iOS27": "v27", "macOS27": "v27"}
"""Oldest system the asset is for, and coreai-core's name of it: there is one, and its names mean the same."""
DEFAULT_TARGET = "iOS27"
COMPRESSIONS = ("none", "int8", "palette8", "palette6", "palette4")
CHECKS = ("full", "small", "none")
POLICIES = ("fp32", "fp16", "fp16-mixed")


@dataclass(frozen=True)
class CoreAIOptions:
    """Every choice, with defaults filled in."""

    target: str = DEFAULT_TARGET
    """A key of `TARGETS`."""
    compress: str = "none"
    """Weights only; activations keep the policy's dtype."""
    verify: str = "full"
    """Run the saved asset and compare it with upstream before it counts as exported: at its own shape (`full`), as an
    asset of the smallest shape with as many views (`small`), or not (`none`)."""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def parse_options(request: ExportRequest) -> CoreAIOptions:
    """The request's options, checked.

    Raises:
        UsageError: an unknown option or value.
        UnsupportedError: the format can't express what is asked.
    """
    _refuse(request)
    given = dict(request.options)
    if unknown := sorted(set(given) - {"compress", "verify"}):
        raise UsageError(f"format 'coreai' has no option {', '.join(unknown)}: it has compress, verify")
    # In fp16 the runtime of Linux takes a hundred times as long as in fp32.
    default = "full" if request.policy.backbone == "float32" else "small"
    return CoreAIOptions(
        target=_target(request.target),
        compress=choice(FORMAT, given, "compress", COMPRESSIONS, "none"),
        verify=choice(FORMAT, given, "verify", CHECKS, default),
    )


def small_shape(shape: Shape) -> Shape:
    """The smallest scene of as many views that tells height from width: one patch by two."""
    return Shape(shape.batch, shape.views, PATCH, 2 * PATCH)


def _refuse(request: ExportRequest) -> None:
    policy = request.policy
    if request.dynamic:
        raise UnsupportedError(f"format 'coreai' has static shapes here: leave out --dynamic {','.join(request.dynamic)}")
    if policy.quantization is not None:
        raise UnsupportedError(
            f"Core AI assets are compressed in their weights, not their products: use precision fp16 with option "
            f"compress=int8, not {policy.name}"
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
