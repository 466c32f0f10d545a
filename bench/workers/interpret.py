"""An artifact run by our own reading of it, not by its runtime: the same inputs, the same outputs, the same host part.

What it shows is that artifact and adapter are right; it says nothing about the runtime's kernels or speed.
"""

from __future__ import annotations

from pathlib import Path

from depthport.bench.workers.exporting import Interpret
from depthport.exporters.core.artifact import load_artifact
from depthport.exporters.core.files.npz import read_npz, write_npz
from depthport.runtimes.registry import get_runtime


def interpret(request: Interpret) -> None:
    """Write the outputs of an artifact for one input to a file, as a session of the runtime would give them.

    Raises:
        ArtifactError: the artifact is damaged.
        UnsupportedError: it holds an operation that is not interpreted.
    """
    artifact = load_artifact(request.artifact)
    artifact.verify()
    outputs = get_runtime(request.runtime).interpret(artifact, read_npz(request.inputs))
    write_npz(Path(request.outputs), outputs)
