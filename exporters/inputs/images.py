"""Reading a photograph from a file a user named: 8-bit RGB as upstream reads it, or one line why not."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from depthport.exporters.core.errors import InputError
from depthport.exporters.core.files.paths import user_path

# Sample types that Pillow's conversion to RGB would clip at 255, without a word.
_WIDE_MODES = ("I", "F")


def read_image(path: Path | str, *, oriented: bool = False) -> NDArray[np.uint8]:
    """The image as (H, W, 3) uint8 RGB, as upstream's `Image.open(path).convert("RGB")` gives it.

    That means: transparency is dropped, of several frames the first counts, and an EXIF orientation is applied only where
    `oriented` asks for it (upstream leaves photographs of a turned camera on their side).
    Sixteen-bit and floating-point samples are refused, because that conversion clips them to white.

    Raises:
        InputError: no such file, no image, damaged, more than 8 bits a sample, or beyond Pillow's size limit.
    """
    path = user_path(path)
    if not path.is_file():
        raise InputError(f"{path} is no file: name an image")
    try:
        with warnings.catch_warnings():
            # Pillow warns from 89 megapixels on and refuses from 179: large photographs are fine here.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                if image.mode.startswith(_WIDE_MODES):
                    raise InputError(f"{path} has more than 8 bits a sample (mode {image.mode}): convert it to 8-bit RGB")
                upright = ImageOps.exif_transpose(image) if oriented else image
                return np.asarray(upright.convert("RGB"), np.uint8)
    except UnidentifiedImageError:
        if _is_tiff(path):
            raise InputError(
                f"{path} is a TIFF whose samples are not 8-bit (floating point?): convert it to 8-bit RGB"
            ) from None
        raise InputError(f"{path} is no image: name a PNG, JPEG, WebP or TIFF file") from None
    except Image.DecompressionBombError:
        raise InputError(f"{path} has too many pixels: scale it down below 178 megapixels") from None
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise InputError(f"{path} is a damaged image ({_first_line(error)}): save it again") from None


def is_turned(path: Path | str) -> bool:
    """Whether an image has an EXIF orientation other than upright: viewers turn it, :func:`read_image` does not.

    Raises:
        InputError: no image, or damaged.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(user_path(path)) as image:
                return image.getexif().get(ExifTags.Base.Orientation, 1) not in (0, 1)
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        raise InputError(f"{path} is not an image that can be read ({_first_line(error)}): save it again") from None


def _is_tiff(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(4) in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
