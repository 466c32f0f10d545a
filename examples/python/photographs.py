"""Photographs as the model takes them, with numpy and OpenCV."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from model import HEIGHT, MEAN, STD, UINT8, VIEWS, WIDTH
from numpy.typing import NDArray


def load(paths: list[str]) -> NDArray[np.generic]:
    """One scene: `image` (1, N, 3, H, W) float32, or (1, N, H, W, 3) uint8 where the graph normalises.

    Each photograph is scaled until it covers H×W, and its centre is kept.
    """
    if len(paths) != VIEWS:
        raise SystemExit(f"{len(paths)} photographs for {VIEWS} views")
    rgb = np.stack([_fit(path) for path in paths])[None]
    if UINT8:
        return rgb
    normalised = (rgb / np.float32(255) - np.float32(MEAN)) / np.float32(STD)
    return np.ascontiguousarray(normalised.transpose(0, 1, 4, 2, 3))


def _fit(path: str) -> NDArray[np.uint8]:
    found = cv2.imread(path)  # turned as EXIF says; blue first
    if found is None:
        raise SystemExit(f"{path} can't be read as a photograph")
    height, width = found.shape[:2]
    scale = max(HEIGHT / height, WIDTH / width)
    size = max(WIDTH, round(width * scale)), max(HEIGHT, round(height * scale))
    if size != (width, height):
        found = cv2.resize(found, size, interpolation=cv2.INTER_CUBIC if scale > 1 else cv2.INTER_AREA)
    top, left = (size[1] - HEIGHT) // 2, (size[0] - WIDTH) // 2
    return np.ascontiguousarray(found[top : top + HEIGHT, left : left + WIDTH, ::-1])


def save(outputs: dict[str, Any], paths: list[str]) -> None:
    """`prediction.npz` with everything, and one depth picture a view: near is bright."""
    np.savez("prediction.npz", **outputs)
    for path, depth in zip(paths, outputs["depth"][0], strict=True):
        near = 1 / np.asarray(depth, np.float64)
        near = (near - near.min()) / max(float(np.ptp(near)), 1e-12)
        cv2.imwrite(f"{Path(path).stem}-depth.png", (near * 255).round().astype(np.uint8))
