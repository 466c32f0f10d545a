"""Operator set and file version of an ONNX file, and the oldest ONNX Runtime that takes both.

A file declares the least: a runtime refuses a newer version than it knows, whatever the file makes of it. Sources: ONNX's
`docs/Versioning.md` and ONNX Runtime's `docs/Versioning.md`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, NamedTuple

from msgspec import Meta

from depthport.exporters.core.errors import UsageError
from depthport.exporters.core.options import Options, read_options

OPSETS = (17, 23)
"""First and last operator set that `--option opset=` takes: LayerNormalization came with 17."""


class _Release(NamedTuple):
    opset: int
    ir_version: int
    onnxruntime: str
    """The first one that reads this operator set and, at most, this file version."""


_RELEASES = (
    _Release(17, 8, "1.12"),
    _Release(18, 8, "1.14"),
    _Release(19, 9, "1.15"),
    _Release(20, 9, "1.17"),
    _Release(21, 10, "1.18"),
    _Release(22, 10, "1.21"),
    _Release(23, 11, "1.22"),
)
MOST_IR = max(release.ir_version for release in _RELEASES)


def least_ir(opset: int) -> int:
    """The file version that came with an operator set."""
    return next((release.ir_version for release in _RELEASES if release.opset >= opset), MOST_IR)


def oldest_onnxruntime(opset: int, ir_version: int) -> str | None:
    """The first ONNX Runtime that loads such a file; None for what is newer than is known here."""
    found = (r.onnxruntime for r in _RELEASES if r.opset >= opset and r.ir_version >= ir_version)
    return next(found, None)


class VersionOptions(Options, frozen=True):
    """Options of a floating-point graph."""

    where: ClassVar[str] = "floating-point precisions"

    opset: Annotated[int, Meta(ge=OPSETS[0], le=OPSETS[1])] | None = None
    """Operator set, for a graph without a target; by default the least."""
    ir_version: Annotated[int, Meta(ge=1, le=MOST_IR)] | None = None
    """Version of the file; by default the least that the operator set takes."""


def check_versions(given: Mapping[str, object], opset: int, *, free: bool) -> dict[str, int]:
    """The versions asked for, of `--option opset=` and `--option ir_version=`; the target's operator set if none is.

    Args:
        given: the request's options.
        opset: the target's own.
        free: the target's graph may be of another operator set.

    Raises:
        UsageError: an unknown option, not a number, an unknown opset, or one that this target's graph can't have.
    """
    asked = read_options(VersionOptions, given, "format 'onnx'")
    chosen = asked.opset or opset
    if chosen != opset and not free:
        raise UsageError(f"this target uses opset {opset}: leave out option opset, or leave out --target")
    if asked.ir_version is None:
        return {"opset": chosen}
    if asked.ir_version < least_ir(chosen):
        raise UsageError(f"option ir_version is {asked.ir_version}: opset {chosen} takes {least_ir(chosen)} to {MOST_IR}")
    return {"opset": chosen, "ir_version": asked.ir_version}
