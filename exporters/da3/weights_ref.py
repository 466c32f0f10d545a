"""Which weights: a hub id, a local file or folder, or a seed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class WeightsRef:
    """A complete description of parameters that need not be loaded yet."""

    id: str
    """Hugging Face id, file name, or `synthetic:SEED[,outliers]`."""
    sha256: str
    """Of the safetensors file; of the recipe where synthetic."""
    synthetic: bool
    licence: str
    path: Path | None = None
    """The safetensors file; None where synthetic."""
    seed: int | None = None
    outliers: bool = False
    source: str | None = None
    """What :func:`resolve_weights` finds it by in another process, where `id` is not enough: the path of a local file.
    It holds a user's folders, so it never enters a report."""
    note: str | None = None
    """One line the user should see: why these weights and not the ones they may expect."""
