"""A small manifest to test the store with; no framework."""

from __future__ import annotations

from typing import Any

from depthport.exporters.core.artifact import Manifest, Shape, TensorSpec, WeightsInfo, artifact_key


def manifest(**changes: Any) -> Manifest:
    """A complete manifest of format `test`; any field may be replaced."""
    fields: dict[str, Any] = {
        "key": artifact_key({"test": 1}),
        "model": "da3-small",
        "weights": WeightsInfo("synthetic:0", "0" * 64, True, "none (synthetic)"),
        "format": "test",
        "precision": {"name": "fp32"},
        "shape": Shape(1, 2, 70, 98),
        "inputs": (TensorSpec("image", (1, 2, 3, 70, 98), "float32"),),
        "outputs": (TensorSpec("depth", (1, 2, 70, 98), "float32"),),
        "options": {"target": None},
        "versions": {"python": "3.11"},
    }
    return Manifest(**{**fields, **changes})
