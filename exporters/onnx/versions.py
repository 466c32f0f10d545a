"""Which operator set and file version an ONNX file declares, and the oldest ONNX Runtime that takes both.

A file declares the least: a runtime refuses a newer version than it knows, whatever the file makes of it. Sources: ONNX's
`docs/Versioning.md` and ONNX Runtime's `docs/Versioning.md`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from depthport.exporters.core.errors import UsageError

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


def check_versions(given: Mapping[str, Any], opset: int, *, free: bool) -> dict[str, int]:
    """The versions asked for, of `--option opset=` and `--option ir_version=`; the target's operator set if none is.

    Args:
        given: the request's options.
        opset: the target's own.
        free: the target's graph may be of another operator set.

    Raises:
        UsageError: another option, no number, one that there is not, or one that this target's graph can't have.
    """
    if unknown := sorted(set(given) - {"opset", "ir_version"}):
        raise UsageError(f"format 'onnx' has no option {', '.join(unknown)}: it has opset and ir_version")
    for name, value in given.items():
        if isinstance(value, bool) or not isinstance(value, int):
            raise UsageError(f"option {name} is a whole number, not {str(value)[:40]!r}")
    chosen = int(given.get("opset", opset))
    if not OPSETS[0] <= chosen <= OPSETS[1]:
        raise UsageError(f"option opset is {chosen}: choose one from {OPSETS[0]} to {OPSETS[1]}")
    if chosen != opset and not free:
        raise UsageError(f"this target's graph is of opset {opset}: leave out option opset, or leave out --target")
    least = least_ir(chosen)
    if "ir_version" not in given:
        return {"opset": chosen}
    if not least <= given["ir_version"] <= MOST_IR:
        raise UsageError(f"option ir_version is {given['ir_version']}: opset {chosen} takes {least} to {MOST_IR}")
    return {"opset": chosen, "ir_version": int(given["ir_version"])}
