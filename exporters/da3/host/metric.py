"""The nested model's metric scale: the any-view network's scene, scaled to the metric network's depth.

Source: upstream's `NestedDepthAnything3Net` (`model/da3.py`) and `utils/alignment.py`. Where upstream draws 100,000
pixels at random for a quantile, here all of them count; the scale's sums are taken in fp64.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from depthport.exporters.core.errors import RunError
from depthport.exporters.da3.host.sky import interpolated_quantile

Array = np.ndarray

NEAREST_METRIC, NEAREST = 1e-2, 1e-3
"""Smaller depths, of the metric and the any-view network, do not count for the scale (`compute_alignment_mask`)."""


def metric_scale(
    outputs: Mapping[str, Array], *, threshold: float, quantile: float, fewest: int, focal: float, farthest: float
) -> dict[str, Array]:
    """Every scene in metres, its sky filled.

    Args:
        outputs: `depth`, `depth_conf`, `sky`, `metric_depth` (B, N, H, W) and `intrinsics` (B, N, 3, 3) in pixels;
            `extrinsics` (B, N, 3, 4) and `ray` (B, N, h, w, 6) where there are any.
        threshold: pixels whose sky score reaches it are sky.
        quantile: of the depth of all that is not sky; the sky gets it, if it is no more than `farthest`.
        fewest: a scene needs more pixels than this that are not sky.
        focal: pixels; the focal length for which the metric network gives metres.
        farthest: metres; of the sky.

    Returns:
        The outputs with `metric_depth` in metres of each view's own focal length; `depth` in metres; `depth_conf` 1 for
        sky; translations of `extrinsics` and origins of `ray` in metres.

    Raises:
        RunError: a scene is all sky.
    """
    found = {name: array.copy() for name, array in outputs.items()}
    mean_focal = (found["intrinsics"][..., 0, 0] + found["intrinsics"][..., 1, 1]) / 2
    found["metric_depth"] *= (mean_focal / found["intrinsics"].dtype.type(focal))[..., None, None]
    for index, sky in enumerate(found["sky"]):
        ground = sky < threshold
        if np.count_nonzero(ground) <= fewest:
            raise RunError(
                f"scene {index} is all sky ({np.count_nonzero(ground)} pixels are not), so it has no metric scale: "
                "give images that show something else, or use an any-view model"
            )
        depth, confidence = found["depth"][index], found["depth_conf"][index]
        scale = depth.dtype.type(scene_scale(depth, confidence, found["metric_depth"][index], ground))
        depth *= scale
        if "extrinsics" in found:
            found["extrinsics"][index, ..., 3] *= scale
        if "ray" in found:
            found["ray"][index, ..., 3:] *= scale
        far = min(interpolated_quantile(depth[ground], quantile), depth.dtype.type(farthest))
        depth[~ground] = far
        confidence[~ground] = 1.0
    return found


def scene_scale(depth: Array, confidence: Array, metric: Array, ground: Array) -> float:
    """The factor s that brings s · depth nearest to `metric` in the least-squares sense.

    What counts: pixels that are not sky, of at least median confidence, and not at the camera.

    Args:
        depth, confidence, metric, ground: (N, H, W); `ground` is boolean, true where it is not sky.
    """
    sure = confidence >= interpolated_quantile(confidence[ground], 0.5)
    counts = sure & ground & (metric > NEAREST_METRIC) & (depth > NEAREST)
    ours, theirs = depth[counts].astype(np.float64), metric[counts].astype(np.float64)
    return float(theirs @ ours / max(float(ours @ ours), 1e-12))
