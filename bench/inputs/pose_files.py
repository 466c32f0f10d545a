"""Known poses from a file a user names: `.npz` (numpy) or `.json`, with `extrinsics` and `intrinsics`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from depthport.bench.inputs.photographs import Camera, Photographs
from depthport.exporters.core.atomic import read_json
from depthport.exporters.core.errors import InputError, one_line
from depthport.exporters.core.npz import read_npz
from depthport.exporters.inputs.poses import as_homogeneous, check_poses

LARGEST_BYTES = 1 << 28
"""Of a file of poses: a million cameras fit."""
_ASK = "give extrinsics (N x 4x4, world to camera) and intrinsics (N x 3x3, pixels of the photographs)"


class Poses(NamedTuple):
    """Cameras of the user's photographs, in their order."""

    extrinsics: NDArray[np.float64]
    """(N, 4, 4), world to camera, OpenCV axes."""
    intrinsics: NDArray[np.float64]
    """(N, 3, 3), pixels of the photographs as they lie on disk."""

    def part(self, start: int, stop: int) -> Poses:
        """Those of views `start` to `stop`."""
        return Poses(self.extrinsics[start:stop], self.intrinsics[start:stop])


def read_poses(path: Path | str) -> Poses:
    """The poses of a file; scenes of a batch may be an axis of their own or follow each other.

    Raises:
        InputError: no such file, another kind of file, something missing, or poses that no camera has.
    """
    path = Path(path)
    content = _content(path)
    for name in ("extrinsics", "intrinsics"):
        if name not in content:
            raise InputError(f"{path} has no {name}: {_ASK}")
    try:
        extrinsics, intrinsics = (_numbers(content[name]) for name in ("extrinsics", "intrinsics"))
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(f"{path} holds no arrays of numbers ({one_line(error)}): {_ASK}") from None
    if extrinsics.ndim not in (3, 4):
        raise InputError(f"{path}: extrinsics have {extrinsics.ndim} axes: {_ASK}")
    check_poses(extrinsics, intrinsics)
    return Poses(
        as_homogeneous(extrinsics.reshape(-1, *extrinsics.shape[-2:])), intrinsics.reshape(-1, *intrinsics.shape[-2:])
    )


def _numbers(value: Any) -> NDArray[np.float64]:
    """An array of real numbers.

    Raises:
        TypeError, ValueError, OverflowError: text, bytes, dates, complex numbers, rows of different lengths.
    """
    array = np.asarray(value)
    if array.dtype.kind not in "iuf":
        raise TypeError(f"of type {array.dtype}")
    return array.astype(np.float64)


def posed(photographs: Photographs, poses: Poses) -> Photographs:
    """The photographs with known cameras in place of assumed ones.

    Raises:
        InputError: another number of poses than photographs.
    """
    if len(poses.extrinsics) != len(photographs.cameras):
        raise InputError(
            f"{len(poses.extrinsics)} poses for {len(photographs.cameras)} images: give one pose for each, in their order"
        )
    cameras: Sequence[Camera] = [
        replace(camera, extrinsics=extrinsics, intrinsics=intrinsics)
        for camera, extrinsics, intrinsics in zip(photographs.cameras, *poses, strict=True)
    ]
    return replace(photographs, cameras=tuple(cameras), calibrated=True)


def _content(path: Path) -> Mapping[str, Any]:
    if not path.is_file():
        raise InputError(f"{path} is not a file: name an .npz or .json file of poses")
    if path.suffix != ".json":
        try:
            return read_npz(path, largest_bytes=LARGEST_BYTES)
        except InputError as error:
            raise InputError(f"{error}: {_ASK}") from None
    try:
        content = read_json(path, LARGEST_BYTES)
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is not a .json file that can be read ({one_line(error)}): {_ASK}") from None
    if not isinstance(content, dict):
        raise InputError(f"{path} does not hold an object: {_ASK}")
    return content
