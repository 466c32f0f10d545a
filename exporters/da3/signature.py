"""The names, shapes and dtypes that every artifact of a request takes and gives, whatever its format."""

from __future__ import annotations

from typing import Any

from depthport.exporters.core.artifact import Shape, TensorSpec
from depthport.exporters.da3.request import ExportRequest
from depthport.exporters.inputs.preprocess import IMAGENET_MEAN, IMAGENET_STD, exact_steps, steps_to_json


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
    """The requested outputs with the shapes DESIGN gives them; float32 in every precision, the view int64."""
    b, n, h, w = _dims(request)
    rays: tuple[int | str, int | str] = _ray_size(h), _ray_size(w)
    shapes: dict[str, tuple[tuple[int | str, ...], str]] = {
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


def preprocessing(request: ExportRequest) -> dict[str, Any]:
    """What has to be done to the inputs before they go in, and by whom; part of every manifest."""
    statistics = {"mean": list(IMAGENET_MEAN), "std": list(IMAGENET_STD)}
    if request.preprocess:
        found: dict[str, Any] = {"where": "graph", "image": "uint8 RGB HWC", **statistics}
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
