"""Checks of outputs, and digests to compare them by."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

from depthport.exporters.core.errors import DepthportError

if TYPE_CHECKING:
    from depthport.runtimes.base import Arrays


class BadOutput(DepthportError):
    """NaN or infinity where upstream gives finite numbers."""


def check_finite(outputs: Arrays) -> None:
    """Refuse outputs that are not finite."""
    for name, array in outputs.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            bad = float(1 - np.isfinite(array).mean())
            raise BadOutput(f"output {name!r} holds NaN or infinity ({bad:.1%} of its values)")


def digest(outputs: Arrays) -> str:
    """Hex sha256 of outputs, by name."""
    digest = hashlib.sha256()
    for name in sorted(outputs):
        digest.update(name.encode())
        digest.update(outputs[name].tobytes())
    return digest.hexdigest()
