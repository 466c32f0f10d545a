"""Host's additions to a Core ML package's outputs: dtypes, constants, and pose matrices in fp32. numpy only.

The manifest's `extra["interface"]` says what is left to do (:class:`depthport.exporters.coreml.network.Interface` writes
it).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from depthport.exporters.core.artifact import TensorSpec

Array = np.ndarray
POSE_ENCODING = "pose_enc"


def complete(raw: Mapping[str, Array], specs: Sequence[TensorSpec], size: tuple[int, int]) -> dict[str, Array]:
    """The artifact's outputs from the package's.

    Args:
        raw: what the package gave, by name.
        specs: outputs of the manifest.
        size: (H, W) of the input in pixels.
    """
    found = dict(raw)
    if POSE_ENCODING in raw:
        encoding = np.asarray(raw[POSE_ENCODING], np.float32)
        found["extrinsics"], found["intrinsics"] = extrinsics(encoding), intrinsics(encoding, size)
    return {spec.name: _as(found.get(spec.name), spec) for spec in specs}


def extrinsics(encoding: NDArray[np.float32]) -> NDArray[np.float32]:
    """World-to-camera (..., 3, 4) of pose encodings (..., 9): the inverse of their camera-to-world pose.

    The quaternion (xyzw) need not have unit length. Source: upstream's `model/utils/transform.py`.
    """
    position, quaternion = encoding[..., :3], encoding[..., 3:7]
    i, j, k, r = np.moveaxis(quaternion, -1, 0)
    s = np.float32(2.0) / np.sum(quaternion * quaternion, axis=-1)
    rows = [
        [1 - s * (j * j + k * k), s * (i * j + k * r), s * (i * k - j * r)],
        [s * (i * j - k * r), 1 - s * (i * i + k * k), s * (j * k + i * r)],
        [s * (i * k + j * r), s * (j * k - i * r), 1 - s * (i * i + j * j)],
    ]
    inverse = np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)
    translation = -np.sum(inverse * position[..., None, :], axis=-1, keepdims=True)
    found: NDArray[np.float32] = np.concatenate([inverse, translation], axis=-1).astype(np.float32)
    return found


def intrinsics(encoding: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """Pinhole matrices (..., 3, 3) in pixels, principal point in the middle, of pose encodings (..., 9)."""
    height, width = size
    half = np.array([height, width], np.float32) / np.float32(2.0)
    focal = half / np.maximum(np.tan(encoding[..., 7:] * np.float32(0.5)), np.float32(1e-6))
    matrix = np.zeros((*encoding.shape[:-1], 3, 3), np.float32)
    matrix[..., 0, 0], matrix[..., 1, 1] = focal[..., 1], focal[..., 0]
    matrix[..., 0, 2], matrix[..., 1, 2], matrix[..., 2, 2] = width / 2, height / 2, 1.0
    return matrix


def _as(array: Array | None, spec: TensorSpec) -> Array:
    """Bring an array to the manifest's dtype and shape; an output that no package computes is the constant 0."""
    shape = tuple(int(d) for d in spec.shape)
    if array is None:
        return np.zeros(shape, spec.dtype)
    return np.array(array, spec.dtype).reshape(shape)


def package_inputs(image: Array, images: Sequence[str]) -> dict[str, Array]:
    """The artifact's `image` as arrays by the package's input names.

    Args:
        image: (B, N, 3, H, W) float32, or (B, N, H, W, 3) uint8 for a package of image inputs.
        images: names of the image inputs, one a view; empty: the package takes one tensor.
    """
    if not images:
        return {"image": image}
    views = image.reshape(-1, *image.shape[2:])
    return {name: view.transpose(2, 0, 1)[None] for name, view in zip(images, views, strict=True)}
