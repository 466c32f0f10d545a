"""Parity found later, kept with the artifact."""

from __future__ import annotations

from collections.abc import Iterable

from depthport.bench.results.journal import Journal
from depthport.bench.results.model import Cell
from depthport.exporters.core.artifact import load_artifact
from depthport.exporters.core.errors import ArtifactError, StorageError


def record_parity(cells: Iterable[Cell], journal: Journal) -> None:
    """Write each measured cell's parity into the manifest of the artifact that it ran, beside other cells'.

    What a store may not be written to for, or has lost meanwhile, stays with the results alone.
    """
    folders = {e["cell"]: e["artifact"] for e in journal.of_kind("artifact")}
    for cell in cells:
        if cell.parity is not None and cell.id in folders and not cell.baseline:
            try:
                artifact = load_artifact(folders[cell.id])
                artifact.with_parity({**(artifact.manifest.parity or {}), cell.id: cell.parity})
            except (ArtifactError, StorageError):
                continue
