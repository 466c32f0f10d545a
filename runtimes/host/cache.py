"""Where runtimes keep compiled forms of an artifact between processes."""

from __future__ import annotations

import os
from pathlib import Path

from depthport.exporters.core.artifact import Artifact
from depthport.runtimes.base import LoadOptions


def cache_folder(artifact: Artifact, options: LoadOptions) -> Path:
    """`LoadOptions.cache_dir`, else the folder `cache` inside the artifact's; it need not exist yet."""
    return options.cache_dir or artifact.path / "cache"


def writable(folder: Path) -> bool:
    """Whether `folder` can be written to, or made."""
    existing = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    return existing.is_dir() and os.access(existing, os.W_OK)
