"""Known poses on the host, before and after the network, as upstream's API treats them. Pure numpy.

A network with pose input takes camera poses of its views (`extrinsics`, world to camera, OpenCV axes) and their
`intrinsics`. Around it upstream does two things on the host, which a deployer has to do too (`depth_anything_3/api.py`):

* before, :func:`normalise_extrinsics`: poses relative to view 0, scaled by the median distance of the cameras from it;
* after, :func:`align_to_input`: the depth is brought to the scale of the poses that were given.

What lies between (inverse, quaternion, field of view, encoder) is in the network. Arithmetic here is fp64, so that poses
far from the origin (map coordinates) lose nothing; upstream's is fp32.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from depthport.exporters.core.errors import InputError
from depthport.exporters.inputs.cameras import check_extrinsics, check_poses, dims
from depthport.exporters.inputs.similarity import Similarity, umeyama

Array = NDArray[np.float64]

RANSAC_VIEWS = 10
"""Number of views from which upstream aligns robustly."""
_SMALLEST_SCALE = 0.1
_RANSAC_ITERATIONS = 10
_SEED = 42


class Aligned(NamedTuple):
    """Result of :func:`align_to_input`."""

    depth: NDArray[np.float32]
    extrinsics: NDArray[np.float32]
    """(N, 3, 4)."""
    intrinsics: NDArray[np.float32]
    scale: float
    """Scale by which the depth was divided."""


def normalise_extrinsics(extrinsics: np.ndarray) -> NDArray[np.float32]:
    """Poses as the network wants them: relative to view 0, scaled by the median distance of the cameras from it.

    Upstream's `api.py::_normalize_extrinsics`; the median of an even number of views is the lower of the two in the middle
    (as `torch.median` has it) and at least 0.1. Each scene by itself.

    Args:
        extrinsics: (..., N, 4, 4), world to camera, OpenCV; rotations are taken to be orthonormal, as upstream does.

    Raises:
        InputError: an invalid pose (:mod:`depthport.exporters.inputs.cameras`).
    """
    poses = np.asarray(extrinsics, np.float64)
    if poses.ndim < 3:
        raise InputError(f"extrinsics {dims(poses)} are not a list of poses: give (N, 4, 4)")
    check_extrinsics(poses)
    poses = as_homogeneous(poses)
    relative = poses @ invert(poses[..., :1, :, :])
    distances = np.sort(np.linalg.norm(invert(relative)[..., :3, 3], axis=-1), axis=-1)
    scale = np.maximum(distances[..., (distances.shape[-1] - 1) // 2], _SMALLEST_SCALE)
    relative[..., :3, 3] /= scale[..., None, None]
    return relative.astype(np.float32)


def align_to_input(
    depth: np.ndarray,
    predicted: np.ndarray,
    extrinsics: np.ndarray,
    intrinsics: np.ndarray,
    *,
    keep_input_scale: bool = True,
) -> Aligned:
    """Bring a scene's outputs to the poses that were given.

    Upstream's `api.py::_align_to_input_extrinsics_intrinsics` and `utils/pose_align.py`: the similarity that carries the
    given camera centres onto the predicted ones (Umeyama 1991; from ten views on over ten random halves of them, seed 42)
    tells the scale. The given intrinsics replace the predicted ones.

    Args:
        depth: (N, H, W).
        predicted: (N, 3, 4), the network's `extrinsics`.
        extrinsics: (N, 4, 4) as they were before :func:`normalise_extrinsics`.
        intrinsics: (N, 3, 3).
        keep_input_scale: divide the depth by the scale and return the given extrinsics (upstream's default); False: keep
            the depth and return the given extrinsics carried into the predicted frame.

    Raises:
        InputError: bad poses, or cameras from which no scale follows: fewer than three, or all on one line (upstream
            raises there too).
    """
    check_poses(extrinsics, intrinsics)
    given = invert(as_homogeneous(np.asarray(extrinsics, np.float64)))
    wanted = invert(as_homogeneous(np.asarray(predicted, np.float64)))
    fit = _robust(wanted, given) if len(given) >= RANSAC_VIEWS else _fit(wanted, given)
    kept = np.asarray(intrinsics, np.float32)
    if keep_input_scale:
        own = as_homogeneous(np.asarray(extrinsics, np.float64))[:, :3].astype(np.float32)
        return Aligned((np.asarray(depth) / fit.scale).astype(np.float32), own, kept, fit.scale)
    moved = invert(fit.move(given))[:, :3].astype(np.float32)
    return Aligned(np.asarray(depth, np.float32), moved, kept, fit.scale)


def _fit(target: Array, source: Array) -> Similarity:
    """The similarity that carries the centres of the cameras `source` (N, 4, 4) onto those of `target` (N, 4, 4).

    Raises:
        InputError: the centres lie on a line or a point, so that none is the best.
    """
    fit = umeyama(source=source[:, :3, 3], target=target[:, :3, 3]) if np.ptp(source[:, :3, 3], 0).any() else None
    # A rank of two is enough for a rotation; below, upstream's own library (evo) refuses too.
    if fit is None or fit.rank < 2:
        raise InputError("these poses do not fix a scale: give three views or more whose cameras are not on one line")
    return fit


def as_homogeneous(poses: Array) -> Array:
    """(..., 3, 4) or (..., 4, 4) as (..., 4, 4)."""
    if poses.shape[-2] == 4:
        return poses
    last = np.broadcast_to(np.array([0.0, 0.0, 0.0, 1.0]), (*poses.shape[:-2], 1, 4))
    return np.concatenate((poses, last), axis=-2)


def invert(poses: Array) -> Array:
    """Inverse of rigid poses (..., 4, 4): the rotation's transpose, as upstream's `affine_inverse` has it."""
    rotation = np.swapaxes(poses[..., :3, :3], -1, -2)
    inverse = poses.copy()
    inverse[..., :3, :3] = rotation
    inverse[..., :3, 3:] = -rotation @ poses[..., :3, 3:]
    found: Array = inverse
    return found


def _robust(target: Array, source: Array) -> Similarity:
    """Return the fit, of ten to random halves of the views, that most views agree with, refitted to those."""
    generator = np.random.default_rng(_SEED)
    count = len(source)
    best = _fit(target, source)
    centres = best.move(source)[:, :3, 3]
    nearest = np.linalg.norm(target[None, :, :3, 3] - centres[:, None], axis=-1).min(1)
    threshold = np.median(nearest)
    score, agreeing = (-1, np.inf), None
    for _ in range(_RANSAC_ITERATIONS):
        sample = generator.choice(np.arange(count), size=max(3, (count + 1) // 2), replace=False)
        try:
            fit = _fit(target[sample], source[sample])
        except InputError:
            continue
        errors = np.linalg.norm(fit.move(source)[:, :3, 3] - target[:, :3, 3], axis=-1)
        within = errors <= threshold
        found = int(within.sum()), float(errors[within].mean()) if within.any() else np.inf
        if found[0] > score[0] or (found[0] == score[0] and found[1] < score[1]):
            score, best, agreeing = found, fit, within
    if agreeing is not None and agreeing.sum() >= 3:
        return _fit(target[agreeing], source[agreeing])
    return best
