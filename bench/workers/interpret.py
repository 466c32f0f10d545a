"""A Core ML artifact run in the interpreter instead of on a Mac: the same inputs, the same outputs, the same host part.

What it shows is that package and adapter are right; it says nothing about Apple's kernels or speed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any


def interpret(request: dict[str, Any]) -> dict[str, Any]:
    """Write the outputs of an artifact for one input to a file, as a session on a Mac would give them.

    The request: artifact (folder), inputs (npz path), outputs (npz path to write).

    Raises:
        ArtifactError: the package is damaged.
        UnsupportedError: it holds an operation that is not interpreted.
    """
    import numpy as np

    from depthport.exporters.core.artifact import load_artifact
    from depthport.exporters.coreml.mil.interpreter import Interpreter
    from depthport.exporters.coreml.mil.package import read_package
    from depthport.runtimes.coreml.host import complete, package_inputs

    artifact = load_artifact(request["artifact"])
    artifact.verify()
    manifest = artifact.manifest
    function = read_package(artifact.path / str(manifest.extra["package"])).function()
    with np.load(request["inputs"], allow_pickle=False) as data:
        inputs = package_inputs(data["image"], manifest.extra["interface"]["images"])
    found = Interpreter(function, "declared").run(inputs)
    size = (manifest.shape.height, manifest.shape.width)
    outputs = complete({name: value.numpy() for name, value in found.items()}, manifest.outputs, size)
    np.savez(Path(request["outputs"]), **outputs)  # type: ignore[arg-type]
    return {"outputs": request["outputs"]}
