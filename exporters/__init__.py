"""Exporters: the exportable network, precision policies, one exporter a format, the artifact manifest.

    >>> import exporters
    >>> stored = exporters.export("da3-small", format="onnx", views=2)      # doctest: +SKIP
    >>> stored.artifact.path, stored.artifact.manifest.export_s             # doctest: +SKIP

Importing this package imports no framework.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from exporters.api import export, formats
    from exporters.artifact import Artifact, Manifest, load_artifact
    from exporters.store import ArtifactStore, Stored

__all__ = ["Artifact", "ArtifactStore", "Manifest", "Stored", "export", "formats", "load_artifact"]

_HOME = {
    "export": "exporters.api",
    "formats": "exporters.api",
    "Artifact": "exporters.artifact",
    "Manifest": "exporters.artifact",
    "load_artifact": "exporters.artifact",
    "ArtifactStore": "exporters.store",
    "Stored": "exporters.store",
}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        from importlib import import_module

        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
