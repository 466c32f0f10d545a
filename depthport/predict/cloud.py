"""A coloured point cloud of a prediction, as PLY and GLB (trimesh writes both)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from depthport.predict.prediction import Prediction

CONFIDENCE_PERCENTILE = 40.0
"""Points of less confidence are left out: upstream's `conf_thresh_percentile` (`depth_anything_3/api.py`)."""
MOST_POINTS = 1_000_000
"""Upstream's `num_max_points`."""
_SEED = 0
# glTF has y up and looks along -z, OpenCV y down and along +z.
_TO_GLTF = np.diag([1.0, -1.0, -1.0, 1.0])


def unproject(
    depth: NDArray[np.float32], intrinsics: NDArray[np.float32], extrinsics: NDArray[np.float32]
) -> NDArray[np.float64]:
    """World points of every pixel's centre.

    Args:
        depth: (N, H, W), along the optical axis.
        intrinsics: (N, 3, 3), pixels; the origin is the corner of the first pixel.
        extrinsics: (N, 3, 4), world to camera, OpenCV.

    Returns:
        (N, H, W, 3).
    """
    _, height, width = depth.shape
    rows, columns = np.mgrid[0:height, 0:width] + 0.5
    pixels = np.stack([columns, rows, np.ones_like(rows)], -1)
    rays = np.einsum("nij,hwj->nhwi", np.linalg.inv(intrinsics.astype(np.float64)), pixels)
    points = rays * depth[..., None].astype(np.float64)
    rotation, translation = extrinsics[:, :, :3].astype(np.float64), extrinsics[:, :, 3].astype(np.float64)
    found: NDArray[np.float64] = np.einsum("nji,nhwj->nhwi", rotation, points - translation[:, None, None, :])
    return found


def points_of(prediction: Prediction) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
    """The points worth showing and their colours, (P, 3) each: confident, finite, not sky, at most `MOST_POINTS`."""
    assert prediction.intrinsics is not None and prediction.extrinsics is not None
    assert prediction.processed_images is not None
    keep = np.isfinite(prediction.depth) & (prediction.depth > 0)
    if prediction.conf is not None:
        keep &= prediction.conf >= np.percentile(prediction.conf, CONFIDENCE_PERCENTILE)
    if prediction.sky is not None:
        keep &= prediction.sky < 0.5
    points = unproject(prediction.depth, prediction.intrinsics, prediction.extrinsics)[keep]
    colours = prediction.processed_images[keep]
    if len(points) > MOST_POINTS:
        chosen = np.sort(np.random.default_rng(_SEED).choice(len(points), MOST_POINTS, replace=False))
        points, colours = points[chosen], colours[chosen]
    return points, colours


def write_clouds(prediction: Prediction, folder: Path, kinds: Sequence[str]) -> None:
    """`points.ply` in OpenCV's axes, `points.glb` in glTF's. Needs trimesh."""
    import trimesh

    points, colours = points_of(prediction)
    untyped: Any = trimesh
    cloud = untyped.PointCloud(points, colors=colours)
    if "ply" in kinds:
        (folder / "points.ply").write_bytes(cloud.export(file_type="ply"))
    if "glb" in kinds:
        cloud.apply_transform(_TO_GLTF)
        (folder / "points.glb").write_bytes(untyped.Scene([cloud]).export(file_type="glb"))
