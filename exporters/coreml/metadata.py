"""Metadata of a package for those who open it: model, weights, input, meaning of each output."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from depthport.exporters.core.provenance import package_version
from depthport.exporters.coreml.options import CoreMLOptions
from depthport.exporters.da3.request import ExportRequest
from depthport.exporters.da3.signature import AUTHOR, OUTPUT_MEANING, summary

if TYPE_CHECKING:
    from coremltools.models import MLModel

    from depthport.exporters.coreml.network import Interface

PREFIX = "depthport."

MEANING = {
    **OUTPUT_MEANING,
    "pose_enc": "Pose encoding (B, N, 9), camera to world: translation, quaternion xyzw, vertical and horizontal field "
    "of view in radians",
}


def describe(model: MLModel, request: ExportRequest, options: CoreMLOptions, face: Interface) -> None:
    """Fill in a coremltools model's metadata."""
    weights = request.weights
    model.short_description = summary(request)
    model.author = AUTHOR
    model.license = weights.licence
    model.version = package_version("depthport") or "0"
    entries = {
        "model": request.model.name,
        "weights": weights.id,
        "weights_sha256": weights.sha256,
        "shape": str(request.shape),
        "precision": request.policy.name,
        "options": json.dumps(options.to_json(), sort_keys=True),
        "interface": json.dumps(face.to_json(), sort_keys=True),
    }
    model.user_defined_metadata.update({f"{PREFIX}{key}": value for key, value in entries.items()})
    for name in face.images:
        model.input_description[name] = "One view, RGB; the package normalises it"
    if not face.images:
        model.input_description["image"] = "Views (B, N, 3, H, W), RGB, ImageNet-normalised"
    for name in face.outputs:
        model.output_description[name] = MEANING.get(name, "")
