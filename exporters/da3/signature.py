"""Names, shapes, dtypes and meaning of a request's inputs and outputs, whatever the format."""

from __future__ import annotations

from depthport.exporters.core.artifact import Shape, TensorDType, TensorSpec
from depthport.exporters.core.json_types import JsonObject
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


def _dims(request: ExportRequest) -> tuple[int | str, int | str, int | str, int | str]:
    shape: Shape = request.shape
    open_dims = set(request.dynamic)
    return (
        "batch" if "batch" in open_dims else shape.batch,
        "views" if "views" in open_dims else shape.views,
        "height" if "size" in open_dims else shape.height,
        "width" if "size" in open_dims else shape.width,
    )


def input_specs(request: ExportRequest) -> tuple[TensorSpec, ...]:
    """`image` and, where the request takes poses, `extrinsics` and `intrinsics`."""
    b, n, h, w = _dims(request)
    source = request.source_size or (h, w)
    image = (
        TensorSpec("image", (b, n, *source, 3), "uint8")
        if request.preprocess
        else TensorSpec("image", (b, n, 3, h, w), "float32")
    )
    if not request.pose_input:
        return (image,)
    return (
        image,
        TensorSpec("extrinsics", (b, n, 4, 4), "float32", "extrinsics_in"),
        TensorSpec("intrinsics", (b, n, 3, 3), "float32", "intrinsics_in"),
    )


def output_specs(request: ExportRequest) -> tuple[TensorSpec, ...]:
    """The requested outputs with their shapes; float32 in every precision, the view int64."""
    b, n, h, w = _dims(request)
    rays: tuple[int | str, int | str] = _ray_size(h), _ray_size(w)
    shapes: dict[str, tuple[tuple[int | str, ...], TensorDType]] = {
        "depth": ((b, n, h, w), "float32"),
        "depth_conf": ((b, n, h, w), "float32"),
        "extrinsics": ((b, n, 3, 4), "float32"),
        "intrinsics": ((b, n, 3, 3), "float32"),
        "reference_view": ((b,), "int64"),
        "ray": ((b, n, *rays, 6), "float32"),
        "ray_conf": ((b, n, *rays), "float32"),
        "sky": ((b, n, h, w), "float32"),
        "metric_depth": ((b, n, h, w), "float32"),
    }
    return tuple(TensorSpec(name, *shapes[name]) for name in request.outputs)


def _ray_size(pixels: int | str) -> int | str:
    """The ray head works at 8 samples a patch of 14 pixels (`dualdpt.py`: x4 resize, x2 fusion)."""
    return pixels // 14 * 8 if isinstance(pixels, int) else f"{pixels}*8/14"


def preprocessing(request: ExportRequest) -> JsonObject:
    """Return the preprocessing of the inputs, and who does it; part of every manifest."""
    statistics = {"mean": list(IMAGENET_MEAN), "std": list(IMAGENET_STD)}
    if request.preprocess:
        found: JsonObject = {"where": "graph", "image": "uint8 RGB HWC", **statistics}
        if request.source_size is not None:
            height, width = request.source_size
            steps = exact_steps((width, height), request.shape.height, request.shape.width)
            found.update(source_size=list(request.source_size), steps=steps_to_json(steps))
    else:
        found = {"where": "host", "image": "float32 RGB CHW, ImageNet-normalised", **statistics}
    if request.pose_input:
        found["extrinsics"] = (
            "world-to-camera 4x4, relative to view 0 and scaled to the scene on the host: "
            "depthport.exporters.inputs.poses.normalise_extrinsics"
        )
        found["intrinsics"] = "camera matrix in pixels of the H x W image, as it is"
        found["after"] = "on the host, to the scale of the input poses: depthport.exporters.inputs.poses.align_to_input"
    return found
