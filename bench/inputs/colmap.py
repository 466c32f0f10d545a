"""A COLMAP model as text: `cameras.txt` and `images.txt` in one folder (https://colmap.github.io/format.html).

Poses there are world to camera with OpenCV axes and the origin at the image's corner, as here. Photographs are found by
their names, so that the model may hold more of them, in any order.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from depthport.bench.inputs.trajectories import numbers, read_text, rotations
from depthport.exporters.core.errors import InputError
from depthport.exporters.inputs.poses import as_homogeneous

Array = NDArray[np.float64]

IMAGES, CAMERAS = "images.txt", "cameras.txt"
_ONE_FOCAL = ("SIMPLE_PINHOLE", "SIMPLE_RADIAL", "RADIAL")
_TWO_FOCALS = ("PINHOLE", "OPENCV", "FULL_OPENCV")
_LONGEST_EDGE = 1e6
_STRAIGHT = 1e-9
"""Largest distortion that counts as none."""


class _Lens(NamedTuple):
    matrix: Array
    size: tuple[int, int]
    """(H, W)."""
    distorted: bool


class Model(NamedTuple):
    """Cameras of the photographs, from a COLMAP model."""

    extrinsics: Array
    """(N, 4, 4)."""
    intrinsics: Array
    """(N, 3, 3)."""
    sizes: NDArray[np.int64]
    """(N, 2), height and width that the cameras are of."""
    notes: tuple[str, ...]


def read_colmap(folder: Path, images: Sequence[Path]) -> Model:
    """The cameras of `images`, or of every image in the model's order where none are named.

    Raises:
        InputError: no text model, another camera model than a pinhole with or without distortion, or a photograph that
            the model does not have.
    """
    for name in (IMAGES, CAMERAS):
        if not (folder / name).is_file():
            binary = (folder / name).with_suffix(".bin").is_file()
            how = "convert it with colmap model_converter --output_type TXT" if binary else "name the folder of both files"
            raise InputError(f"{folder} has no {name}, which a COLMAP text model needs: {how}")
    lenses, views = _lenses(folder / CAMERAS), _views(folder / IMAGES)
    names = [_find(image, views, folder) for image in images] if images else list(views)
    if not names:
        raise InputError(f"{folder / IMAGES} holds no images: give a model that has some")
    cameras = [views[name][1] for name in names]
    unknown = next((camera for camera in cameras if camera not in lenses), None)
    if unknown is not None:
        raise InputError(f"{folder / CAMERAS} has no camera {unknown}, which {IMAGES} names: export the model again")
    used = [lenses[camera] for camera in cameras]
    poses = np.array([views[name][0] for name in names])
    turned = rotations(poses[:, [1, 2, 3, 0]], folder / IMAGES)
    note = "COLMAP's lens distortion is left out: undistort the photographs (colmap image_undistorter) for exact cameras"
    return Model(
        as_homogeneous(np.concatenate((turned, poses[:, 4:, None]), -1)),
        np.stack([lens.matrix for lens in used]),
        np.array([lens.size for lens in used]),
        (note,) if any(lens.distorted for lens in used) else (),
    )


def _lenses(path: Path) -> dict[str, _Lens]:
    lenses = {}
    for line in read_text(path).splitlines():
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        model, values = words[1] if len(words) > 1 else "", numbers(" ".join(words[2:]), path)
        focals = 1 if model in _ONE_FOCAL else 2
        if model not in (*_ONE_FOCAL, *_TWO_FOCALS):
            raise InputError(
                f"{path}: camera model {model[:40]!r} is not a pinhole model: undistort it (colmap image_undistorter)"
            )
        if len(values) < 4 + focals:
            raise InputError(f"{path}: camera {words[0][:40]} has {len(values)} numbers, too few for {model}")
        width, height, fx, *rest = values
        if not (1 <= width <= _LONGEST_EDGE and 1 <= height <= _LONGEST_EDGE):
            raise InputError(f"{path}: camera {words[0][:40]} has image size {width:g}x{height:g}: export the model again")
        fy, cx, cy, *distortion = rest if focals == 2 else (fx, *rest)
        matrix = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1.0]])
        lenses[words[0]] = _Lens(matrix, (int(height), int(width)), any(abs(k) > _STRAIGHT for k in distortion))
    return lenses


def _views(path: Path) -> dict[str, tuple[list[float], str]]:
    """Read by name the quaternion (w x y z) and translation, and the camera; each image has a second line, of points."""
    views: dict[str, tuple[list[float], str]] = {}
    points = False
    for line in read_text(path).splitlines():
        if line.startswith("#"):
            continue
        if points:
            points = False
            continue
        words = line.split(maxsplit=9)
        if not words:
            continue
        if len(words) < 10:
            raise InputError(f"{path} has an image of {len(words)} columns: COLMAP writes 10 and a line of points after it")
        views[words[9].strip()] = numbers(" ".join(words[1:8]), path), words[8]
        points = True
    return views


def _find(image: Path, views: dict[str, tuple[list[float], str]], folder: Path) -> str:
    """The model's name of a photograph: the longest path that both end in, and only one."""
    for depth in range(1, len(image.parts) + 1):
        ending = "/".join(image.parts[-depth:])
        found = [name for name in views if name == ending or name.endswith(f"/{ending}")]
        if len(found) == 1:
            return found[0]
        if not found:
            break
    raise InputError(f"{folder / IMAGES} has no image {image.name}, or several: give photographs of that model")
