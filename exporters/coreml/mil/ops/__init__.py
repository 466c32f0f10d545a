"""MIL operations in torch, by the MIL specification.

Source: the operations' docstrings in coremltools (`converters/mil/mil/ops/defs/iOS15` to `iOS18`), which are Apple's
public specification of them. One function an operation; :func:`operators` finds it by its MIL name.
"""

from __future__ import annotations

# Each registers its operations when it is imported.
from depthport.exporters.coreml.mil.ops import constexpr, elementwise, movement, neural, reduction  # noqa: F401
from depthport.exporters.coreml.mil.ops.call import REGISTRY, Call, Operator, operator

__all__ = ["Call", "Operator", "operator", "operators"]


def operators() -> dict[str, Operator]:
    """Every operation that is known here, by its MIL name."""
    return REGISTRY
