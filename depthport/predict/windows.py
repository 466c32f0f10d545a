"""A long video or sequence through one artifact of N views: windows that overlap, chained into one frame.

Each window is a scene of its own to the network. Its first frames are the last of the window before; the similarity that
carries one prediction of them onto the other (:mod:`depthport.exporters.inputs.chaining`) brings the whole window into the
frame and scale of the first. Only the overlap of the last window is kept, so memory does not grow with the sequence; nor is
an error of the chain ever corrected: there is no loop closure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from depthport.exporters.core.errors import InputError, UsageError
from depthport.exporters.inputs.chaining import Fit, after, align_overlap
from depthport.exporters.inputs.poses import as_homogeneous, invert
from depthport.exporters.inputs.similarity import Similarity
from depthport.predict.cloud import unproject
from depthport.predict.prediction import Prediction

F = TypeVar("F")


@dataclass(frozen=True)
class Frame:
    """One frame of a sequence, in the frame and the scale of its first window."""

    index: int
    """Index from 0."""
    name: str
    depth: np.ndarray
    """(H, W) float32."""
    conf: np.ndarray
    """(H, W) float32."""
    extrinsics: np.ndarray
    """(3, 4) float64, world to camera, OpenCV."""
    intrinsics: np.ndarray
    """(3, 3) float32, pixels of H×W."""
    window: int
    """Window that predicted it."""
    fit: Fit | None
    """Similarity that carried that window onto the one before; None: it is the first."""


def windows(frames: Iterable[F], views: int, overlap: int) -> Iterator[tuple[int, list[F]]]:
    """Windows of `views` frames, each beginning with the last `overlap` of the one before: (index of its first, frames).

    The last one is moved back so that it is full, and overlaps more.

    Raises:
        UsageError: an overlap that leaves no new frame in a window, or none at all.
        InputError: fewer frames than a window.
    """
    if not 1 <= overlap < views:
        raise UsageError(f"windows of {views} frames overlap by 1 to {views - 1} frames, not by {overlap}")
    held: list[F] = []
    first = fresh = 0
    for frame in frames:
        held.append(frame)
        fresh += 1
        if len(held) > views:
            # What a moved last window needs is at most its own length.
            del held[0]
            first += 1
        if len(held) == views and fresh >= (views if first == 0 else views - overlap):
            yield first, list(held)
            fresh = 0
    if len(held) < views:
        raise InputError(f"{len(held)} frames for windows of {views}: give more frames, or an artifact of fewer views")
    if fresh:
        yield first, list(held)


class Chain:
    """Brings window after window into the first one's frame; holds one window's prediction at a time."""

    def __init__(self) -> None:
        self._to_first: Similarity | None = None
        self._last: tuple[int, Prediction] | None = None
        self._count = 0

    def add(self, first: int, found: Prediction) -> list[Frame]:
        """The frames that the window which begins with frame `first` is the first to predict.

        Raises:
            InputError: it does not overlap the window before, or a model that predicts no cameras.
        """
        if found.extrinsics is None or found.intrinsics is None or found.conf is None:
            raise InputError("windows are chained by cameras and confidence, which this model does not predict")
        fit: Fit | None = None
        if self._last is None or self._to_first is None:
            self._to_first, new = Similarity(np.eye(3), np.zeros(3), 1.0), 0
        else:
            before, earlier = self._last
            shared = before + len(earlier.depth) - first
            if not 1 <= shared <= len(found.depth):
                raise InputError(f"window {self._count} begins with frame {first}, which the one before does not reach")
            assert earlier.conf is not None
            fit = align_overlap(
                _points(found, slice(0, shared)), _points(earlier, slice(len(earlier.depth) - shared, None)),
                found.conf[:shared], earlier.conf[-shared:],
            )  # fmt: skip
            self._to_first, new = after(self._to_first, fit.similarity), shared
        self._last = first, found
        window, self._count = self._count, self._count + 1
        return [self._frame(first + k, k, found, window, fit) for k in range(new, len(found.depth))]

    def _frame(self, index: int, k: int, found: Prediction, window: int, fit: Fit | None) -> Frame:
        assert self._to_first is not None
        assert found.conf is not None and found.extrinsics is not None and found.intrinsics is not None
        camera = self._to_first.move(invert(as_homogeneous(found.extrinsics[k : k + 1].astype(np.float64))))
        return Frame(
            index=index,
            name=found.names[k],
            depth=(found.depth[k] * np.float32(self._to_first.scale)).astype(np.float32),
            conf=found.conf[k],
            extrinsics=invert(camera)[0, :3],
            intrinsics=found.intrinsics[k],
            window=window,
            fit=fit,
        )


def _points(found: Prediction, frames: slice) -> np.ndarray:
    """(n, H, W, 3), in the window's own frame."""
    assert found.extrinsics is not None and found.intrinsics is not None
    return unproject(found.depth[frames], found.intrinsics[frames], found.extrinsics[frames, :3])
