"""Cameras around a scene, for tests of known poses."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from depthport.exporters.inputs.poses import normalise_extrinsics


def known_poses(
    batch: int, views: int, height: int, width: int, seed: int = 0
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """`extrinsics` (B, N, 4, 4), normalised, and `intrinsics` (B, N, 3, 3)."""
    return normalise_extrinsics(raw_poses(batch, views, seed)), cameras(batch, views, height, width, seed)


def raw_poses(batch: int, views: int, seed: int = 0) -> NDArray[np.float64]:
    """World-to-camera poses (B, N, 4, 4) with random rotations, metres apart, far from the origin."""
    rng = np.random.default_rng([seed, 1])
    poses = np.tile(np.eye(4), (batch, views, 1, 1))
    rotations = np.linalg.qr(rng.standard_normal((batch, views, 3, 3)))[0]
    poses[..., :3, :3] = rotations * np.sign(np.linalg.det(rotations))[..., None, None]
    centres = rng.standard_normal((batch, views, 3)) * 4 + 20
    poses[..., :3, 3] = -(poses[..., :3, :3] @ centres[..., None])[..., 0]
    return poses


def cameras(batch: int, views: int, height: int, width: int, seed: int = 0) -> NDArray[np.float32]:
    """Camera matrices (B, N, 3, 3) of fields of view between 40 and 80 degrees."""
    rng = np.random.default_rng([seed, 2])
    matrices = np.zeros((batch, views, 3, 3), np.float32)
    matrices[..., 0, 0], matrices[..., 1, 1] = rng.uniform(0.6, 1.4, (2, batch, views)) * max(height, width)
    matrices[..., 0, 2], matrices[..., 1, 2], matrices[..., 2, 2] = width / 2, height / 2, 1
    return matrices
