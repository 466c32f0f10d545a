"""Predicted cameras in the forms that other programs read: COLMAP's text model, TUM trajectories, JSON."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from depthport.predict.prediction import Prediction


def quaternion(rotation: NDArray[np.float64]) -> NDArray[np.float64]:
    """Unit quaternion (w, x, y, z), w ≥ 0, of a rotation (3, 3).

    The eigenvector of largest eigenvalue of Bar-Itzhack's matrix (J. Guidance 23(6), 2000): right for every angle, and the
    nearest rotation's where rounding left the matrix not quite orthonormal.
    """
    r = rotation
    k = (
        np.array(
            [
                [r[0, 0] - r[1, 1] - r[2, 2], 0, 0, 0],
                [r[0, 1] + r[1, 0], r[1, 1] - r[0, 0] - r[2, 2], 0, 0],
                [r[0, 2] + r[2, 0], r[1, 2] + r[2, 1], r[2, 2] - r[0, 0] - r[1, 1], 0],
                [r[2, 1] - r[1, 2], r[0, 2] - r[2, 0], r[1, 0] - r[0, 1], r[0, 0] + r[1, 1] + r[2, 2]],
            ]
        )
        / 3.0
    )
    _, vectors = np.linalg.eigh(k)
    x, y, z, w = vectors[:, -1]
    found = np.array([w, x, y, z])
    return -found if w < 0 else found


def write_colmap(prediction: Prediction, folder: Path) -> None:
    """`cameras.txt`, `images.txt` and an empty `points3D.txt`: PINHOLE, in pixels of the photographs, world to camera."""
    assert prediction.extrinsics is not None
    cameras, images = (
        ["# CAMERA_ID, MODEL, WIDTH, HEIGHT, PARAMS[]"],
        ["# IMAGE_ID, QW, QX, QY, QZ, TX, TY, TZ, CAMERA_ID, NAME"],
    )
    for view, (name, (width, height)) in enumerate(zip(prediction.names, prediction.sizes, strict=True)):
        matrix = prediction.intrinsics_of_photograph(view)
        focal = " ".join(f"{value:.9g}" for value in (matrix[0, 0], matrix[1, 1], matrix[0, 2], matrix[1, 2]))
        cameras.append(f"{view + 1} PINHOLE {width} {height} {focal}")
        pose = prediction.extrinsics[view].astype(np.float64)
        numbers = " ".join(f"{value:.9g}" for value in (*quaternion(pose[:, :3]), *pose[:, 3]))
        # Each image is two lines; the second lists its points.
        images += [f"{view + 1} {numbers} {view + 1} {name}", ""]
    folder.mkdir()
    (folder / "cameras.txt").write_text("\n".join(cameras) + "\n", encoding="utf-8")
    (folder / "images.txt").write_text("\n".join(images) + "\n", encoding="utf-8")
    (folder / "points3D.txt").write_text("# POINT3D_ID, X, Y, Z, R, G, B, ERROR, TRACK[]\n", encoding="utf-8")


def write_tum(prediction: Prediction, path: Path) -> None:
    """`timestamp tx ty tz qx qy qz qw` a view, camera to world; the timestamp is the view's number."""
    assert prediction.extrinsics is not None
    lines = []
    for view, pose in enumerate(prediction.extrinsics.astype(np.float64)):
        rotation = pose[:, :3].T
        w, x, y, z = quaternion(rotation)
        numbers = (*(-rotation @ pose[:, 3]), x, y, z, w)
        lines.append(f"{view} " + " ".join(f"{value:.9g}" for value in numbers))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_json_poses(prediction: Prediction, path: Path) -> None:
    """Write the cameras as JSON that `--poses` reads.

    Per view: photograph, size, `extrinsics` 4×4 (world to camera, OpenCV), `intrinsics` 3×3 in its pixels.
    """
    assert prediction.extrinsics is not None
    homogeneous = np.concatenate(
        [prediction.extrinsics, np.broadcast_to([[[0, 0, 0, 1]]], (len(prediction.extrinsics), 1, 4))], axis=1
    )
    content = {
        "photographs": list(prediction.names),
        "sizes": [[height, width] for width, height in prediction.sizes],
        "extrinsics": homogeneous.tolist(),
        "intrinsics": [prediction.intrinsics_of_photograph(view).tolist() for view in range(len(prediction.names))],
    }
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
