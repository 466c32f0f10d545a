"""Checks that arrays are cameras, with a guess at what they are where they aren't. Pure numpy.

Conventions: `extrinsics` are world to camera with OpenCV axes (x right, y down, z forward), `intrinsics` pinhole matrices
in pixels. Upstream takes any numbers and inverts a pose by transposing its rotation (`utils/geometry.py`), so that a
invalid rotation silently gives another camera.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from depthport.exporters.core.errors import InputError

Array = NDArray[np.float64]

ROW_TOLERANCE = 1e-6
"""Error of a last row, 0 0 0 1 or 0 0 1, that fp32 arithmetic leaves."""
LONGEST_FOCAL = 1 / np.radians(0.01)
"""Longest focal length in edges of the image."""
LARGEST_ENTRY = 1e15
"""Largest entry of a pose or camera matrix: squares of more do not fit into fp32."""
ROTATION_TOLERANCE = 1e-2
"""Largest difference of RᵀR from the identity, per element: rotations written with three digits are within."""
SHEAR_TOLERANCE = 1e-2
"""Largest skew, as a share of the focal length: below is a calibration's, which upstream ignores."""
LARGEST_NORMALISED = 8.0
"""Focal length of a normalised camera matrix (in image widths): a field of view of 7 degrees. In pixels it is a camera of
a few pixels, which there is not."""
_SMALLEST_DETERMINANT = 1e-8


def check_poses(extrinsics: np.ndarray, intrinsics: np.ndarray) -> None:
    """Refuse invalid poses and camera matrices.

    Args:
        extrinsics: (..., 4, 4) or (..., 3, 4).
        intrinsics: (..., 3, 3).

    Raises:
        InputError: another shape, a non-finite value, not a rigid pose, or not a camera matrix in pixels; the message
            names the first view and the likely cause (transposed, scaled, left-handed, normalised, ...).
    """
    poses, cameras = np.asarray(extrinsics), np.asarray(intrinsics)
    if poses.shape[-2:] not in ((4, 4), (3, 4)) or cameras.shape != (*poses.shape[:-2], 3, 3):
        raise InputError(
            f"extrinsics {dims(poses)} and intrinsics {dims(cameras)} don't fit: give N poses of 4x4 (or 3x4) and as "
            "many camera matrices of 3x3"
        )
    check_extrinsics(poses)
    check_intrinsics(cameras)


def check_extrinsics(extrinsics: np.ndarray) -> None:
    """The half of :func:`check_poses` about poses (..., 4, 4) or (..., 3, 4)."""
    poses = np.asarray(extrinsics, np.float64)
    _refuse("extrinsics", ~np.isfinite(poses).all((-1, -2)), "not finite: give finite poses")
    far = (np.abs(poses) > LARGEST_ENTRY).any((-1, -2))
    _refuse("extrinsics", far, f"too far away: give translations below {LARGEST_ENTRY:g}, in another unit")
    rotations = poses[..., :3, :3]
    determinants = np.linalg.det(rotations)
    _refuse("extrinsics", np.abs(determinants) < _SMALLEST_DETERMINANT, "not invertible: its rotation is singular")
    if poses.shape[-2] == 4:
        bottom, right = poses[..., 3, :], poses[..., :3, 3]
        wrong = (np.abs(bottom - (0, 0, 0, 1)) > ROW_TOLERANCE).any(-1)
        transposed = wrong & (np.abs(right) <= ROW_TOLERANCE).all(-1) & (np.abs(bottom[..., 3] - 1) <= ROW_TOLERANCE)
        _refuse("extrinsics", transposed, "transposed: the translation belongs in the last column, not the last row")
        _refuse("extrinsics", wrong, "not a pose: its last row must be 0 0 0 1")
    _refuse(
        "extrinsics", determinants < 0, "left-handed (its rotation mirrors): negate the axis that was flipped, so that x "
        "is right, y down and z forward",
    )  # fmt: skip
    gram = np.swapaxes(rotations, -1, -2) @ rotations
    scales = np.cbrt(determinants)
    strayed = np.abs(gram - np.eye(3)).max((-1, -2)) > ROTATION_TOLERANCE
    uniform = np.abs(gram / (scales**2)[..., None, None] - np.eye(3)).max((-1, -2)) <= ROTATION_TOLERANCE
    scaled = strayed & uniform
    by = f"{scales[scaled][0]:.4g}" if scaled.any() else ""
    _refuse("extrinsics", scaled, f"scaled by {by}: divide its rotation by that, scale belongs in the translation")
    _refuse("extrinsics", strayed, "not a rigid pose: its rotation is sheared or its axes have different lengths")


def check_intrinsics(intrinsics: np.ndarray) -> None:
    """The half of :func:`check_poses` about camera matrices (..., 3, 3)."""
    cameras = np.asarray(intrinsics, np.float64)
    _refuse("intrinsics", ~np.isfinite(cameras).all((-1, -2)), "not finite: give finite camera matrices")
    _refuse("intrinsics", (np.abs(cameras) > LARGEST_ENTRY).any((-1, -2)), "not in pixels: no image is that large")
    bottom, right = cameras[..., 2, :2], cameras[..., :2, 2]
    wrong = (np.abs(bottom) > ROW_TOLERANCE).any(-1) | (np.abs(cameras[..., 2, 2] - 1) > ROW_TOLERANCE)
    transposed = wrong & (np.abs(right) <= ROW_TOLERANCE).all(-1) & (np.abs(cameras[..., 2, 2] - 1) <= ROW_TOLERANCE)
    _refuse("intrinsics", transposed, "transposed: the principal point belongs in the last column, not the last row")
    _refuse("intrinsics", wrong, "not a camera matrix: its last row must be 0 0 1")
    focal = np.minimum(cameras[..., 0, 0], cameras[..., 1, 1])
    _refuse(
        "intrinsics", focal <= 0, "not a camera matrix: its focal lengths must be above 0 pixels (OpenGL's are negated)"
    )
    largest = np.maximum(cameras[..., 0, 0], cameras[..., 1, 1])
    normalised = (largest <= LARGEST_NORMALISED) & (np.abs(right) <= 1.5).all(-1)
    _refuse(
        "intrinsics", normalised, "not in pixels but normalised by the image's size: multiply its first row by the width "
        "and its second by the height",
    )  # fmt: skip
    skew = np.abs(cameras[..., [1, 0], [0, 1]]) > SHEAR_TOLERANCE * focal[..., None]
    _refuse("intrinsics", skew.any(-1), "not a pinhole camera: it has a skew, undistort the photographs first")


def check_size(intrinsics: np.ndarray, sizes: np.ndarray) -> None:
    """Refuse camera matrices (N, 3, 3) that can't be of images of `sizes` (N, 2), height and width.

    Raises:
        InputError: a principal point outside of its image, or a field of view over 170 or under 0.01 degrees.
    """
    cameras, sizes = np.asarray(intrinsics, np.float64), np.asarray(sizes, np.float64)[:, ::-1]
    centres, focal = cameras[:, [0, 1], [2, 2]], cameras[:, [0, 1], [0, 1]]
    outside = ((centres < 0) | (centres > sizes)).any(-1)
    narrow = (focal < sizes / 2 / np.tan(np.radians(85))).all(-1)
    long = (focal > LONGEST_FOCAL * sizes).any(-1)
    for wrong, what in (
        (outside, "has its principal point outside"), (narrow, "has a field of view over 170 degrees on"),
        (long, "has a field of view under 0.01 degrees on"),
    ):  # fmt: skip
        if wrong.any():
            view = int(np.flatnonzero(wrong)[0])
            width, height = (int(edge) for edge in sizes[view])
            raise InputError(
                f"intrinsics of view {view} {what} the image of {width}x{height}: they belong to another resolution or "
                "crop; scale them to the photographs on disk"
            )


def dims(array: np.ndarray) -> str:
    """A shape as text: 2x3x3."""
    return "x".join(map(str, array.shape)) or "scalar"


def _refuse(name: str, bad: NDArray[np.bool_] | np.bool_, what: str) -> None:
    if np.any(bad):
        index = [int(i) for i in np.argwhere(bad)[0]]
        scene = f" of scene {index[-2]}" if len(index) > 1 else ""
        view = f" of view {index[-1]}{scene}" if len(index) else ""
        verb = "are" if not len(index) else "is"
        raise InputError(f"{name}{view} {verb} {what}")
