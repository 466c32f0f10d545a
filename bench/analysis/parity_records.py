"""Parity found later, kept with the artifact."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from depthport.bench.results.model import Cell
from depthport.exporters.core.artifact import load_artifact
from depthport.exporters.core.errors import ArtifactError, StorageError


def record_parity(cells: Iterable[Cell], artifacts: Mapping[str, Path]) -> None:
    """Write each measured cell's parity into the manifest of the artifact that it ran, beside other cells'.

    What a store may not be written to for, or has lost meanwhile, stays with the results alone.

    Args:
        artifacts: folders by the cells' ids.
    """
    for cell in cells:
        if cell.parity is not None and cell.id in artifacts and not cell.baseline:
            try:
                artifact = load_artifact(artifacts[cell.id])
                artifact.with_parity({**(artifact.manifest.parity or {}), cell.id: cell.parity})
            except (ArtifactError, StorageError):
                continue
