"""Camera paths as text, without camera matrices: TUM RGB-D (8 columns) and KITTI odometry (12 columns).

Both write camera-to-world poses with OpenCV axes: TUM `timestamp tx ty tz qx qy qz qw`
(https://cvg.cit.tum.de/data/datasets/rgbd-dataset/file_formats), KITTI a row-major 3x4 matrix a line. What the lens is
stands elsewhere: `intrinsics.txt` beside the file (fx fy cx cy, or a matrix of 3x3 or 4x4), or KITTI's `calib.txt`, whose
rectified cameras P0 to P3 share their matrix.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from depthport.exporters.core.errors import InputError, one_line
from depthport.exporters.core.files.atomic import read_bytes
from depthport.exporters.inputs.poses import as_homogeneous, invert

Array = NDArray[np.float64]

LARGEST_BYTES = 1 << 28
INTRINSICS_FILE, CALIBRATION_FILE = "intrinsics.txt", "calib.txt"
LATEST_S = 0.02
"""Largest difference in seconds between a photograph and its pose, as in TUM's `associate.py`."""
_TUM, _KITTI = 8, 12


def read_text(path: Path) -> str:
    """A text file of poses.

    Raises:
        InputError: it can't be read, is too large or is not text.
    """
    try:
        return read_bytes(path, LARGEST_BYTES).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"{path} is not text in UTF-8: give .npz, .json, or TUM, KITTI or COLMAP text") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path} can't be read ({one_line(error)})") from None


def numbers(line: str, path: Path) -> list[float]:
    """The numbers of a line, separated by blanks or commas.

    Raises:
        InputError: something else stands there, or NaN or infinity.
    """
    try:
        found = [float(word) for word in line.replace(",", " ").split()]
    except ValueError:
        raise InputError(
            f"{path} is not a pose file (at {line[:40]!r}): give .npz, .json, or TUM, KITTI or COLMAP text"
        ) from None
    if not all(map(math.isfinite, found)):
        raise InputError(f"{path} holds numbers that are not finite: give finite ones")
    return found


def read_trajectory(path: Path, images: Sequence[Path]) -> tuple[Array, Array]:
    """Extrinsics (N, 4, 4), world to camera, and intrinsics (N, 3, 3) of a TUM or KITTI file.

    Args:
        images: the photographs; a file of more poses than these is matched to their names, TUM's by time stamp (within
            20 ms), KITTI's by number. Of as many, the order counts.

    Raises:
        InputError: neither kind of file, no intrinsics beside it, or a photograph that has no pose.
    """
    lines = [line for raw in read_text(path).splitlines() if (line := raw.strip()) and not line.startswith("#")]
    rows = [numbers(line, path) for line in lines]
    columns = {len(row) for row in rows}
    if columns not in ({_TUM}, {_KITTI}):
        found = f"{min(columns)} to {max(columns)}" if len(columns) > 1 else str(next(iter(columns), "no"))
        raise InputError(f"{path} has rows of {found} numbers: TUM's poses have {_TUM}, KITTI's {_KITTI}")
    table = np.array(rows, np.float64)
    if not np.isfinite(table).all():
        raise InputError(f"{path} holds numbers that are not finite: give finite poses")
    kept = table[_rows_of(images, table, path)]
    to_world = _of_quaternions(kept[:, 1:4], kept[:, 4:], path) if columns == {_TUM} else kept.reshape(-1, 3, 4)
    return invert(as_homogeneous(to_world)), _intrinsics_beside(path, len(kept))


def rotations(quaternions: Array, path: Path) -> Array:
    """(N, 3, 3) from quaternions (N, 4), x y z w.

    Raises:
        InputError: one is not of length 1 (within the digits that are usual in text).
    """
    lengths = np.linalg.norm(quaternions, axis=-1)
    if (np.abs(lengths - 1) > 1e-2).any():
        view = int(np.flatnonzero(np.abs(lengths - 1) > 1e-2)[0])
        raise InputError(
            f"{path}: the quaternion of pose {view} has length {lengths[view]:.3g}, not 1: check the column order"
        )
    x, y, z, w = (quaternions / lengths[:, None]).T
    rows = (
        (1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)),
        (2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)),
        (2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)),
    )
    return np.moveaxis(np.array(rows), -1, 0)


def _of_quaternions(translations: Array, quaternions: Array, path: Path) -> Array:
    return np.concatenate((rotations(quaternions, path), translations[:, :, None]), -1)


def _rows_of(images: Sequence[Path], table: Array, path: Path) -> list[int]:
    """Return the row of each photograph."""
    if not images or len(images) == len(table):
        return list(range(len(table)))
    found = []
    for image in images:
        try:
            stamp = float(image.stem)
        except ValueError:
            raise InputError(
                f"{path} has {len(table)} poses for {len(images)} photographs and {image.name} does not say which: give "
                "one for each, or name photographs by time stamp (TUM) or number (KITTI)"
            ) from None
        row = int(np.abs(table[:, 0] - stamp).argmin()) if table.shape[1] == _TUM else int(stamp)
        missing = abs(table[row, 0] - stamp) > LATEST_S if table.shape[1] == _TUM else not 0 <= row < len(table)
        if missing:
            raise InputError(f"{path} has no pose for {image.name}: leave it out, or give the poses of its sequence")
        found.append(row)
    return found


def _intrinsics_beside(path: Path, views: int) -> Array:
    """(N, 3, 3), one matrix for all views or one for each."""
    own, calibration = path.with_name(INTRINSICS_FILE), path.with_name(CALIBRATION_FILE)
    if own.is_file():
        rows = [numbers(line, own) for line in read_text(own).splitlines() if line.strip() and not line.startswith("#")]
        if rows and {len(row) for row in rows} == {4} and len(rows) in (1, views):
            return _pinhole(np.broadcast_to(np.array(rows), (views, 4)))
        values = np.array([value for row in rows for value in row])
        if values.size in (9, 16):
            side = 3 if values.size == 9 else 4
            return np.tile(values.reshape(side, side)[:3, :3], (views, 1, 1))
        raise InputError(f"{own} holds neither fx fy cx cy nor a matrix of 3x3 or 4x4: write one of them")
    if calibration.is_file():
        found = [line.split(":", 1)[1] for line in read_text(calibration).splitlines() if line.startswith("P0:")]
        if found and len(projection := numbers(found[0], calibration)) == 12:
            return np.tile(np.array(projection).reshape(3, 4)[:, :3], (views, 1, 1))
        raise InputError(f"{calibration} has no line P0: of 12 numbers: write fx fy cx cy into {own.name} beside it")
    raise InputError(
        f"{path} holds poses and no intrinsics: write fx fy cx cy, in pixels of the photographs, into {own.name} beside it"
    )


def _pinhole(values: Array) -> Array:
    """(N, 3, 3) from fx fy cx cy (N, 4)."""
    matrices = np.tile(np.eye(3), (len(values), 1, 1))
    matrices[:, [0, 1, 0, 1], [0, 1, 2, 2]] = values
    return matrices
