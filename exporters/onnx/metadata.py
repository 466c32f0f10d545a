"""Metadata of an ONNX file, so that it can be used and traced back without its manifest."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING

from depthport.exporters.core.open_dims import limits_of
from depthport.exporters.core.provenance import package_version
from depthport.exporters.da3.request import ExportRequest
from depthport.exporters.da3.signature import preprocessing

if TYPE_CHECKING:
    import onnx_ir

PREFIX = "depthport."
PRODUCER = "depthport"

# Torch's exporter notes on every node where it came from, with the paths of the machine; this one is worth keeping.
_SCOPES = "pkg.torch.onnx.name_scopes"

OUTPUT_MEANINGS: Mapping[str, str] = {
    "depth": "depth along the optical axis, up to the scale of the scene's cameras, (B, N, H, W)",
    "depth_conf": "confidence of depth, 1 and above, (B, N, H, W)",
    "extrinsics": "world-to-camera [R|t], OpenCV axes, (B, N, 3, 4)",
    "intrinsics": "camera matrix in pixels of the input, (B, N, 3, 3)",
    "reference_view": "index of the view that defines the world, (B,)",
    "ray": "ray direction and origin per sample, (B, N, h, w, 6)",
    "ray_conf": "confidence of ray, 1 and above, (B, N, h, w)",
    "sky": "sky score, 0.3 and above is sky, (B, N, H, W)",
    "metric_depth": "depth of the metric network for a focal length of 300 pixels, in metres, (B, N, H, W)",
}


def metadata(request: ExportRequest) -> dict[str, str]:
    """`metadata_props` of the file: strings, JSON where a value has parts."""
    weights = request.weights
    values: dict[str, object] = {
        "version": package_version("depthport") or "unknown",
        "model": request.model.name,
        "weights": weights.id,
        "weights_sha256": weights.sha256,
        "weights_synthetic": weights.synthetic,
        "licence": weights.licence,
        "precision": request.policy.to_json(),
        "target": request.target or "portable",
        "outputs": {name: OUTPUT_MEANINGS[name] for name in request.outputs},
        "preprocessing": preprocessing(request),
        "dynamic": list(request.dynamic),
        "limits": {dim: list(limit) for dim, limit in limits_of(request.dynamic).items()},
        "host_steps": [asdict(step) for step in request.host_steps],
    }
    return {f"{PREFIX}{key}": value if isinstance(value, str) else json.dumps(value) for key, value in values.items()}


def describe(model: onnx_ir.Model, request: ExportRequest) -> None:
    """Write producer, name and metadata into `model`, and take out what names files of this machine."""
    model.producer_name = PRODUCER
    model.producer_version = package_version("depthport")
    model.graph.name = request.model.name
    model.metadata_props.clear()
    model.metadata_props.update(metadata(request))
    model.graph.metadata_props.clear()
    for value in (*model.graph.inputs, *model.graph.outputs, *model.graph.initializers.values()):
        value.metadata_props.clear()
    for node in model.graph.all_nodes():
        scopes = node.metadata_props.get(_SCOPES)
        node.metadata_props.clear()
        if scopes is not None:
            node.metadata_props[_SCOPES] = scopes
        for value in node.outputs:
            value.metadata_props.clear()
