"""The sky fill of the monocular models: sky has no depth, so it is put as far away as the scene goes.

Source: upstream's `model/da3.py::_process_mono_sky_estimation` and `utils/alignment.py`. Upstream takes the quantile of
100,000 pixels that it draws at random where there are more (a photograph of 504×504 has 254,016), so two runs of it
differ; here it is the quantile of all of them, which is what upstream's estimates.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

Array = np.ndarray

SAMPLED_ABOVE = 100_000
"""Upstream's quantiles are exact up to this many values."""


def sky_fill(outputs: Mapping[str, Array], *, threshold: float, quantile: float, fewest: int) -> dict[str, Array]:
    """Depth with the sky filled, scene by scene.

    Args:
        outputs: `depth` and `sky` (B, N, H, W), float32 or float64; others are handed on.
        threshold: pixels whose sky score reaches it are sky.
        quantile: of the depth of all that is not sky; the sky gets it.
        fewest: a scene with no more pixels of sky than this, or of anything else, stays as it is.
    """
    depth = outputs["depth"].copy()
    for scene, sky in zip(depth, outputs["sky"], strict=True):
        ground = sky < threshold
        known = np.count_nonzero(ground)
        if min(known, ground.size - known) > fewest:
            scene[~ground] = interpolated_quantile(scene[ground], quantile)
    return {**outputs, "depth": depth}


def interpolated_quantile(values: Array, share: float) -> np.floating:
    """The quantile by linear interpolation, as `torch.quantile` computes it, in the dtype of `values` (K,), K ≥ 1.

    Up to :data:`SAMPLED_ABOVE` values the position between two of them is rounded as torch rounds it, to the dtype of
    the values; beyond, where float32 runs out of digits for it, it is float64.
    """
    wide = values.dtype.type if values.size <= SAMPLED_ABOVE else np.float64
    position = wide(values.dtype.type(share)) * wide(values.size - 1)
    below = int(position)
    weight = values.dtype.type(position - wide(below))
    above = min(below + 1, values.size - 1)
    low, high = np.partition(values, (below, above))[[below, above]]
    # As torch's lerp: from the nearer end.
    near_high = high - (high - low) * (values.dtype.type(1) - weight)
    found: np.floating = low + weight * (high - low) if weight < 0.5 else near_high
    return found
