"""Windows of one sequence in one frame: the similarity that carries a window onto the one before, from what they share.

Neighbouring windows both predict the frames of their overlap, each in a frame and a scale of its own. The similarity that
carries the later one's points onto the earlier one's, pixel by pixel, carries everything of it (Deng et al., *VGGT-Long*,
arXiv:2507.16443, whose chaining upstream's `da3_streaming` follows; that is in its repository and not in its package, so
it was not compared with): weighted by both confidences, points of low confidence left out, and reweighted by Huber's
function until nothing changes, so that what moved or was predicted wrongly counts little. One thing is done otherwise: the
scale (:func:`weighted_similarity`). Pure numpy, fp64.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from depthport.exporters.core.errors import InputError
from depthport.exporters.inputs.similarity import Similarity

CONFIDENCE_SHARE = 0.75
"""Share of the median confidence below which points are left out."""
HUBER = 0.1
"""Point at which Huber's function turns linear, in the median distance of points from their centre."""
ITERATIONS = 20
_SETTLED = 1e-9
_FEWEST = 3


class Fit(NamedTuple):
    """A similarity, and how well the points agree with it."""

    similarity: Similarity
    error: float
    """Weighted root mean square distance after it, over the points' own spread; 0 is perfect."""
    points: int
    """Number of points that counted."""


def align_overlap(
    source: np.ndarray, target: np.ndarray, source_confidence: np.ndarray, target_confidence: np.ndarray
) -> Fit:
    """The similarity that carries points `source` onto `target`.

    Args:
        source, target: (..., 3): the same pixels of the same frames, in the later window's frame and in the earlier's.
        source_confidence, target_confidence: (...), of their depths.

    Raises:
        InputError: fewer than three points are known in both.
    """
    known = np.isfinite(source).all(-1) & np.isfinite(target).all(-1)
    for confidence in (source_confidence, target_confidence):
        known &= confidence >= CONFIDENCE_SHARE * np.median(confidence)
    if np.count_nonzero(known) < _FEWEST:
        raise InputError("the windows share fewer than three points that both are sure of: give a larger overlap")
    a, b = source[known].astype(np.float64), target[known].astype(np.float64)
    weights = np.sqrt(source_confidence[known].astype(np.float64) * target_confidence[known])
    spread = float(np.median(np.linalg.norm(b - np.median(b, 0), axis=-1))) or 1.0
    found = weighted_similarity(a, b, weights)
    before = np.inf
    for _ in range(ITERATIONS):
        distance = np.linalg.norm(found.apply(a) - b, axis=-1)
        near = distance <= HUBER * spread
        cost = float((weights * np.where(near, distance**2 / 2, HUBER * spread * (distance - HUBER * spread / 2))).sum())
        if abs(before - cost) <= _SETTLED * max(cost, 1e-300):
            break
        before = cost
        found = weighted_similarity(a, b, weights * np.where(near, 1.0, HUBER * spread / np.maximum(distance, 1e-300)))
    distance = np.linalg.norm(found.apply(a) - b, axis=-1)
    return Fit(found, float(np.sqrt((weights * distance**2).sum() / weights.sum())) / spread, len(a))


def weighted_similarity(source: np.ndarray, target: np.ndarray, weights: np.ndarray) -> Similarity:
    """The rotation of Umeyama's least squares with a weight a point, and Horn's symmetric scale (JOSA A 4(4), 1987, 2.E).

    Least squares takes the source for exact. Both sides are predictions here, and noise in the source makes its scale too
    small: by a per cent a window with 2 % of noise in depth, which a chain multiplies (tests compare). The ratio of the
    spreads does not favour a side. Arguments (K, 3), (K, 3), (K,).

    Raises:
        InputError: all source points that count are the same.
    """
    share = weights / weights.sum()
    source_mean, target_mean = share @ source, share @ target
    centred, aimed = source - source_mean, target - target_mean
    variance = float(share @ (centred**2).sum(-1))
    if not variance > 0:
        raise InputError("the points shared by the windows coincide, so the windows can't be aligned")
    u, _, vt = np.linalg.svd((aimed * share[:, None]).T @ centred)
    signs = np.array([1.0, 1.0, np.sign(np.linalg.det(u) * np.linalg.det(vt)) or 1.0])
    rotation = (u * signs) @ vt
    scale = float(np.sqrt(share @ (aimed**2).sum(-1) / variance))
    return Similarity(rotation, target_mean - scale * rotation @ source_mean, scale)


def after(outer: Similarity, inner: Similarity) -> Similarity:
    """X -> outer(inner(x))."""
    return Similarity(outer.rotation @ inner.rotation, outer.apply(inner.translation[None])[0], outer.scale * inner.scale)
