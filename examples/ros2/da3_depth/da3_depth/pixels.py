"""Pixels as the network takes them, as upstream scales them, with numpy and OpenCV."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

PATCH = 14


def fit(rgb: NDArray[Any], height: int, width: int) -> NDArray[Any]:
    """A picture (H, W, 3) uint8 of any size as `height`×`width`.

    As upstream where that is the size it would choose (longest side first, then each to a multiple of the patch); else
    scaled until it covers, and its centre kept.
    """
    rows, columns = rgb.shape[:2]
    scale = max(height, width) / max(rows, columns)
    near = [max(1, round(side * scale)) for side in (rows, columns)]
    if [(side + PATCH // 2) // PATCH * PATCH for side in near] == [height, width]:
        return _resize(_resize(rgb, *near), height, width)
    scale = max(height / rows, width / columns)
    covering = _resize(rgb, max(height, round(rows * scale)), max(width, round(columns * scale)))
    top, left = (covering.shape[0] - height) // 2, (covering.shape[1] - width) // 2
    return np.ascontiguousarray(covering[top : top + height, left : left + width])


def normalise(rgb: NDArray[Any], mean: tuple[float, ...], std: tuple[float, ...]) -> NDArray[Any]:
    """Pixels (..., H, W, 3) uint8 as float32 (..., 3, H, W)."""
    found = (rgb / np.float32(255) - np.asarray(mean, np.float32)) / np.asarray(std, np.float32)
    return np.ascontiguousarray(np.moveaxis(found, -1, -3))


def _resize(rgb: NDArray[Any], height: int, width: int) -> NDArray[Any]:
    if rgb.shape[:2] == (height, width):
        return rgb
    grows = height > rgb.shape[0] or width > rgb.shape[1]
    found: NDArray[Any] = cv2.resize(rgb, (width, height), interpolation=cv2.INTER_CUBIC if grows else cv2.INTER_AREA)
    return found
