"""OpenCV's image resizes as weighted sums, so that a graph of standard operators can do what upstream does on the host.

`cv2.resize` of 8-bit pixels with `INTER_AREA` and `INTER_CUBIC`, with which upstream shrinks and enlarges, is a weighted
sum of a few pixels along each axis, horizontally, then vertically, in fp32, and one rounding to 8 bits at the end. The
order of each sum is OpenCV's (`modules/imgproc/src/resize.cpp`), so shrinking gives the same bits. Cubic weights are
OpenCV's own, read off its resize of an identity; on x86 the library behind it (IPP) sums with fused multiply-adds, so of
a million enlarged pixels a few come out one step off.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from depthport.exporters.core import install
from depthport.exporters.core.errors import UnavailableError

_SLIVER = 1e-3
"""Part of a source pixel that `INTER_AREA` leaves out."""
_CUBIC_TAPS = 4


class Taps(NamedTuple):
    """Taps that each of n samples adds up along one axis; a sample with fewer taps has weights of 0 at its end."""

    source: NDArray[np.int64]
    """(n, K): indices."""
    weight: NDArray[np.float32]
    """(n, K)."""


class Resampling(NamedTuple):
    """One resize: the sums, times `factor`, rounded."""

    down: Taps
    across: Taps
    factor: float = 1.0
    in_pairs: bool = False
    """Add (0 + 1) + (2 + 3) instead of one after the other."""
    half_up: bool = False
    """Round the middle up, not to even."""


def resampling(source: tuple[int, int], target: tuple[int, int], *, cubic: bool) -> Resampling:
    """The resize of (height, width) `source` to `target`, cubic or by area.

    Raises:
        UnavailableError: OpenCV is not installed, which alone knows its cubic weights.
    """
    if cubic:
        down, across = (cubic_taps(*sides) for sides in zip(source, target, strict=True))
        return Resampling(down, across, in_pairs=True)
    ratios = [a // b if a % b == 0 else 0 for a, b in zip(source, target, strict=True)]
    if all(ratios):
        # Whole blocks: OpenCV adds integers and multiplies once; of 2x2 pixels it rounds the middle up.
        down, across = (block_taps(size, ratio) for size, ratio in zip(target, ratios, strict=True))
        return Resampling(down, across, 1.0 / (ratios[0] * ratios[1]), half_up=ratios == [2, 2])
    down, across = (area_taps(*sides) for sides in zip(source, target, strict=True))
    return Resampling(down, across)


def block_taps(target: int, ratio: int) -> Taps:
    """Sums of `ratio` neighbours."""
    index = np.arange(target * ratio).reshape(target, ratio)
    return Taps(index, np.ones(index.shape, np.float32))


def area_taps(source: int, target: int) -> Taps:
    """Averages of the source pixels that a target pixel covers, by how much of each (`computeResizeAreaTab`)."""
    scale = 1.0 / (target / source)
    rows: list[list[tuple[int, float]]] = []
    for index in range(target):
        begin, end = index * scale, index * scale + scale
        width = min(scale, source - begin)
        last = min(int(np.floor(end)), source - 1)
        first = min(int(np.ceil(begin)), last)
        taps = [(first - 1, (first - begin) / width)] if first - begin > _SLIVER else []
        taps += [(pixel, 1.0 / width) for pixel in range(first, last)]
        if end - last > _SLIVER:
            taps.append((last, min(end - last, 1.0, width) / width))
        rows.append(taps)
    count = max(map(len, rows))
    padded = [taps + [(taps[-1][0], 0.0)] * (count - len(taps)) for taps in rows]
    table = np.array(padded, np.float64)
    return Taps(table[..., 0].astype(np.int64), table[..., 1].astype(np.float32))


def cubic_taps(source: int, target: int) -> Taps:
    """Four neighbours of each target pixel's centre; what would lie beyond the border is the border's."""
    try:
        import cv2
    except ImportError as error:
        raise UnavailableError(f"OpenCV is not installed ({error}): {install.OPENCV}") from None

    identity = np.eye(source, dtype=np.float32)
    matrix = np.asarray(cv2.resize(identity, (source, target), interpolation=cv2.INTER_CUBIC), np.float32)
    centre = (np.arange(target) + 0.5) * (source / target) - 0.5
    count = min(_CUBIC_TAPS, source)
    first = np.clip(np.floor(centre).astype(np.int64) - 1, 0, source - count)
    index = first[:, None] + np.arange(count)
    return Taps(index, np.take_along_axis(matrix, index, axis=1))
