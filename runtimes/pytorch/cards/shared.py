"""Arrays that a session and the processes of its cards see alike."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from depthport.exporters.core.artifact import TensorSpec

_MEMORY = Path("/dev/shm")


def shared_folder() -> tempfile.TemporaryDirectory[str]:
    """A folder for what is shared: in memory where the system has such a place."""
    return tempfile.TemporaryDirectory(prefix="depthport-cards-", dir=_MEMORY if _MEMORY.is_dir() else None)


def shared_arrays(folder: Path, specs: Sequence[TensorSpec], *, create: bool) -> dict[str, np.ndarray]:
    """One array for each of `specs`, whose dimensions are all closed, mapped from a file in `folder`."""
    return {
        spec.name: np.memmap(
            folder / spec.name, np.dtype(spec.dtype), "w+" if create else "r+", shape=tuple(int(n) for n in spec.shape)
        )
        for spec in specs
    }
