"""Names, shapes, dtypes and meaning of a request's inputs and outputs, whatever the format."""

from __future__ import annotations

from depthport.exporters.core.artifact import TensorDType, TensorSpec
from depthport.exporters.core.tensors import Preprocessing, Sizes, input_shapes, open_sizes, output_shapes
from depthport.exporters.da3.request import ExportRequest
from depthport.exporters.inputs.preprocess import IMAGENET_MEAN, IMAGENET_STD, exact_steps, steps_to_json

AUTHOR = "ByteDance Seed (network and weights, https://github.com/ByteDance-Seed/Depth-Anything-3); converted by depthport"

OUTPUT_MEANING = {
    "depth": "Depth (B, N, H, W), positive, up to one scale per scene that the extrinsics share",
    "depth_conf": "Confidence of the depth (B, N, H, W), 1 or more, higher is surer",
    "extrinsics": "World-to-camera pose (B, N, 3, 4), OpenCV axes",
    "intrinsics": "Pinhole matrix (B, N, 3, 3) in pixels of the input",
    "reference_view": "Index of the view that defines the scene's coordinate system (B)",
    "ray": "Ray direction and origin of each cell (B, N, h, w, 6)",
    "ray_conf": "Confidence of the rays (B, N, h, w)",
    "sky": "Sky score (B, N, H, W), 0.3 and above is sky",
    "metric_depth": "Depth of the metric network (B, N, H, W) for a focal length of 300 pixels, in metres",
}
"""Descriptions of the outputs, for formats that can hold them."""


def summary(request: ExportRequest) -> str:
    """Describe an artifact in a sentence or two, for formats that can hold it."""
    shape = request.shape
    synthetic = " SYNTHETIC WEIGHTS: output values are not valid." if request.weights.synthetic else ""
    return (
        f"Depth Anything 3 ({request.model.name}): depth and camera poses of {shape.views} view(s) of "
        f"{shape.height}x{shape.width} pixels.{synthetic}"
    )


def input_specs(request: ExportRequest) -> tuple[TensorSpec, ...]:
    """`image` and, where the request takes poses, `extrinsics` and `intrinsics`."""
    shapes = input_shapes(_sizes(request), request.source_size, pixels=request.preprocess)
    image = TensorSpec("image", shapes["image"], "uint8" if request.preprocess else "float32")
    poses = ("extrinsics", "intrinsics") if request.pose_input else ()
    return (image, *(TensorSpec(name, shapes[name], "float32", f"{name}_in") for name in poses))


def output_specs(request: ExportRequest) -> tuple[TensorSpec, ...]:
    """The requested outputs with their shapes; float32 in every precision, the view int64."""
    shapes = output_shapes(_sizes(request))
    dtypes: dict[str, TensorDType] = {"reference_view": "int64"}
    return tuple(TensorSpec(name, shapes[name], dtypes.get(name, "float32")) for name in request.outputs)


def _sizes(request: ExportRequest) -> Sizes:
    return open_sizes(request.shape.sizes, request.dynamic)


def preprocessing(request: ExportRequest) -> Preprocessing:
    """Return the preprocessing of the inputs, and who does it; part of every manifest."""
    found: Preprocessing = {"mean": list(IMAGENET_MEAN), "std": list(IMAGENET_STD)}
    if request.preprocess:
        found |= {"where": "graph", "image": "uint8 RGB HWC"}
        if request.source_size is not None:
            height, width = request.source_size
            steps = exact_steps((width, height), request.shape.height, request.shape.width)
            found |= {"source_size": request.source_size, "steps": steps_to_json(steps)}
    else:
        found |= {"where": "host", "image": "float32 RGB CHW, ImageNet-normalised"}
    if request.pose_input:
        found["extrinsics"] = (
            "world-to-camera 4x4, relative to view 0 and scaled to the scene on the host: "
            "depthport.exporters.inputs.poses.normalise_extrinsics"
        )
        found["intrinsics"] = "camera matrix in pixels of the H x W image, as it is"
        found["after"] = "on the host, to the scale of the input poses: depthport.exporters.inputs.poses.align_to_input"
    return found
