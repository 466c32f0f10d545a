"""A prediction, by upstream's names (`depth_anything_3/specs.py::Prediction`), and the way back to pixels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from depthport.exporters.core.artifact import Manifest
from depthport.exporters.da3.models import MODELS
from depthport.exporters.inputs.preprocess import Crop, Resize, Size, Steps
from depthport.predict.recipe import Prepared

_METRIC = frozenset({"metric", "nested"})
"""Families whose depth is in metres."""


@dataclass(frozen=True)
class Prediction:
    """Depth and cameras of one scene of N views, at the H×W that the network saw.

    Fields that upstream has keep its names, shapes and dtypes; those after :attr:`processed_images` are ours.
    """

    depth: NDArray[np.float32]
    """(N, H, W), in metres where :attr:`is_metric`, else in the scene's own unit."""
    is_metric: int
    sky: NDArray[np.float32] | None = None
    """(N, H, W), of models that have it."""
    conf: NDArray[np.float32] | None = None
    """(N, H, W), confidence of the depth; larger is better."""
    extrinsics: NDArray[np.float32] | None = None
    """(N, 3, 4), world to camera, OpenCV axes."""
    intrinsics: NDArray[np.float32] | None = None
    """(N, 3, 3), pixels of H×W."""
    processed_images: NDArray[np.uint8] | None = None
    """(N, H, W, 3) RGB; None where they were decoded on the device or not asked for."""
    names: tuple[str, ...] = ()
    sizes: tuple[Size, ...] = ()
    """Width and height of each photograph."""
    steps: tuple[Steps, ...] = ()
    """Preprocessing of each photograph."""
    seconds: float = 0.0
    """Time from decoded photographs to the arrays here."""
    synthetic: bool = False
    """True for random weights: depth and cameras are meaningless."""
    placement: dict[str, object] = field(default_factory=dict)
    """Placement, as the runtime proves it."""

    def depth_of_photograph(self, view: int) -> NDArray[np.float32]:
        """(H', W') of a photograph's own pixels; NaN where the network did not see it (cropped)."""
        return to_photograph(self.depth[view], self.steps[view], self.sizes[view])

    def intrinsics_of_photograph(self, view: int) -> NDArray[np.float64]:
        """(3, 3) in a photograph's own pixels."""
        if self.intrinsics is None:
            raise ValueError("this model predicts no cameras")
        return intrinsics_to_photograph(self.intrinsics[view], self.steps[view])


def from_outputs(
    outputs: Mapping[str, np.ndarray],
    prepared: Prepared,
    manifest: Manifest,
    seconds: float,
    place: Mapping[str, str | None],
) -> Prediction:
    """The prediction of one scene from what a session gave for it (B = 1) and what went in."""
    one = {name: array[0] for name, array in outputs.items()}
    model = MODELS.get(manifest.model)
    return Prediction(
        depth=one.get("metric_depth", one["depth"]),
        is_metric=int(model is not None and model.family in _METRIC),
        sky=one.get("sky"),
        conf=one.get("depth_conf"),
        extrinsics=one.get("extrinsics"),
        intrinsics=one.get("intrinsics"),
        processed_images=prepared.rgb,
        names=prepared.names,
        sizes=prepared.sizes,
        steps=prepared.steps,
        seconds=seconds,
        synthetic=manifest.weights.synthetic,
        placement={**place, "decoded": "cpu" if isinstance(prepared.image, np.ndarray) else "device"},
    )


def to_photograph(values: np.ndarray, steps: Steps, size: Size) -> NDArray[np.float32]:
    """A map (H, W) of a processed view in the pixels of its photograph: steps undone, last first; bilinear, NaN outside.

    Args:
        size: width and height of the photograph.
    """
    import cv2

    # OpenCV's own types are narrower than what it takes and gives.
    found: np.ndarray = np.asarray(values, np.float32)
    known: np.ndarray = np.ones(found.shape, np.uint8)
    before = [size, *((step.width, step.height) for step in steps[:-1])]
    for step, (width, height) in zip(reversed(steps), reversed(before[: len(steps)]), strict=True):
        if isinstance(step, Crop):
            edges = step.top, height - step.top - step.height, step.left, width - step.left - step.width
            found = cv2.copyMakeBorder(found, *edges, cv2.BORDER_REPLICATE)
            known = cv2.copyMakeBorder(known, *edges, cv2.BORDER_CONSTANT, value=0)
        else:
            found = cv2.resize(found, (width, height), interpolation=cv2.INTER_LINEAR)
            known = cv2.resize(known, (width, height), interpolation=cv2.INTER_NEAREST)
    return np.where(known > 0, found, np.float32(np.nan)).astype(np.float32)


def intrinsics_to_photograph(intrinsics: np.ndarray, steps: Steps) -> NDArray[np.float64]:
    """The inverse of :func:`depthport.exporters.inputs.preprocess.apply_to_intrinsics`."""
    matrix = np.array(intrinsics, np.float64)
    for step in reversed(steps):
        if isinstance(step, Resize):
            matrix[0] *= step.source[0] / step.width
            matrix[1] *= step.source[1] / step.height
        else:
            matrix[0, 2] += step.left
            matrix[1, 2] += step.top
    return matrix
