"""Photographs in, `prediction.npz` and depth pictures out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from model import HEIGHT, MEAN, STD, UINT8, VIEWS, WIDTH
from numpy.typing import NDArray
from pixels import fit, normalise


def load(paths: list[str]) -> NDArray[Any]:
    """One scene: `image` (1, N, 3, H, W) float32, or (1, N, H, W, 3) uint8 where the graph normalises."""
    if len(paths) != VIEWS:
        raise SystemExit(f"{len(paths)} photographs for {VIEWS} views")
    rgb = np.stack([fit(_read(path), HEIGHT, WIDTH) for path in paths])[None]
    return rgb if UINT8 else normalise(rgb, MEAN, STD)


def _read(path: str) -> NDArray[Any]:
    found = cv2.imread(path)  # turned as EXIF says; blue first
    if found is None:
        raise SystemExit(f"{path} can't be read as a photograph")
    return np.ascontiguousarray(found[..., ::-1])


def save(outputs: dict[str, Any], paths: list[str]) -> None:
    """`prediction.npz` with everything, and one depth picture a view: near is bright."""
    np.savez("prediction.npz", **outputs)
    for path, depth in zip(paths, outputs["depth"][0], strict=True):
        near = 1 / np.asarray(depth, np.float64)
        near = (near - near.min()) / max(float(np.ptp(near)), 1e-12)
        cv2.imwrite(f"{Path(path).stem}-depth.png", (near * 255).round().astype(np.uint8))
