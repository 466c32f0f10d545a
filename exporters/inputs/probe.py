"""Input to check an artifact with: images with structure at every scale, the same on every machine, no file needed.

Noise would be a poor probe: it has no structure for attention to find, and its views are all alike to the
reference-view selection, whose choice then hangs on rounding.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from depthport.exporters.inputs.poses import normalise_extrinsics


def probe_pixels(batch: int, views: int, height: int, width: int) -> NDArray[np.uint8]:
    """(B, N, H, W, 3) pixel values: waves of several wavelengths, discs, a gradient; each view shifted and dimmed."""
    generator = np.random.default_rng(20240607)
    y, x = np.mgrid[0:height, 0:width].astype(np.float64) / max(height, width)
    frequency = generator.uniform(2.0, 40.0, (12, 2))
    phase, weight = generator.uniform(0.0, 2 * np.pi, (12, 3)), generator.uniform(0.2, 1.0, (12, 3))
    centre, radius = generator.uniform(0.0, 1.0, (9, 2)), generator.uniform(0.04, 0.2, 9)
    colour = generator.uniform(-1.0, 1.0, (9, 3))
    images = np.empty((batch * views, height, width, 3))
    for index in range(batch * views):
        dx, dy = 0.07 * index, 0.03 * index**1.5
        angle = 2 * np.pi * (frequency[:, 0, None, None] * (x + dx) + frequency[:, 1, None, None] * (y + dy))
        image = (np.sin(angle[..., None] + phase[:, None, None]) * weight[:, None, None]).sum(0) / 6
        for c, r, tint in zip(centre, radius, colour, strict=True):
            inside = (x + dx - c[0]) ** 2 + (y + dy - c[1]) ** 2 < r**2
            image[inside] = tint + 0.2 * image[inside]
        images[index] = (image + y[..., None] - 0.5) * (1.0 - 0.25 * index / max(1, batch * views))
    pixels = np.clip(127.5 + 80.0 * images, 0, 255).astype(np.uint8)
    return pixels.reshape(batch, views, height, width, 3)


def probe_image(
    batch: int, views: int, height: int, width: int, mean: tuple[float, ...], std: tuple[float, ...]
) -> NDArray[np.float32]:
    """(B, N, 3, H, W) float32: :func:`probe_pixels` normalised with the given statistics."""
    pixels = probe_pixels(batch, views, height, width).astype(np.float32) / 255.0
    normal = (pixels - np.array(mean, np.float32)) / np.array(std, np.float32)
    return np.ascontiguousarray(normal.transpose(0, 1, 4, 2, 3), dtype=np.float32)


def probe_poses(batch: int, views: int, height: int, width: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """`extrinsics` (B, N, 4, 4), normalised, and `intrinsics` (B, N, 3, 3) of cameras that move along an arc and turn."""
    steps = np.arange(views, dtype=np.float64)[None] + 0.25 * np.arange(batch)[:, None]
    turn, rise = 0.2 * steps, 0.05 * steps
    zero, one = np.zeros_like(turn), np.ones_like(turn)
    rows = [
        [np.cos(turn), np.sin(turn) * np.sin(rise), np.sin(turn) * np.cos(rise), 0.4 * steps],
        [zero, np.cos(rise), -np.sin(rise), 0.1 * steps],
        [-np.sin(turn), np.cos(turn) * np.sin(rise), np.cos(turn) * np.cos(rise), 0.05 * steps**2],
        [zero, zero, zero, one],
    ]
    extrinsics = np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)
    intrinsics = np.zeros((batch, views, 3, 3))
    intrinsics[..., 0, 0] = (0.9 + 0.05 * steps) * width
    intrinsics[..., 1, 1] = (0.9 + 0.05 * steps) * width
    intrinsics[..., 0, 2], intrinsics[..., 1, 2], intrinsics[..., 2, 2] = width / 2, height / 2, 1.0
    return normalise_extrinsics(extrinsics), intrinsics.astype(np.float32)
