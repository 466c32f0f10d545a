"""The photographs of a prediction: files, folders, videos and arrays, as RGB pixels with a name each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from depthport.exporters.core import install
from depthport.exporters.core.errors import InputError, UnavailableError
from depthport.exporters.inputs.images import decode_image, read_image
from depthport.runtimes.host.threads import allowed_threads

if TYPE_CHECKING:
    import cv2
    from PIL.Image import Image

PICTURES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp"})
VIDEOS = frozenset({".mp4", ".mov", ".mkv", ".avi", ".webm", ".m4v"})
FRAMES = 8
"""Default number of frames of a video, at equal distances."""

MAX_DECODE_THREADS = 8
"""Most decoding threads: more are not needed to keep up, and take cores from the network."""

Source: TypeAlias = "Path | str | bytes | NDArray[np.uint8] | Image | Photograph"


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


Reader: TypeAlias = "Callable[[], list[Photograph]]"


def load_photographs(sources: Sequence[Source], *, oriented: bool = True, frames: int = FRAMES) -> list[Photograph]:
    """Every photograph of `sources`, in order, decoded side by side.

    Args:
        sources: files, the bytes of files, folders (their pictures by name), videos (frames at equal distances), Pillow
            images, or arrays (H, W, 3) uint8 RGB.
        oriented: turn photographs as their EXIF orientation says; False: as stored, which is what upstream does.
        frames: how many of each video.

    Raises:
        InputError: no source, a file that is not an image, a folder without pictures, a video without frames, an array of
            another shape or dtype.
        UnavailableError: a video, and OpenCV is not installed.
    """
    each = readers(sources, oriented=oriented, frames=frames)
    if len(each) == 1:
        return each[0]()
    with ThreadPoolExecutor(decode_threads()) as pool:
        return [one for found in pool.map(lambda read: read(), each) for one in found]


def readers(sources: Sequence[Source], *, oriented: bool = True, frames: int = FRAMES) -> list[Reader]:
    """Return readers of `sources`, in order; nothing is decoded yet. Arguments as of :func:`load_photographs`.

    Raises:
        InputError: no source, or a folder without pictures.
    """
    if isinstance(sources, str | Path | bytes):
        sources = [sources]  # one alone is a sequence too, of characters
    if not sources:
        raise InputError("no photographs: name files, a folder or a video")
    return [read for index, source in enumerate(sources) for read in _readers(source, index, oriented, frames)]


def decode_threads() -> int:
    """Default number of decoding threads."""
    return min(MAX_DECODE_THREADS, allowed_threads())


def _readers(source: Source, index: int, oriented: bool, frames: int) -> list[Reader]:
    if isinstance(source, bytes):
        return [partial(_decoded, source, f"view-{index}", oriented)]
    if isinstance(source, Photograph):
        return [lambda: [source]]
    if not isinstance(source, (str, Path)):
        return [lambda: [Photograph(f"view-{index}", _pixels(source, index))]]
    path = Path(source)
    if path.is_dir():
        return [partial(_read, file, oriented) for file in pictures(path)]
    return [partial(_frames, path, frames) if path.suffix.lower() in VIDEOS else partial(_read, path, oriented)]


def pictures(folder: Path) -> list[Path]:
    """The pictures in a folder, by name.

    Raises:
        InputError: it is empty.
    """
    files = sorted(file for file in folder.iterdir() if file.suffix.lower() in PICTURES and file.is_file())
    if not files:
        raise InputError(f"{folder} holds no pictures: name a folder with {', '.join(sorted(PICTURES))} files")
    return files


def _decoded(data: bytes, name: str, oriented: bool) -> list[Photograph]:
    return [Photograph(name, decode_image(data, name, oriented=oriented))]


def _read(path: Path, oriented: bool) -> list[Photograph]:
    return [Photograph(path.name, read_image(path, oriented=oriented))]


def frames_of(source: Path) -> Iterator[Source]:
    """The frames of a video, in order, decoded one after the other; the pictures of a folder, by name; or a picture.

    Raises:
        InputError: no pictures or frames.
        UnavailableError: a video, and OpenCV is not installed.
    """
    if source.is_dir():
        yield from pictures(source)
    elif source.suffix.lower() not in VIDEOS:
        yield source
    else:
        with _opened(source) as video:
            number = 0
            while (read := video.read())[0]:
                yield _frame(source, number, read[1])
                number += 1
        if not number:
            raise _no_frames(source)


def _pixels(source: object, index: int) -> NDArray[np.uint8]:
    pixels = np.asarray(source.convert("RGB") if hasattr(source, "convert") else source)
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[-1] != 3 or 0 in pixels.shape:
        shape = "x".join(map(str, pixels.shape))
        raise InputError(
            f"photograph {index} is {pixels.dtype} {shape}: give RGB pixels, uint8 of shape (height, width, 3)"
        )
    return pixels


def _frames(path: Path, count: int) -> list[Photograph]:
    import cv2

    with _opened(path) as video:
        total = int(video.get(cv2.CAP_PROP_FRAME_COUNT)) if video.isOpened() else 0
        wanted = sorted({int(at) for at in np.linspace(0, total - 1, min(count, total))}) if total > 0 else []
        found = []
        for number in wanted:
            video.set(cv2.CAP_PROP_POS_FRAMES, number)
            decoded, bgr = video.read()
            if decoded:
                found.append(_frame(path, number, bgr))
    if not found:
        raise _no_frames(path)
    return found


@contextmanager
def _opened(path: Path) -> Iterator[cv2.VideoCapture]:
    try:
        import cv2
    except ImportError:
        raise UnavailableError(f"{path.name} is a video, which needs OpenCV: {install.OPENCV}") from None
    if not path.is_file():
        raise InputError(f"{path} is not a file: name a picture, a folder or a video")
    video = cv2.VideoCapture(str(path))
    try:
        yield video
    finally:
        video.release()


def _frame(path: Path, number: int, bgr: np.ndarray) -> Photograph:
    return Photograph(f"{path.name}#{number}", np.ascontiguousarray(bgr[..., ::-1]))


def _no_frames(path: Path) -> InputError:
    return InputError(f"{path} has no decodable frames: name another video, or a folder of its frames")
