"""The photographs of a prediction: files, folders, videos and arrays, as RGB pixels with a name each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from depthport.exporters.core import install
from depthport.exporters.core.errors import InputError, UnavailableError
from depthport.exporters.inputs.images import read_image

if TYPE_CHECKING:
    from PIL.Image import Image

PICTURES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp"})
VIDEOS = frozenset({".mp4", ".mov", ".mkv", ".avi", ".webm", ".m4v"})
FRAMES = 8
"""Taken of a video at equal distances, if nobody says how many."""

Source: TypeAlias = "Path | str | NDArray[np.uint8] | Image"


@dataclass(frozen=True)
class Photograph:
    """One view."""

    name: str
    """The file's name, without its folder; `view-3` for an array; `walk.mp4#120` for frame 120 of a video."""
    rgb: NDArray[np.uint8]
    """(H, W, 3)."""

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        return self.rgb.shape[1], self.rgb.shape[0]


def load_photographs(sources: Sequence[Source], *, oriented: bool = True, frames: int = FRAMES) -> list[Photograph]:
    """Every photograph of `sources`, in order.

    Args:
        sources: files, folders (their pictures by name), videos (frames at equal distances), Pillow images, or arrays
            (H, W, 3) uint8 RGB.
        oriented: turn photographs as their EXIF orientation says; False: as stored, which is what upstream does.
        frames: how many of each video.

    Raises:
        InputError: no source, a file that is no image, a folder without pictures, a video without frames, an array of
            another shape or dtype.
        UnavailableError: a video, and OpenCV is not installed.
    """
    if not sources:
        raise InputError("no photographs: name files, a folder or a video")
    return [one for index, source in enumerate(sources) for one in _of(source, index, oriented, frames)]


def _of(source: Source, index: int, oriented: bool, frames: int) -> list[Photograph]:
    if not isinstance(source, (str, Path)):
        return [Photograph(f"view-{index}", _pixels(source, index))]
    path = Path(source)
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.suffix.lower() in PICTURES and file.is_file())
        if not files:
            raise InputError(f"{path} holds no pictures: name a folder with {', '.join(sorted(PICTURES))} files")
        return [Photograph(file.name, read_image(file, oriented=oriented)) for file in files]
    if path.suffix.lower() in VIDEOS:
        return _frames(path, frames)
    return [Photograph(path.name, read_image(path, oriented=oriented))]


def _pixels(source: object, index: int) -> NDArray[np.uint8]:
    pixels = np.asarray(source.convert("RGB") if hasattr(source, "convert") else source)
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[-1] != 3 or 0 in pixels.shape:
        shape = "x".join(map(str, pixels.shape))
        raise InputError(
            f"photograph {index} is {pixels.dtype} {shape}: give RGB pixels, uint8 of shape (height, width, 3)"
        )
    return pixels


def _frames(path: Path, count: int) -> list[Photograph]:
    try:
        import cv2
    except ImportError:
        raise UnavailableError(f"{path.name} is a video, which OpenCV reads: {install.OPENCV}") from None
    if not path.is_file():
        raise InputError(f"{path} is not a file: name a picture, a folder or a video")
    video = cv2.VideoCapture(str(path))
    try:
        total = int(video.get(cv2.CAP_PROP_FRAME_COUNT)) if video.isOpened() else 0
        wanted = sorted({int(at) for at in np.linspace(0, total - 1, min(count, total))}) if total > 0 else []
        found = []
        for number in wanted:
            video.set(cv2.CAP_PROP_POS_FRAMES, number)
            decoded, bgr = video.read()
            if decoded:
                found.append(
                    Photograph(f"{path.name}#{number}", np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8))
                )
    finally:
        video.release()
    if not found:
        raise InputError(f"{path} has no frames that can be decoded: name another video, or a folder of its frames")
    return found
