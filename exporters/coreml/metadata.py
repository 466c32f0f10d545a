"""What a package says about itself to whoever opens it: model, weights, input, meaning of each output."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from depthport.exporters.core.provenance import package_version
from depthport.exporters.coreml.options import CoreMLOptions
from depthport.exporters.da3.request import ExportRequest

if TYPE_CHECKING:
    from depthport.exporters.coreml.network import Interface

PREFIX = "depthport."
UPSTREAM = "https://github.com/ByteDance-Seed/Depth-Anything-3"

MEANING = {
    "depth": "Depth (B, N, H, W), positive, up to one scale per scene that the extrinsics share",
    "depth_conf": "Confidence of the depth (B, N, H, W), 1 or more, higher is surer",
    "extrinsics": "World-to-camera pose (B, N, 3, 4), OpenCV axes",
    "intrinsics": "Pinhole matrix (B, N, 3, 3) in pixels of the input",
    "pose_enc": "Pose encoding (B, N, 9), camera to world: translation, quaternion xyzw, vertical and horizontal field "
    "of view in radians",
    "reference_view": "Index of the view that defines the scene's coordinate system (B)",
    "ray": "Ray direction and origin of each cell (B, N, h, w, 6)",
    "ray_conf": "Confidence of the rays (B, N, h, w)",
    "sky": "Sky score (B, N, H, W), 0.3 and above is sky",
    "metric_depth": "Depth of the metric network (B, N, H, W) for a focal length of 300 pixels, in metres",
}


def describe(model: Any, request: ExportRequest, options: CoreMLOptions, face: Interface) -> None:
    """Fill in a coremltools model's metadata."""
    shape = request.shape
    weights = request.weights
    synthetic = " SYNTHETIC WEIGHTS: outputs mean nothing." if weights.synthetic else ""
    model.short_description = (
        f"Depth Anything 3 ({request.model.name}): depth and camera poses of {shape.views} view(s) of "
        f"{shape.height}x{shape.width} pixels.{synthetic}"
    )
    model.author = f"ByteDance Seed (network and weights, {UPSTREAM}); converted by depthport"
    model.license = weights.licence
    model.version = package_version("depthport") or "0"
    entries = {
        "model": request.model.name,
        "weights": weights.id,
        "weights_sha256": weights.sha256,
        "shape": str(shape),
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
