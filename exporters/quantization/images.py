"""Photographs to calibrate on: the user's own, or free ones that come with scikit-image's wheel.

The shipped ones here are others than those that benchmarks and parity run on (`depthport.bench.inputs.photographs`), so a
model is never judged on what it was tuned to.
"""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from depthport.exporters.core import install
from depthport.exporters.core.artifact import Shape
from depthport.exporters.core.errors import InputError, UnavailableError, UsageError
from depthport.exporters.inputs.preprocess import IMAGENET_MEAN, IMAGENET_STD

SHIPPED = (
    "camera.png", "grass.png", "retina.jpg", "gravel.png", "coins.png", "brick.png", "ihc.png", "hubble_deep_field.jpg",
)  # fmt: skip
"""Photographs of public domain or CC0 (scikit-image's `data/README.txt`); grey ones are fed as grey RGB."""
SHIPPED_HELD_OUT = ("clock_motion.png", "moon.png", "cell.png", "page.png")
"""Photographs of the same wheel on which results of :data:`SHIPPED` are tried."""
OWN = "--option calibration=FOLDER"
"""Options that name the user's own photographs."""
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")

# Where the windows of further views lie, as shares of the photograph: overlapping, of different scale and place.
_WINDOWS = ((0.0, 0.0, 1.0), (0.1, 0.05, 0.8), (0.25, 0.2, 0.72), (0.0, 0.22, 0.76), (0.18, 0.0, 0.78))


def find_images(calibration: str | Sequence[str] | None) -> list[Path]:
    """The files that the option `calibration` names: a folder, one file, several, or None for the shipped ones.

    Raises:
        UsageError: the name does not exist, or the folder has no image.
        UnavailableError: none named and scikit-image is not installed.
    """
    if calibration is None:
        return [shipped_photograph(name, OWN) for name in SHIPPED]
    names = [calibration] if isinstance(calibration, str) else list(calibration)
    if not names or not all(names):
        raise UsageError("option calibration names nothing: give a folder or files of photographs")
    found: list[Path] = []
    for name in names:
        path = Path(name)
        if path.is_dir():
            found += sorted(p for p in path.iterdir() if p.suffix.lower() in SUFFIXES and p.is_file())
        elif path.is_file():
            found.append(path)
        else:
            raise UsageError(f"option calibration: {name} is neither a file nor a folder")
    if not found:
        raise UsageError(f"option calibration: no image in {', '.join(names)} (looked for {', '.join(SUFFIXES)})")
    return found


def split(calibration: str | Sequence[str] | None) -> tuple[list[Path], list[Path]]:
    """Files to calibrate on, and files to try the result on: every fourth of the user's, if there are so many.

    Raises:
        As :func:`find_images`.
    """
    paths = find_images(calibration)
    if calibration is None:
        return paths, [shipped_photograph(name, OWN) for name in SHIPPED_HELD_OUT]
    return [path for index, path in enumerate(paths) if index % 4 != 3], paths[3::4]


def held_out_scenes(
    calibrated: Sequence[Path], held_out: Sequence[Path], shape: Shape, count: int
) -> list[NDArray[np.float32]]:
    """Up to `count` scenes that calibration did not see: pictures held out, then other windows, mirrored, of all."""
    chosen = [(path, 0) for path in held_out]
    chosen += [(path, first) for first in (6, 8) for path in (*held_out, *calibrated)]
    return [scene(path, shape, first) for path, first in chosen[:count]]


def digest(paths: Sequence[Path]) -> str:
    """Hex sha256 of the files' contents in order: the calibration's part of an artifact's key."""
    total = hashlib.sha256()
    for path in paths:
        total.update(hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


def scene(path: Path, shape: Shape, first: int = 0) -> NDArray[np.float32]:
    """`image` (B, N, 3, H, W) of one photograph: view 0 is the whole of it, further views are windows in it.

    Args:
        path: of the photograph.
        shape: of the result.
        first: window that view 0 takes instead; from the sixth on they are mirrored, then not, and so on.

    Raises:
        InputError: the file is not an image.
    """
    try:
        with Image.open(path) as opened:
            photograph = opened.convert("RGB")
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise InputError(f"calibration image {path.name} can't be read ({error})") from error
    windows = range(first, first + shape.batch * shape.views)
    views = [_view(photograph, index, shape.height, shape.width) for index in windows]
    pixels = np.stack(views).astype(np.float32) / np.float32(255)
    normal = (pixels - np.array(IMAGENET_MEAN, np.float32)) / np.array(IMAGENET_STD, np.float32)
    arranged = np.moveaxis(normal, -1, 1).reshape(shape.batch, shape.views, 3, shape.height, shape.width)
    return np.ascontiguousarray(arranged)


def _view(photograph: Image.Image, index: int, height: int, width: int) -> NDArray[np.uint8]:
    """(H, W, 3): the `index`-th window, scaled with one factor until it covers H×W, its centre cut out."""
    left, top, share = _WINDOWS[index % len(_WINDOWS)]
    w, h = photograph.size
    box = (left * w, top * h, min(1.0, left + share) * w, min(1.0, top + share) * h)
    a, b, c, d = (round(edge) for edge in box)
    window = photograph.crop((a, b, c, d)) if share < 1 else photograph
    if (index // len(_WINDOWS)) % 2:
        window = ImageOps.mirror(window)
    return np.asarray(ImageOps.fit(window, (width, height), Image.Resampling.BICUBIC))


def shipped_photograph(file: str, own: str) -> Path:
    """Path of a photograph in scikit-image's wheel, found without importing the package.

    Raises:
        UnavailableError: it is not here; `own` says how to name one's own.
    """
    spec = importlib.util.find_spec("skimage")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        if (path := Path(folder) / "data" / file).is_file():
            return path
    raise UnavailableError(
        f"the photograph {file} comes with scikit-image, which is not installed: {install.SCIKIT_IMAGE}, or name your own "
        f"with {own}"
    )
