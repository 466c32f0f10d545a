"""Inputs and outputs as files, and what is checked of outputs."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from depthport.exporters.core.errors import DepthportError

if TYPE_CHECKING:
    import numpy as np

    from depthport.runtimes.base import Arrays


class BadOutput(DepthportError):
    """NaN or infinity where upstream gives finite numbers."""


def check_finite(outputs: Arrays) -> None:
    import numpy as np

    for name, array in outputs.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            bad = float(1 - np.isfinite(array).mean())
            raise BadOutput(f"output {name!r} holds NaN or infinity ({bad:.1%} of its values)")


def digest(outputs: Arrays) -> str:
    digest = hashlib.sha256()
    for name in sorted(outputs):
        digest.update(name.encode())
        digest.update(outputs[name].tobytes())
    return digest.hexdigest()


def load_arrays(path: str) -> dict[str, np.ndarray[Any, Any]]:
    import numpy as np

    with np.load(path, allow_pickle=False) as data:
        return {name: data[name] for name in data.files}


def save_arrays(path: Path, arrays: Arrays) -> None:
    import numpy as np

    temporary = path.with_suffix(".tmp.npz")
    np.savez(temporary, **arrays)  # type: ignore[arg-type]
    temporary.replace(path)
