"""Doubts about cameras that are valid but look as if they followed another convention. Pure numpy.

The cameras of one scene mostly look at something: their optical axes come near a point in front of them. Where, as given,
the point lies behind all of them or there is none, but as camera-to-world poses or with OpenGL's axes all look at one,
these are likelier. Nothing is said where the axes are nearly parallel (a car that drives, a stereo pair), where the cameras
stand in one place, and where both readings look at something: inverted poses of a scene far from the origin often do.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_SPREAD = 0.02
"""Smallest eigenvalue of the mean projection across the axes from which on they meet somewhere: 15 degrees or so."""
_NEAR = 0.4
"""Distance at which the axes may pass the point, as a share of its distance, for the cameras to look at it."""
_ONE_PLACE = 0.05
"""Distance of the cameras from the point, as a share of that from the origin, up to which they stand in it."""
_BETTER = 3.0
"""Factor by which another reading's axes must miss less."""
_OFF_CENTRE = 0.1
_SAME_SHARE = 0.05


class _Meeting(NamedTuple):
    """Meeting point of optical axes."""

    in_front: NDArray[np.bool_]
    """(N,)"""
    miss: float
    """Median distance of the axes from the point over its median distance from the cameras."""


def doubts(extrinsics: np.ndarray, intrinsics: np.ndarray, sizes: np.ndarray) -> list[str]:
    """Return points that a person should check, one line each; empty where nothing speaks against the cameras.

    Args:
        extrinsics: (N, 4, 4), said to be world to camera with OpenCV axes.
        intrinsics: (N, 3, 3), said to be in pixels of the images.
        sizes: (N, 2), height and width of the images.
    """
    return [doubt for doubt in (_convention(np.asarray(extrinsics, np.float64)), _resolution(intrinsics, sizes)) if doubt]


def _convention(poses: Array) -> str | None:
    rotations, translations = poses[:, :3, :3], poses[:, :3, 3]
    centres = -np.einsum("nji,nj->ni", rotations, translations)
    said = _meet(centres, rotations[:, 2])
    if said is not None and said.in_front.any() and said.miss <= _NEAR:
        return None
    largest_miss = min(_NEAR, said.miss / _BETTER) if said is not None and said.in_front.any() else _NEAR
    readings = {
        "camera to world": (translations, rotations[:, :, 2]),
        "of OpenGL's axes (y up, z backward)": (centres, -rotations[:, 2]),
        "camera to world with OpenGL's axes (y up, z backward)": (translations, -rotations[:, :, 2]),
    }
    likelier = {name: found for name, (at, along) in readings.items() if (found := _meet(at, along))}
    likelier = {name: m for name, m in likelier.items() if m.in_front.all() and m.miss < largest_miss}
    if not likelier:
        return None
    name = min(likelier, key=lambda reading: likelier[reading].miss)
    said_as = "world to camera with OpenCV's axes"
    return f"the cameras look at no common point as {said_as}, but at one if they are {name}: check the poses' convention"


def _meet(centres: Array, axes: Array) -> _Meeting | None:
    """The point nearest to all axes, by least squares; None where there is none to speak of."""
    if len(centres) < 2:
        return None
    across = np.eye(3) - axes[:, :, None] * axes[:, None, :]
    if np.linalg.eigvalsh(across.mean(0))[0] < _SPREAD:
        return None
    point = np.linalg.solve(across.sum(0), np.einsum("nij,nj->i", across, centres))
    towards = point - centres
    distance = float(np.median(np.linalg.norm(towards, axis=-1)))
    if distance <= _ONE_PLACE * float(np.linalg.norm(centres, axis=-1).max()):
        return None
    miss = float(np.median(np.linalg.norm(np.einsum("nij,nj->ni", across, towards), axis=-1)))
    return _Meeting((towards * axes).sum(-1) > 0, miss / distance)


def _resolution(intrinsics: np.ndarray, sizes: np.ndarray) -> str | None:
    """Principal points all at one share of both edges, off the middle: a camera matrix of a larger or smaller image."""
    shares = np.asarray(intrinsics, np.float64)[:, [0, 1], [2, 2]] / np.asarray(sizes, np.float64)[:, ::-1]
    share = float(shares.mean())
    if np.ptp(shares) > _SAME_SHARE * share or abs(share - 0.5) <= _OFF_CENTRE:
        return None
    return (
        f"the principal points lie at {share:.0%} of the images' width and height: the intrinsics look like those of a "
        f"resolution {2 * share:.2g} times that of the photographs"
    )
