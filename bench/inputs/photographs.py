"""The photographs that benchmarks run on: real, free, and on every machine that has scikit-image's wheel.

*Motorcycle* is a calibrated stereo pair with its true disparity (Middlebury 2014, CC0; D. Scharstein et al.,
GCPR 2014). The calibration is that of :func:`skimage.data.stereo_motorcycle` for the shipped, four times
reduced images. Two statements there do not match the file and were checked by warping one image onto the
other: the disparity belongs to the left image (the pixel at column x is at x - d in the right one), and
pixels without truth are infinite, not NaN.

The others are single photographs of public domain or CC0. They have no calibration; where a pose is needed an
assumed one is given (:data:`ASSUMED_FOV_DEG`) and marked.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from depthport.exporters.core.files.npz import read_npz
from depthport.exporters.inputs.images import is_turned, read_image
from depthport.exporters.quantization.images import shipped_photograph

MOTORCYCLE_FOCAL_PX = 994.978
MOTORCYCLE_CENTRE_PX = (311.193, 254.877)
MOTORCYCLE_DISPARITY_OFFSET_PX = 31.086
"""Column of the right principal point less that of the left."""
MOTORCYCLE_BASELINE_M = 0.193001

OWN = "--images"
ASSUMED_FOV_DEG = 60.0
"""Field of view along the longer side that a photograph without calibration is given."""

SINGLE = {"astronaut": "astronaut.png", "coffee": "coffee.png", "chelsea": "chelsea.png", "rocket": "rocket.jpg"}
"""Single photographs by name (NASA; R. Michetti; S. van der Walt; SpaceX)."""


@dataclass(frozen=True)
class Camera:
    """One photograph and the camera that took it."""

    rgb: NDArray[np.uint8]
    """(H, W, 3)."""
    intrinsics: NDArray[np.float64]
    """(3, 3), pixels, origin at the image's corner."""
    extrinsics: NDArray[np.float64]
    """(4, 4), world to camera, OpenCV axes, metres."""
    depth: NDArray[np.float32] | None = None
    """(H, W), metres along the optical axis; NaN where the truth is unknown. None: no truth at all."""

    def mirrored(self) -> Camera:
        """Return the view of a camera in a mirror world (x negated): again a consistent photograph, depth and pose."""
        flip = np.diag([-1.0, 1.0, 1.0, 1.0])
        intrinsics = self.intrinsics.copy()
        intrinsics[0, 2] = self.rgb.shape[1] - intrinsics[0, 2]
        return replace(
            self,
            rgb=self.rgb[:, ::-1],
            intrinsics=intrinsics,
            extrinsics=flip @ self.extrinsics @ flip,
            depth=None if self.depth is None else self.depth[:, ::-1],
        )


@dataclass(frozen=True)
class Photographs:
    """The photographs of one scene."""

    name: str
    cameras: tuple[Camera, ...]
    calibrated: bool
    """False: intrinsics are assumed and every extrinsics is the identity."""
    notes: tuple[str, ...] = ()
    """Notes to the user on them, one line each."""

    def mirrored(self) -> Photographs:
        return replace(self, name=f"{self.name} mirrored", cameras=tuple(camera.mirrored() for camera in self.cameras))


def disparity_to_depth(disparity: NDArray[np.float32]) -> NDArray[np.float32]:
    """Middlebury's depth = baseline · focal / (disparity + offset), in metres; NaN where there is no disparity."""
    known = np.isfinite(disparity)
    depth = np.full(disparity.shape, np.nan, np.float32)
    shift = disparity[known] + MOTORCYCLE_DISPARITY_OFFSET_PX
    depth[known] = MOTORCYCLE_BASELINE_M * MOTORCYCLE_FOCAL_PX / shift
    return depth


@lru_cache(maxsize=1)
def motorcycle() -> Photographs:
    """The stereo pair: left camera (the world's origin, with depth), right camera (poses known, no depth).

    Raises:
        UnavailableError: scikit-image is not installed.
    """
    disparity = read_npz(shipped_photograph("motorcycle_disp.npz", OWN))["arr_0"]
    cx, cy = MOTORCYCLE_CENTRE_PX
    left = np.array([[MOTORCYCLE_FOCAL_PX, 0, cx], [0, MOTORCYCLE_FOCAL_PX, cy], [0, 0, 1]])
    right = left.copy()
    right[0, 2] += MOTORCYCLE_DISPARITY_OFFSET_PX
    to_right = np.eye(4)
    to_right[0, 3] = -MOTORCYCLE_BASELINE_M
    views = [read_image(shipped_photograph(f"motorcycle_{side}.png", OWN)) for side in ("left", "right")]
    cameras = Camera(views[0], left, np.eye(4), disparity_to_depth(disparity)), Camera(views[1], right, to_right)
    return Photographs("motorcycle", cameras, calibrated=True)


@lru_cache(maxsize=len(SINGLE))
def single(name: str) -> Photographs:
    """One of :data:`SINGLE`.

    Raises:
        UnavailableError: scikit-image is not installed.
    """
    return Photographs(name, (_assumed_camera(read_image(shipped_photograph(SINGLE[name], OWN))),), calibrated=False)


def from_files(paths: Sequence[Path | str]) -> Photographs:
    """A user's own views of one scene.

    Raises:
        InputError: a file is not an image.
    """
    cameras = tuple(_assumed_camera(read_image(path)) for path in paths)
    turned = [index for index, path in enumerate(paths) if is_turned(path)]
    return Photographs("images", cameras, calibrated=False, notes=_orientation_note(turned))


def _orientation_note(views: Sequence[int]) -> tuple[str, ...]:
    if not views:
        return ()
    which = f"view {views[0]}" if len(views) == 1 else f"views {', '.join(map(str, views[:10]))}"
    return (f"the EXIF orientation of {which} is not applied, as upstream does not: turn the pixels for upright depth",)


def _assumed_camera(rgb: NDArray[np.uint8]) -> Camera:
    height, width = rgb.shape[:2]
    focal = max(height, width) / 2 / math.tan(math.radians(ASSUMED_FOV_DEG) / 2)
    return Camera(rgb, np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1.0]]), np.eye(4))
