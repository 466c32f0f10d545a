"""Known poses from a file a user names: `.npz` or `.json` with `extrinsics` and `intrinsics`, or text of other tools.

Text is TUM's or KITTI's (:mod:`.trajectories`) or a COLMAP model (:mod:`.colmap`, a folder).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from depthport.bench.inputs.colmap import IMAGES, read_colmap
from depthport.bench.inputs.photographs import Camera, Photographs
from depthport.bench.inputs.trajectories import read_trajectory
from depthport.exporters.core.errors import InputError, one_line
from depthport.exporters.core.files.atomic import read_json
from depthport.exporters.core.files.npz import read_npz
from depthport.exporters.core.files.paths import user_path
from depthport.exporters.inputs.cameras import check_poses, check_size
from depthport.exporters.inputs.plausible import doubts
from depthport.exporters.inputs.poses import as_homogeneous

LARGEST_BYTES = 1 << 28
"""Largest size of a pose file: a million cameras fit."""
_NPY = b"\x93NUMPY"
_ASK = "give extrinsics (N x 4x4, world to camera) and intrinsics (N x 3x3, pixels of the photographs)"


class Poses(NamedTuple):
    """Cameras of the user's photographs, in their order."""

    extrinsics: NDArray[np.float64]
    """(N, 4, 4), world to camera, OpenCV axes."""
    intrinsics: NDArray[np.float64]
    """(N, 3, 3), pixels of the photographs as they lie on disk."""
    sizes: NDArray[np.int64] | None = None
    """(N, 2), height and width of the images they are of, where the file says so."""
    notes: tuple[str, ...] = ()
    """Notes to the user on them, one line each."""

    def part(self, start: int, stop: int) -> Poses:
        """Return the cameras of views `start` to `stop`."""
        sizes = None if self.sizes is None else self.sizes[start:stop]
        return Poses(self.extrinsics[start:stop], self.intrinsics[start:stop], sizes, self.notes)


def read_poses(path: Path | str, images: Sequence[Path | str] = ()) -> Poses:
    """The poses of a file; scenes of a batch may be an axis of their own or follow each other.

    Args:
        path: `.npz`, `.json`, a TUM or KITTI file, the folder of a COLMAP model or its `images.txt`.
        images: the photographs they are of, by whose names text files that hold more are searched.

    Raises:
        InputError: no such file, another kind of file, something missing, or invalid poses.
    """
    path = user_path(path)
    found = _read(path, [Path(image) for image in images])
    try:
        check_poses(found.extrinsics, found.intrinsics)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    poses, cameras = found.extrinsics, found.intrinsics
    return found._replace(
        extrinsics=as_homogeneous(poses.reshape(-1, *poses.shape[-2:])), intrinsics=cameras.reshape(-1, 3, 3)
    )


def _read(path: Path, images: Sequence[Path]) -> Poses:
    if path.is_dir() or path.name == IMAGES:
        model = read_colmap(path if path.is_dir() else path.parent, images)
        return Poses(model.extrinsics, model.intrinsics, model.sizes, model.notes)
    if path.is_file() and _is_text(path):
        return Poses(*read_trajectory(path, images))
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
    return Poses(extrinsics, intrinsics)


def _is_text(path: Path) -> bool:
    """Return whether it is neither JSON nor one of numpy's files, by name or by its first bytes."""
    if path.suffix in (".json", ".npz", ".npy"):
        return False
    with path.open("rb") as stream:
        return not stream.read(6).startswith((b"PK\x03\x04", _NPY))


def _numbers(value: object) -> NDArray[np.float64]:
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
        InputError: another number of poses than photographs, or cameras of images of another size.
    """
    if len(poses.extrinsics) != len(photographs.cameras):
        raise InputError(
            f"{len(poses.extrinsics)} poses for {len(photographs.cameras)} images: give one pose for each, in their order"
        )
    sizes = np.array([camera.rgb.shape[:2] for camera in photographs.cameras])
    if poses.sizes is not None and (poses.sizes != sizes).any():
        view = int(np.flatnonzero((poses.sizes != sizes).any(-1))[0])
        (height, width), (own_height, own_width) = poses.sizes[view], sizes[view]
        raise InputError(
            f"the camera of view {view} is for images of {width}x{height}, the photograph has {own_width}x{own_height}: "
            "give the photographs that the cameras were estimated from"
        )
    check_size(poses.intrinsics, sizes)
    cameras: Sequence[Camera] = [
        replace(camera, extrinsics=extrinsics, intrinsics=intrinsics)
        for camera, extrinsics, intrinsics in zip(photographs.cameras, poses.extrinsics, poses.intrinsics, strict=True)
    ]
    notes = (*photographs.notes, *poses.notes, *doubts(poses.extrinsics, poses.intrinsics, sizes))
    return replace(photographs, cameras=tuple(cameras), calibrated=True, notes=notes)


def _is_single_array(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(len(_NPY)) == _NPY


def _content(path: Path) -> Mapping[str, object]:
    if not path.is_file():
        raise InputError(f"{path} is not a file: name an .npz or .json file of poses, or TUM, KITTI or COLMAP text")
    if _is_single_array(path):
        raise InputError(f"{path} holds a single array: save both with numpy.savez and {_ASK}")
    if path.suffix != ".json":
        try:
            return read_npz(path, largest_bytes=LARGEST_BYTES)
        except InputError as error:
            raise InputError(f"{error}: {_ASK}") from None
    try:
        content = read_json(path, LARGEST_BYTES)
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is not a readable .json file ({one_line(error)}): {_ASK}") from None
    if not isinstance(content, dict):
        raise InputError(f"{path} is not a JSON object: {_ASK}")
    return content
