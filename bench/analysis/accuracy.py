"""Accuracy of depth maps and poses against ground truth, in the task's own terms. Pure numpy, fp64.

Depth Anything 3 gives depth up to one factor per scene, so depth is aligned before it is judged: by the ratio of the
medians (Zhou et al. 2017, arXiv:1704.07813) and by least squares in scale and shift (MiDaS, Ranftl et al. 2020,
arXiv:1907.01341, here on depth). AbsRel, RMSE and δ1 are those of Eigen et al. 2014 (arXiv:1406.2283). All views of a
scene share one alignment: a multi-view model that is inconsistent between views is to pay for it.

Poses are judged relative to view 0, which needs no alignment, and as a whole after the similarity that brings
the camera centres closest to the true ones (Umeyama 1991, PAMI 13(4)).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from depthport.bench.analysis.parity import DELTA1, angle_between_deg, field_of_view_deg, parts, rotation_angle_deg
from depthport.bench.inputs.inputs import Scene
from depthport.exporters.inputs.poses import as_homogeneous
from depthport.exporters.inputs.similarity import umeyama

Array = np.ndarray

# Camera centres closer together than this share of their greatest distance from view 0 count as one place.
_SAME_PLACE = 1e-6


@dataclass(frozen=True)
class DepthErrors:
    """Errors over the pixels with truth."""

    abs_rel: float
    """Mean of |depth - truth| / truth."""
    rmse: float
    """Root mean square of depth - truth, metres."""
    delta1: float
    """Share of pixels with max(depth / truth, truth / depth) < 1.25."""


def scene_accuracy(outputs: Mapping[str, Array], scene: Scene) -> dict[str, float]:
    """Every figure that `outputs` (by name, as a session gives them) and the scene's truth allow; empty where none.

    Depth needs true depth; poses and fields of view need a calibrated camera. A batch is judged scene by
    scene; depth figures are means over its pixels, pose and field-of-view figures the worst.
    """
    figures: dict[str, float] = {}
    if scene.depth is not None and "depth" in outputs:
        figures |= depth_accuracy(outputs["depth"], scene.depth)
    known = np.flatnonzero(scene.calibrated)
    if known.size and "extrinsics" in outputs:
        figures |= pose_accuracy(outputs["extrinsics"][known], scene.extrinsics[known])
    if known.size and "intrinsics" in outputs:
        size = scene.shape.height, scene.shape.width
        ours, truth = (field_of_view_deg(k[known], size) for k in (outputs["intrinsics"], scene.intrinsics))
        figures["fov_deg"] = float(np.abs(ours - truth).max())
    return figures


def depth_accuracy(depth: Array, truth: Array) -> dict[str, float]:
    """AbsRel, RMSE and δ1 of depth (B, N, H, W) against truth of the same shape, NaN or ≤ 0 where unknown.

    Returns:
        `abs_rel`, `rmse`, `delta1` after median scaling and the same with `_scale_shift` after least squares;
        empty where no pixel has truth or a prediction that counts is not finite.
    """
    median, affine = [], []
    for predicted, true in zip(depth, truth, strict=True):
        known = np.isfinite(true) & (true > 0)
        p, t = predicted[known].astype(np.float64), true[known].astype(np.float64)
        if not np.isfinite(p).all():
            return {}
        if p.size:
            median.append((median_scaled(p, t), t))
            affine.append((scale_shifted(p, t), t))
    if not median:
        return {}
    by_median, by_affine = (depth_errors(*map(np.concatenate, zip(*a, strict=True))) for a in (median, affine))
    return {**vars(by_median), **{f"{name}_scale_shift": value for name, value in vars(by_affine).items()}}


def depth_errors(depth: Array, truth: Array) -> DepthErrors:
    """Errors of aligned depth against truth, both (K,) and truth positive; depth ≤ 0 is wrong for δ1."""
    relative, squares, close = 0.0, 0.0, 0
    for d, t in parts(depth, truth):
        error = d - t
        relative += float((np.abs(error) / t).sum())
        squares += float(error @ error)
        close += int(((d > 0) & (d < DELTA1 * t) & (t < DELTA1 * d)).sum())
    return DepthErrors(abs_rel=relative / depth.size, rmse=math.sqrt(squares / depth.size), delta1=close / depth.size)


def median_scaled(depth: Array, truth: Array) -> Array:
    """`depth` times median(truth) / median(depth); unchanged where the median of depth is not positive."""
    middle = float(np.median(depth))
    return depth * (float(np.median(truth)) / middle) if middle > 0 else depth


def scale_shifted(depth: Array, truth: Array) -> Array:
    """S · depth + t with the s and t of least squares; truth's mean where depth is constant."""
    centred = depth - depth.mean()
    variance = float(centred @ centred)
    scale = float(centred @ (truth - truth.mean())) / variance if variance > 0 else 0.0
    found: Array = truth.mean() + scale * centred
    return found


def pose_accuracy(extrinsics: Array, truth: Array) -> dict[str, float]:
    """Poses (B, N, 3 or 4, 4), world to camera, against the truth; the worst over views and scenes.

    Returns:
        `rotation_deg`: angle between the rotations from view 0 to each other view.
        `translation_deg`: angle between the directions in which view 0 sees each other camera that truly moved.
        `centre_error`: RMS distance of the camera centres after the best similarity, divided by the true centres'
        own RMS distance from their mean (0 is perfect, 1 no better than a point); with three places or more.
        Figures that the number of views or the truth does not carry are left out.
    """
    ours, true = (as_homogeneous(poses.astype(np.float64)) for poses in (extrinsics, truth))
    per_scene = [_scene_pose(e, t) for e, t in zip(ours, true, strict=True)]
    names = dict.fromkeys(name for figures in per_scene for name in figures)
    return {name: max(figures[name] for figures in per_scene if name in figures) for name in names}


def relative_to_first(extrinsics: Array) -> Array:
    """World-to-camera (N, 4, 4) with view 0's camera as the world."""
    return extrinsics @ np.linalg.inv(extrinsics[0])


def camera_centres(extrinsics: Array) -> Array:
    """Positions (N, 3) in the world of cameras (N, 4, 4), world to camera."""
    return np.linalg.inv(extrinsics)[:, :3, 3]


def _scene_pose(extrinsics: Array, truth: Array) -> dict[str, float]:
    if len(extrinsics) < 2 or not np.isfinite(extrinsics).all() or np.linalg.det(extrinsics).min() <= 0:
        return {}
    ours, true = relative_to_first(extrinsics), relative_to_first(truth)
    figures = {"rotation_deg": float(rotation_angle_deg(ours[1:, :3, :3], true[1:, :3, :3]).max())}
    our_centres, true_centres = camera_centres(ours), camera_centres(true)
    reach = float(np.linalg.norm(true_centres, axis=1).max())
    moved = np.linalg.norm(true_centres, axis=1) > _SAME_PLACE * max(reach, 1e-12)
    if moved.any():
        figures["translation_deg"] = float(angle_between_deg(our_centres[moved], true_centres[moved]).max())
    if _places(true_centres) >= 3 and np.ptp(our_centres, 0).any():
        aligned = umeyama(source=our_centres, target=true_centres).apply(our_centres)
        spread = np.square(true_centres - true_centres.mean(0)).sum()
        figures["centre_error"] = float(np.sqrt(np.square(aligned - true_centres).sum() / spread))
    return figures


def _places(centres: Array) -> int:
    """Number of distinct camera positions."""
    distances = np.linalg.norm(centres[:, None] - centres[None], axis=-1)
    same = distances <= _SAME_PLACE * max(float(distances.max()), 1e-12)
    return len({tuple(row) for row in same.tolist()})
