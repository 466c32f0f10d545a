"""Photographs to calibrate with: a folder or a file of the user's, else the ones scikit-image's package carries.

They are resized to the network's input and normalised as upstream does (:mod:`exporters.signature`); the aspect ratio
is not kept, which changes no range.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from exporters.artifact import Shape
from exporters.errors import InputError, UnavailableError
from exporters.provenance import file_sha256
from exporters.signature import IMAGENET_MEAN, IMAGENET_STD

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
MAX_SCENES = 8
"""Scenes looked at, at most: ranges settle long before."""
_DEFAULT = ("motorcycle_left.png", "motorcycle_right.png", "astronaut.png", "coffee.png", "chelsea.png", "rocket.jpg")


def find_images(source: str | None) -> list[Path]:
    """The image files of a folder, or one file; the default photographs for None.

    Raises:
        InputError: no such folder or file, or no image in it.
        UnavailableError: scikit-image, which carries the default ones, is not installed.
    """
    if source is None:
        return _default_images()
    path = Path(source).expanduser()
    found = sorted(p for p in path.iterdir() if p.suffix.lower() in SUFFIXES) if path.is_dir() else [path]
    if not found or not found[0].is_file():
        raise InputError(f"option calibration: {source} holds no image ({', '.join(SUFFIXES)})")
    return found


def images_digest(source: str) -> str:
    """A hash of the images' contents, for the key of what is calibrated with them."""
    return hashlib.sha256("".join(file_sha256(path) for path in find_images(source)).encode()).hexdigest()


def scenes(paths: list[Path], shape: Shape) -> Iterator[NDArray[np.float32]]:
    """Inputs `image` (B, N, 3, H, W) fp32 that together hold every image once, as far as :data:`MAX_SCENES` go.

    Raises:
        InputError: a file is no image.
    """
    count = min(MAX_SCENES, -(-len(paths) // shape.images))
    # Filled up with the first ones again: a scene has B·N views.
    chosen = islice(cycle(paths), count * shape.images)
    for _ in range(count):
        views = [_load(path, shape) for path in islice(chosen, shape.images)]
        yield np.stack(views).reshape(shape.batch, shape.views, 3, shape.height, shape.width)


def _load(path: Path, shape: Shape) -> NDArray[np.float32]:
    from PIL import Image

    try:
        with Image.open(path) as image:
            pixels = image.convert("RGB").resize((shape.width, shape.height), Image.Resampling.BICUBIC)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise InputError(f"option calibration: {path.name} can't be read as an image ({error})") from error
    values = (np.asarray(pixels, np.float32) / 255.0 - np.array(IMAGENET_MEAN, np.float32)) / np.array(
        IMAGENET_STD, np.float32
    )
    return np.ascontiguousarray(values.transpose(2, 0, 1), np.float32)


def _default_images() -> list[Path]:
    from importlib.util import find_spec

    spec = find_spec("skimage")
    folder = Path(spec.origin).parent / "data" if spec is not None and spec.origin else None
    found = [folder / name for name in _DEFAULT if (folder / name).is_file()] if folder is not None else []
    if not found:
        raise UnavailableError(
            "int8 and fp8 are calibrated on photographs and scikit-image, which carries some, is not installed: "
            "give --option calibration=FOLDER, or pip install scikit-image"
        )
    return found
