"""The ONNX graph that an engine is built from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from depthport.exporters.core.artifact import Artifact
from depthport.exporters.core.errors import ArtifactError
from depthport.exporters.core.precision import POLICIES, PrecisionPolicy
from depthport.exporters.da3.request import ExportRequest

ONNX_FILE = "model.onnx"
QUANTIZED_FILE = "quantized.onnx"


def graph_request(request: ExportRequest, target: str) -> ExportRequest:
    """The request for the ONNX file an engine is built from."""
    return replace(request, format="onnx", target=target, policy=graph_policy(request.policy), options={})


def measured_mix(request: ExportRequest) -> bool:
    """Return whether int8 is planned layer by layer: ranges and budget belong to one shape of normalised images."""
    opened = request.dynamic or request.pose_input or request.preprocess
    return request.policy.quantization == "int8" and not opened and "calibration_method" not in request.options


def graph_policy(policy: PrecisionPolicy) -> PrecisionPolicy:
    """The policy of the graph before its matrix products are quantized: the same dtypes."""
    if policy.quantization is None:
        return policy
    parts = (policy.backbone, policy.head, policy.camera)
    return next(p for p in POLICIES.values() if (p.backbone, p.head, p.camera) == parts and p.quantization is None)


def find_onnx(artifact: Artifact) -> Path:
    """The graph an engine was built from: beside the engine, or the ONNX artifact in the same store.

    Raises:
        ArtifactError: it no longer exists.
    """
    if any(info.path == QUANTIZED_FILE for info in artifact.manifest.files):
        return artifact.file(QUANTIZED_FILE)
    source = artifact.manifest.extra.get("onnx", {}).get("artifact", "")
    path = artifact.path.parent / source / ONNX_FILE
    if not source or not path.is_file():
        raise ArtifactError(
            f"the ONNX artifact {source or '(unnamed)'} that {artifact.path.name} was built from is not in the store: "
            "export the engine again on this machine"
        )
    found: Path = path
    return found
