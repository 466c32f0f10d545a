"""A prediction as common files: pictures, arrays, point cloud, cameras."""

from __future__ import annotations

import io
import json
import tempfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin

from depthport.exporters.core import install
from depthport.exporters.core.errors import UnavailableError, UsageError
from depthport.exporters.core.files.atomic import check_output_folder, storage_errors
from depthport.exporters.core.files.npz import write_npz
from depthport.exporters.inputs.preprocess import steps_to_json
from depthport.predict.cameras import write_colmap, write_json_poses, write_tum
from depthport.predict.cloud import write_clouds
from depthport.predict.colormaps import VIRIDIS
from depthport.predict.prediction import Prediction

KINDS = ("png", "npz", "ply", "glb", "colmap", "tum", "json")
"""Kinds of file that can be written; all of them by default."""
_CAMERA_KINDS = frozenset({"ply", "glb", "colmap", "tum", "json"})
_CLOUDS = frozenset({"ply", "glb"})
_LARGEST_16 = 65535


def write_prediction(
    prediction: Prediction, out: Path, kinds: Sequence[str] = KINDS, *, original_size: bool = False
) -> list[Path]:
    """Write what `kinds` name into `out`, all of it or nothing new; the paths, in the order written.

    * `png`: `depth-K-NAME.png` in colour (near is dark), `depth16-K-NAME.png` in 16 bits with the scale in its metadata
    * `npz`: `prediction.npz`: depth, conf, sky, extrinsics, intrinsics, images, and `preprocessing` as JSON
    * `ply`, `glb`: a coloured point cloud in the frame of the predicted cameras
    * `colmap`: `colmap/{cameras,images,points3D}.txt`; `tum`: `poses.tum`; `json`: `poses.json`

    Args:
        original_size: depth pictures in the photographs' own pixels (transparent or 0 where the network did not see them).

    Raises:
        UsageError: an unknown kind.
        StorageError: `out` can't be written to.
        UnavailableError: a point cloud, and trimesh is not installed.
    """
    kinds = check_kinds(kinds)
    if prediction.extrinsics is None or prediction.intrinsics is None:
        kinds = [kind for kind in kinds if kind not in _CAMERA_KINDS]
    check_output_folder(out)
    with storage_errors(out):
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".prediction-", dir=out) as folder:
            _write(prediction, Path(folder), kinds, original_size)
            written = sorted(path.relative_to(folder) for path in Path(folder).rglob("*") if path.is_file())
            for name in written:
                (out / name).parent.mkdir(exist_ok=True)
                (Path(folder) / name).replace(out / name)
    return [out / name for name in written]


def check_kinds(kinds: Sequence[str] | None) -> Sequence[str]:
    """Check the kinds of file to write before anything is predicted; None: all that can be written here.

    Raises:
        UsageError: an unknown kind, or none.
        UnavailableError: a point cloud is asked for, and trimesh is not installed.
    """
    clouds = find_spec("trimesh") is not None
    if kinds is None:
        return [kind for kind in KINDS if clouds or kind not in _CLOUDS]
    if not kinds:
        raise UsageError(f"nothing to write: choose from {', '.join(KINDS)}")
    if unknown := [kind for kind in kinds if kind not in KINDS]:
        raise UsageError(f"unknown kind of file {unknown[0]!r}: choose from {', '.join(KINDS)}")
    if not clouds and _CLOUDS & set(kinds):
        raise UnavailableError(f"point clouds need trimesh: {install.PREDICT}, or leave out ply and glb")
    return kinds


def _write(prediction: Prediction, folder: Path, kinds: Sequence[str], original_size: bool) -> None:
    if "png" in kinds:
        depths = [prediction.depth_of_photograph(k) if original_size else own for k, own in enumerate(prediction.depth)]
        low, high = depth_range(np.concatenate([depth.ravel() for depth in depths]))
        for index, depth in enumerate(depths):
            name = f"{index:03d}-{Path(prediction.names[index]).stem}"
            (folder / f"depth-{name}.png").write_bytes(colour_png(depth, low, high))
            (folder / f"depth16-{name}.png").write_bytes(depth_png(depth, prediction))
    if "npz" in kinds:
        write_npz(folder / "prediction.npz", arrays_of(prediction))
    if {"ply", "glb"} & set(kinds):
        write_clouds(prediction, folder, [kind for kind in ("ply", "glb") if kind in kinds])
    if "colmap" in kinds:
        write_colmap(prediction, folder / "colmap")
    if "tum" in kinds:
        write_tum(prediction, folder / "poses.tum")
    if "json" in kinds:
        write_json_poses(prediction, folder / "poses.json")


def arrays_of(prediction: Prediction) -> dict[str, np.ndarray]:
    """Return the arrays of `prediction.npz`."""
    optional = {
        "conf": prediction.conf,
        "sky": prediction.sky,
        "extrinsics": prediction.extrinsics,
        "intrinsics": prediction.intrinsics,
        "images": prediction.processed_images,
    }
    how = [
        {"photograph": name, "size": [height, width], "steps": steps_to_json(steps)}
        for name, (width, height), steps in zip(prediction.names, prediction.sizes, prediction.steps, strict=True)
    ]
    return {
        "depth": prediction.depth,
        **{name: array for name, array in optional.items() if array is not None},
        "is_metric": np.array(prediction.is_metric),
        "preprocessing": np.array(json.dumps(how)),
    }


def depth_range(depth: NDArray[np.float32]) -> tuple[float, float]:
    """Return the range of the colours: the 2nd to the 98th percentile of the known depths, never empty."""
    known = depth[np.isfinite(depth)]
    if not known.size:
        return 0.0, 1.0
    low, high = (float(value) for value in np.percentile(known, (2, 98)))
    return (low, high) if high > low else (low, low + max(abs(low), 1.0) * 1e-6)


def colour_png(depth: NDArray[np.float32], low: float, high: float) -> bytes:
    """(H, W) as a PNG in viridis; what is not known is transparent."""
    known = np.isfinite(depth)
    share = np.clip((np.where(known, depth, low) - low) / (high - low), 0.0, 1.0)
    rgba = np.dstack([VIRIDIS[(share * 255).round().astype(np.uint8)], np.where(known, 255, 0).astype(np.uint8)])
    return _png(Image.fromarray(rgba))


def depth_png(depth: NDArray[np.float32], prediction: Prediction) -> bytes:
    """(H, W) as a 16-bit PNG: depth = value · `depth_scale` of the metadata; 0 is unknown."""
    known = np.isfinite(depth)
    scale = float(depth[known].max()) / _LARGEST_16 if known.any() and depth[known].max() > 0 else 1.0
    levels = np.where(known, np.clip(np.where(known, depth, 0.0) / scale, 1, _LARGEST_16), 0).round().astype(np.uint16)
    text = PngImagePlugin.PngInfo()
    text.add_text("depth_scale", repr(scale))
    text.add_text("depth_unit", "metre" if prediction.is_metric else "scene unit")
    text.add_text("depth_note", "random weights: depth values are not valid" if prediction.synthetic else "")
    return _png(Image.fromarray(levels), text)


def _png(image: Image.Image, text: PngImagePlugin.PngInfo | None = None) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "PNG", pnginfo=text)
    return stream.getvalue()
