"""Depth Anything 3 to every runtime: export, measure, prove, choose.

    >>> import depthport
    >>> stored = depthport.export("da3-small", format="onnx", views=2)      # doctest: +SKIP
    >>> with depthport.load(stored.artifact.path) as model:                 # doctest: +SKIP
    ...     prediction = model(["left.jpg", "right.jpg"])
    >>> results = depthport.run("da3-small", views=2, out="results")        # doctest: +SKIP

Importing this package imports no framework. Its rooms are `depthport.exporters`, `depthport.runtimes` and
`depthport.bench`; in a checkout their folders stand beside this one (setup.py), and the links here are for what reads
source trees and asks no installer: type checkers, editors, pytest.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from depthport.bench.choice.choose import choose
    from depthport.bench.choice.compare import compare
    from depthport.bench.measure.api import plan, run
    from depthport.bench.report.write import write_report
    from depthport.bench.results.load_results import load_results
    from depthport.exporters.api import export
    from depthport.exporters.core.artifact import Artifact, Manifest, load_artifact
    from depthport.exporters.core.errors import DepthportError
    from depthport.exporters.core.store import ArtifactStore, Stored
    from depthport.exporters.registry import formats
    from depthport.predict.files import write_prediction
    from depthport.predict.model import Model, load
    from depthport.predict.prediction import Prediction
    from depthport.predict.sequence import predict_sequence

    __version__: str

_HOME = {
    "Artifact": "exporters.core.artifact",
    "ArtifactStore": "exporters.core.store",
    "DepthportError": "exporters.core.errors",
    "Manifest": "exporters.core.artifact",
    "Model": "predict.model",
    "Prediction": "predict.prediction",
    "Stored": "exporters.core.store",
    "choose": "bench.choice.choose",
    "compare": "bench.choice.compare",
    "export": "exporters.api",
    "formats": "exporters.registry",
    "load": "predict.model",
    "load_artifact": "exporters.core.artifact",
    "load_results": "bench.results.load_results",
    "plan": "bench.measure.api",
    "predict_sequence": "predict.sequence",
    "run": "bench.measure.api",
    "write_prediction": "predict.files",
    "write_report": "bench.report.write",
}

__all__ = [
    "Artifact", "ArtifactStore", "DepthportError", "Manifest", "Model", "Prediction", "Stored", "choose", "compare",
    "export", "formats", "load", "load_artifact", "load_results", "plan", "predict_sequence", "run", "write_prediction",
    "write_report",
]  # fmt: skip


def __getattr__(name: str) -> object:
    if name in _HOME:
        return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    if name == "__version__":
        # Late: `python -m depthport` has the working directory on its path until __main__ has taken it off.
        from importlib import metadata

        return metadata.version(__name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME, "__version__"})
