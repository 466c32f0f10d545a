"""What an example must give: what our own session gives for the same photographs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from depthport.exporters.core.artifact import Artifact
from depthport.predict.model import load

HEIGHT, WIDTH = 70, 98


def expected(artifact: Artifact, photographs: list[Path]) -> dict[str, Any]:
    with load(artifact.path, runtime="onnxruntime", device="cpu", threads=1) as model:
        found = model(photographs)
    return {"depth": found.depth, "depth_conf": found.conf, "extrinsics": found.extrinsics, "intrinsics": found.intrinsics}


def assert_same(found: dict[str, Any], wanted: dict[str, Any], limit: float) -> None:
    """Relative L2 of each output; rotations are compared as they stand."""
    for name, value in wanted.items():
        got = np.asarray(found[name], np.float64).reshape(value.shape)
        error = np.linalg.norm(got - value) / np.linalg.norm(value)
        assert error <= limit, f"{name}: {error:.1e}"
