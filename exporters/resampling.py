"""OpenCV's image resizes as matrices, so that a graph of standard operators can do what upstream does on the host.

`cv2.resize` of 8-bit pixels with `INTER_AREA` and `INTER_CUBIC` (which upstream uses to shrink and to enlarge) is linear
along each axis before it rounds: rows of weights, horizontally, then vertically. The weights here are those of OpenCV 5
(`modules/imgproc/src/resize.cpp`: `computeResizeAreaTab`, `interpolateCubic`); OpenCV sums them in fp32 in an order of its
own, so a pixel whose sum lies on the border between two values may come out one step off. OpenCV 4 has cubic weights of
11 bits, which puts about one enlarged pixel in thirty one step off. Pure numpy.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float32]

_CUBIC = np.float32(-0.75)
_SLIVER = 1e-3
"""Part of a source pixel that `INTER_AREA` leaves out."""


class Resampling(NamedTuple):
    """One resize of (H', W') to (H, W): weights, then `round(sum · factor)`, or `floor(sum · factor + 0.5)`."""

    down: Matrix
    """(H, H')."""
    across: Matrix
    """(W, W')."""
    factor: float = 1.0
    half_up: bool = False


def resampling(source: tuple[int, int], target: tuple[int, int], *, cubic: bool) -> Resampling:
    """The resize of (height, width) `source` to `target`, cubic or by area."""
    if cubic:
        down, across = (cubic_matrix(*sides) for sides in zip(source, target, strict=True))
        return Resampling(down, across)
    ratios = [a // b if a % b == 0 else 0 for a, b in zip(source, target, strict=True)]
    if all(ratios):
        # Whole blocks: OpenCV adds integers and multiplies once; of 2x2 pixels it rounds the middle up.
        down, across = (
            np.repeat(np.eye(size, dtype=np.float32), ratio, axis=1)
            for size, ratio in zip(target, ratios, strict=True)
        )
        return Resampling(down, across, 1.0 / (ratios[0] * ratios[1]), half_up=ratios == [2, 2])
    down, across = (area_matrix(*sides) for sides in zip(source, target, strict=True))
    return Resampling(down, across)


def area_matrix(source: int, target: int) -> Matrix:
    """(target, source): each row averages the source pixels that its pixel covers, by how much it covers them."""
    scale = 1.0 / (target / source)
    matrix = np.zeros((target, source), np.float32)
    for row in range(target):
        begin, end = row * scale, row * scale + scale
        width = min(scale, source - begin)
        last = min(int(np.floor(end)), source - 1)
        first = min(int(np.ceil(begin)), last)
        if first - begin > _SLIVER:
            matrix[row, first - 1] = (first - begin) / width
        matrix[row, first:last] = 1.0 / width
        if end - last > _SLIVER:
            matrix[row, last] = min(end - last, 1.0, width) / width
    return matrix


def cubic_matrix(source: int, target: int) -> Matrix:
    """(target, source): four taps around each pixel's centre, those beyond the border taken from the border."""
    scale = 1.0 / (target / source)
    position = ((np.arange(target) + 0.5) * scale - 0.5).astype(np.float32)
    left = np.floor(position)
    t = position - left
    one, two, three, four, five, eight = map(np.float32, (1, 2, 3, 4, 5, 8))
    outer = ((_CUBIC * (t + one) - five * _CUBIC) * (t + one) + eight * _CUBIC) * (t + one) - four * _CUBIC
    inner = ((_CUBIC + two) * t - (_CUBIC + three)) * t * t + one
    after = ((_CUBIC + two) * (one - t) - (_CUBIC + three)) * (one - t) * (one - t) + one
    matrix = np.zeros((target, source), np.float32)
    rows = np.arange(target)
    for offset, tap in zip((-1, 0, 1, 2), (outer, inner, after, one - outer - inner - after), strict=True):
        np.add.at(matrix, (rows, np.clip(left.astype(int) + offset, 0, source - 1)), tap)
    return matrix
