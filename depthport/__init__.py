"""Depth Anything 3 to every runtime: export, measure, prove, choose.

    >>> import depthport
    >>> stored = depthport.export("da3-small", format="onnx", views=2)      # doctest: +SKIP
    >>> results = depthport.run("da3-small", views=2, out="results")        # doctest: +SKIP

Importing this package imports no framework. Its rooms are `depthport.exporters`, `depthport.runtimes` and
`depthport.bench`; in a checkout their folders stand beside this one (setup.py), and the links here are for what reads
source trees and asks no installer: type checkers, editors, pytest.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from depthport.bench.measure.api import plan, run
    from depthport.exporters.api import export
    from depthport.exporters.core.artifact import Artifact, Manifest, load_artifact
    from depthport.exporters.core.store import ArtifactStore, Stored
    from depthport.exporters.registry import formats

_HOME = {
    "Artifact": "depthport.exporters.core.artifact",
    "ArtifactStore": "depthport.exporters.core.store",
    "Manifest": "depthport.exporters.core.artifact",
    "Stored": "depthport.exporters.core.store",
    "export": "depthport.exporters.api",
    "formats": "depthport.exporters.registry",
    "load_artifact": "depthport.exporters.core.artifact",
    "plan": "depthport.bench.measure.api",
    "run": "depthport.bench.measure.api",
}

__all__ = ["Artifact", "ArtifactStore", "Manifest", "Stored", "export", "formats", "load_artifact", "plan", "run"]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
