"""The similarity between two sets of points: how a scene in one frame and scale lies in another. Pure numpy, fp64."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from depthport.exporters.core.errors import InputError

Array = NDArray[np.float64]


class Similarity(NamedTuple):
    """x -> scale · rotation x + translation."""

    rotation: Array
    """(3, 3)."""
    translation: Array
    """(3,)."""
    scale: float
    rank: int = 3
    """Directions that both sets of points span; below 2 the rotation is one of many that fit as well."""

    def apply(self, points: Array) -> Array:
        """Points (..., 3) in the other frame."""
        found: Array = self.scale * points @ self.rotation.T + self.translation
        return found

    def move(self, poses: Array) -> Array:
        """Camera-to-world poses (N, 4, 4) in the other frame."""
        moved = poses.copy()
        moved[:, :3, :3] = self.rotation @ poses[:, :3, :3]
        moved[:, :3, 3] = self.apply(poses[:, :3, 3])
        found: Array = moved
        return found


def umeyama(*, source: np.ndarray, target: np.ndarray) -> Similarity:
    """The similarity that carries points `source` (N, 3) onto `target` (N, 3) with the least squared error.

    Umeyama 1991 (PAMI 13(4)), equations 40-42: the rotation from the SVD of the covariance, without reflection. By name
    alone: turned round, the arguments give the inverse of another fit, which looks as plausible.

    Raises:
        InputError: all source points are the same.
    """
    source, target = source.astype(np.float64), target.astype(np.float64)
    source_mean, target_mean = source.mean(0), target.mean(0)
    centred = source - source_mean
    variance = float((centred**2).sum()) / len(source)
    if variance == 0:
        raise InputError("the source points coincide, so no similarity can be fitted")
    u, singular, vt = np.linalg.svd((target - target_mean).T @ centred / len(source))
    signs = np.array([1.0, 1.0, np.sign(np.linalg.det(u) * np.linalg.det(vt)) or 1.0])
    rotation = (u * signs) @ vt
    scale = float((singular * signs).sum()) / variance
    rank = int(np.count_nonzero(singular > np.finfo(np.float64).eps))
    return Similarity(rotation, target_mean - scale * rotation @ source_mean, scale, rank)
