"""Photographs of users to 8-bit RGB as upstream reads them, from a file or from its bytes, or one line why not.

Pillow opens every file and says what is in it. The pixels of an ordinary JPEG come from OpenCV: both decode with
libjpeg-turbo, to the same bits (a test compares), but OpenCV holds no lock of Python's meanwhile, so that threads decode
side by side. Everything else Pillow decodes too.
"""

from __future__ import annotations

import io
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from depthport.exporters.core.errors import InputError
from depthport.exporters.core.files.paths import user_path

# Sample types that Pillow's conversion to RGB would clip at 255, without a word.
_WIDE_MODES = ("I", "F")
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_END, _SCAN = b"\xff\xd9", b"\xff\xda"
_UPRIGHT = (0, 1)
# Warnings are filtered for a whole process; threads that do so at once would undo each other's filters.
_opening = threading.Lock()


class Header(NamedTuple):
    """Header of a file, read without decoding it."""

    size: tuple[int, int]
    """Width and height as stored."""
    plain: bool
    """A whole JPEG of three colours, which every decoder of JPEG takes."""
    turned: bool
    """It has an EXIF orientation other than upright."""


def read_image(path: Path | str, *, oriented: bool = False) -> NDArray[np.uint8]:
    """The image as (H, W, 3) uint8 RGB, as upstream's `Image.open(path).convert("RGB")` gives it.

    That means: transparency is dropped, of several frames the first counts, and an EXIF orientation is applied only where
    `oriented` asks for it (upstream leaves photographs of a turned camera on their side).
    Sixteen-bit and floating-point samples are refused, because that conversion clips them to white.

    Raises:
        InputError: no such file, not an image, damaged, more than 8 bits a sample, or beyond Pillow's size limit.
    """
    return decode_image(read_file(path), str(user_path(path)), oriented=oriented)


def read_file(path: Path | str) -> bytes:
    """A photograph's file as it is.

    Raises:
        InputError: it is not a file, or can't be read.
    """
    path = user_path(path)
    if not path.is_file():
        raise InputError(f"{path} is not a file: name an image")
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} can't be read: {error.strerror or error}") from None


def decode_image(data: bytes, name: str, *, oriented: bool = False) -> NDArray[np.uint8]:
    """:func:`read_image` of a file's bytes; `name` is what messages call it. Threads may decode at once.

    Raises:
        InputError: as :func:`read_image`.
    """
    with _opened(data, name) as image:
        if image.mode.startswith(_WIDE_MODES):
            raise InputError(f"{name} has more than 8 bits a sample (mode {image.mode}): convert it to 8-bit RGB")
        if _is_plain(image, data) and (rgb := _by_opencv(data)) is not None:
            return turned_upright(rgb, _orientation(image)) if oriented else rgb
        upright = ImageOps.exif_transpose(image) if oriented else image
        return np.asarray(upright.convert("RGB"), np.uint8)


def read_header(data: bytes, name: str) -> Header:
    """Size and kind of a file's image; nothing is decoded.

    Raises:
        InputError: not an image, or beyond Pillow's size limit.
    """
    with _opened(data, name) as image:
        return Header(image.size, _is_plain(image, data), _orientation(image) not in _UPRIGHT)


def is_turned(path: Path | str) -> bool:
    """Return whether an image has an EXIF orientation other than upright: viewers turn it, :func:`read_image` does not.

    Raises:
        InputError: not an image, or damaged.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(user_path(path)) as image:
                return _orientation(image) not in _UPRIGHT
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        raise InputError(f"{path} is not a readable image ({_first_line(error)}): save it again") from None


def turned_upright(rgb: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Pixels (H, W, 3) as an EXIF orientation (1 to 8) wants them shown."""
    if orientation in (5, 6, 7, 8):
        rgb = rgb.transpose(1, 0, 2)
    if orientation in (3, 4, 7, 8):
        rgb = rgb[::-1]
    if orientation in (2, 3, 6, 7):
        rgb = rgb[:, ::-1]
    return np.ascontiguousarray(rgb)


@contextmanager
def _opened(data: bytes, name: str) -> Iterator[Image.Image]:
    """The image in `data`, not yet decoded; whatever Pillow finds wrong with it meanwhile in one line."""
    try:
        with _opening, warnings.catch_warnings():
            # Pillow warns from 89 megapixels on and refuses from 179: large photographs are fine here.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(data))
        with image:
            yield image
    except UnidentifiedImageError:
        if data[:4] in _TIFF:
            raise InputError(
                f"{name} is a TIFF whose samples are not 8-bit (floating point?): convert it to 8-bit RGB"
            ) from None
        raise InputError(f"{name} is not an image: name a PNG, JPEG, WebP or TIFF file") from None
    except Image.DecompressionBombError:
        raise InputError(f"{name} has too many pixels: scale it down below 178 megapixels") from None
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise InputError(f"{name} is a damaged image ({_first_line(error)}): save it again") from None


def _is_plain(image: Image.Image, data: bytes) -> bool:
    # OpenCV fills what is missing of a file with grey. In the data after a scan's marker no other marker occurs by chance.
    return image.format == "JPEG" and image.mode == "RGB" and data.rfind(_END) > data.rfind(_SCAN)


def _by_opencv(data: bytes) -> NDArray[np.uint8] | None:
    """The pixels of a JPEG as stored; None where OpenCV has nothing to say, or is not installed."""
    try:
        import cv2
    except ImportError:
        return None
    flags = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
    found = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    return None if found is None else np.asarray(found, np.uint8)


def _orientation(image: Image.Image) -> int:
    return int(image.getexif().get(ExifTags.Base.Orientation, 1))


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
