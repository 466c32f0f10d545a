"""Parity found later, kept beside an artifact in a separate file: `artifact.json` is never written again."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from depthport.bench.results.cell_id import short_id
from depthport.bench.results.sections import Parity
from depthport.exporters.core.artifact import MAX_BYTES, Artifact, load_artifact
from depthport.exporters.core.errors import ArtifactError, StorageError
from depthport.exporters.core.files.atomic import read_json, write_json

NAME = "parity.json"
SCHEMA = "depthport.parity/1"


@dataclass(frozen=True)
class _File:
    key: str
    """Key of the artifact; figures of another are ignored."""
    cells: dict[str, Parity] = field(default_factory=dict)
    """Parity by the id of the cell that ran it."""
    schema: str = SCHEMA


def kept_parity(artifact: Artifact) -> dict[str, Parity]:
    """Return the parity found so far, by the id of the cell that ran the artifact; empty if the file can't be read."""
    try:
        found = msgspec.convert(read_json(artifact.path / NAME, MAX_BYTES), _File)
    except (OSError, ValueError):
        return {}
    if (found.schema, found.key) != (SCHEMA, artifact.manifest.key):
        return {}
    return {short_id(cell): parity for cell, parity in found.cells.items()}


def keep_parity(folder: Path | str, cell: str, parity: Parity) -> None:
    """Add the parity that `cell` found of the artifact in `folder`.

    What a store can't be written to for, or has lost meanwhile, stays with the results alone.
    """
    with suppress(ArtifactError, StorageError):
        artifact = load_artifact(folder)
        cells = msgspec.to_builtins({**kept_parity(artifact), cell: parity})
        write_json(artifact.path / NAME, msgspec.to_builtins(_File(artifact.manifest.key, cells)))
