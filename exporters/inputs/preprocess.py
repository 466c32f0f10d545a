"""From photographs to the network's `image`, exactly as upstream does it, without torch.

Upstream's `utils/io/input_processor.py` (default `upper_bound_resize`, `process_res` 504): convert to RGB, scale so
that the longest side is `process_res`, scale each side once more to the nearest multiple of the patch, centre-crop the
views of a scene to the smallest of them, divide by 255 and normalise with ImageNet's statistics. Each scaling uses
OpenCV's area interpolation downwards and cubic upwards. :func:`preprocess` gives the same bits; a test compares.

It lies here and not with the measuring, because who deploys an artifact needs it and nothing else of this package: numpy,
OpenCV, no framework. An artifact exported with `--preprocess` does the same inside its graph
(:mod:`depthport.exporters.da3.static.pixels`).

An artifact has one fixed H×W, which need not be what upstream would choose for a photograph.
:func:`exact_steps` then scales with one factor (no stretching) until the target is covered and crops the
centre.

The geometry is data: a tuple of :class:`Resize` and :class:`Crop` steps, computed once from sizes alone and
then applied to pixels, to intrinsics and to depth maps alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from depthport.exporters.core import install
from depthport.exporters.core.artifact import Shape
from depthport.exporters.core.asked import count_images
from depthport.exporters.core.errors import ArtifactError, InputError, UnavailableError, UsageError
from depthport.exporters.core.tensors import Step

PATCH = 14
PROCESS_RES = 504
MAX_COVER = 16

Size = tuple[int, int]
"""Width and height in pixels, in this order (as Pillow and OpenCV have it)."""


@dataclass(frozen=True)
class Resize:
    """Scale to `width`×`height` from `source`; `upscale` decides the interpolation (cubic, else area)."""

    source: Size
    width: int
    height: int
    upscale: bool


@dataclass(frozen=True)
class Crop:
    """Keep `width`×`height` pixels from column `left` and row `top` on."""

    left: int
    top: int
    width: int
    height: int


Steps = tuple[Resize | Crop, ...]


def upstream_steps(size: Size, process_res: int = PROCESS_RES) -> Steps:
    """Return the steps of upstream's `upper_bound_resize` for one image; none where its size is right already.

    Raises:
        InputError: the image is so thin that its short side would vanish (upstream then fails inside the
            network).
    """
    width, height = size
    steps: list[Resize | Crop] = []
    if max(size) != process_res:
        scale = process_res / float(max(size))
        width, height = (max(1, round(side * scale)) for side in size)
        steps.append(Resize(size, width, height, upscale=scale > 1.0))
    to_width, to_height = _nearest_multiple(width), _nearest_multiple(height)
    if not to_width or not to_height:
        raise InputError(
            f"an image of {size[0]}x{size[1]} is too thin: scaled to {process_res} pixels its short side is "
            f"less than half a patch of {PATCH}; crop it"
        )
    if (to_width, to_height) != (width, height):
        upscale = to_width > width or to_height > height
        steps.append(Resize((width, height), to_width, to_height, upscale))
    return tuple(steps)


def exact_steps(size: Size, height: int, width: int) -> Steps:
    """Return the steps that make an image of that size `height`×`width`.

    Upstream's own steps where they end there; else cover and crop: one factor for both sides, the smallest
    that leaves no empty pixel, then the centre. The aspect ratio stays.

    Raises:
        InputError: the image is so thin that, to cover, it would be `MAX_COVER` times as long as the target.
    """
    try:
        native = upstream_steps(size, max(height, width))
    except InputError:
        native = ()
    if final_size(size, native) == (width, height):
        return native
    scale = max(width / size[0], height / size[1])
    covered = max(width, round(size[0] * scale)), max(height, round(size[1] * scale))
    if max(covered) > MAX_COVER * max(width, height):
        raise InputError(f"an image of {size[0]}x{size[1]} is too thin to fill {width}x{height}; crop it")
    steps: list[Resize | Crop] = []
    if covered != size:
        steps.append(Resize(size, *covered, upscale=scale > 1.0))
    if covered != (width, height):
        steps.append(_centre_crop(covered, (width, height)))
    return tuple(steps)


def unifying_steps(sizes: Sequence[Size]) -> list[Steps]:
    """Return for each view of a scene the centre crop to the smallest width and the smallest height among them."""
    smallest = min(w for w, _ in sizes), min(h for _, h in sizes)
    return [() if size == smallest else (_centre_crop(size, smallest),) for size in sizes]


def scene_steps(sizes: Sequence[Size], process_res: int = PROCESS_RES) -> list[Steps]:
    """All of upstream's steps for the views of one scene."""
    each = [upstream_steps(size, process_res) for size in sizes]
    common = unifying_steps([final_size(size, steps) for size, steps in zip(sizes, each, strict=True)])
    return [steps + crop for steps, crop in zip(each, common, strict=True)]


_RGB_BYTES = 3


def validate_source(source_size: Size, shape: Shape, dynamic: Sequence[str]) -> None:
    """Check the size (H', W') of photographs that a graph is to resize to an artifact's own.

    Raises:
        UsageError: not a size, or the artifact's own is open.
        InputError: the photograph is too thin.
    """
    height, width = source_size
    if height < 1 or width < 1:
        raise UsageError(f"source size {height}x{width} must be at least 1x1: give HxW in pixels of the photographs")
    if "size" in dynamic:
        raise UsageError("a graph with open size can't resize: leave out the source size, or take size out of --dynamic")
    count_images(shape.images, height, width, _RGB_BYTES)
    exact_steps((width, height), shape.height, shape.width)


def steps_to_json(steps: Steps) -> list[Step]:
    """Steps as a manifest has them, in order."""
    return [
        {
            "resize": (step.height, step.width),
            "from": (step.source[1], step.source[0]),
            "interpolation": "cubic" if step.upscale else "area",
        }
        if isinstance(step, Resize)
        else {"crop": (step.height, step.width), "top": step.top, "left": step.left}
        for step in steps
    ]


def steps_from_json(steps: Iterable[Step]) -> Steps:
    """The inverse of :func:`steps_to_json`.

    Raises:
        ArtifactError: a step lacks something.
    """
    try:
        return tuple(map(_step, steps))
    except KeyError as error:
        raise ArtifactError(f"the manifest has a step of preprocessing without {error}: export it again") from None


def _step(step: Step) -> Resize | Crop:
    if "resize" in step:
        (height, width), source = step["resize"], step["from"]
        return Resize((source[1], source[0]), width, height, step["interpolation"] == "cubic")
    height, width = step["crop"]
    return Crop(step["left"], step["top"], width, height)


def final_size(size: Size, steps: Steps) -> Size:
    """The size after `steps`."""
    return (steps[-1].width, steps[-1].height) if steps else size


def apply_to_rgb(rgb: NDArray[np.uint8], steps: Steps) -> NDArray[np.uint8]:
    """Run the steps on an image (H, W, 3) uint8 (OpenCV's interpolation, as upstream)."""
    for step in steps:
        rgb = _resize(rgb, step) if isinstance(step, Resize) else _crop(rgb, step)
    return rgb


def apply_to_map(values: np.ndarray, steps: Steps) -> np.ndarray:
    """Run the steps on a map (H, W) of values that must not be mixed (depth).

    Each target takes its nearest source pixel.
    """
    height, width = values.shape
    columns, rows = np.arange(width, dtype=np.float64), np.arange(height, dtype=np.float64)
    # Where each target pixel's centre lies in the source: composed over all steps, so that it is rounded once.
    for step in steps:
        if isinstance(step, Resize):
            columns = _sample(columns, step.width, step.source[0])
            rows = _sample(rows, step.height, step.source[1])
        else:
            columns = columns[step.left : step.left + step.width]
            rows = rows[step.top : step.top + step.height]
    row_index = np.clip(np.floor(rows + 0.5).astype(int), 0, height - 1)
    column_index = np.clip(np.floor(columns + 0.5).astype(int), 0, width - 1)
    found: np.ndarray = values[np.ix_(row_index, column_index)]
    return found


def apply_to_intrinsics(intrinsics: np.ndarray, steps: Steps) -> np.ndarray:
    """Run the steps on a pinhole matrix (3, 3) in pixels; same dtype.

    Upstream's convention: a resize multiplies the first row by the width's ratio and the second by the height's (the
    origin is the image's corner, not the first pixel's centre); a crop moves the principal point.
    """
    matrix = np.array(intrinsics)
    for step in steps:
        if isinstance(step, Resize):
            matrix[0] *= step.width / float(step.source[0])
            matrix[1] *= step.height / float(step.source[1])
        else:
            matrix[0, 2] -= step.left
            matrix[1, 2] -= step.top
    return matrix


def normalise(rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(…, H, W, 3) uint8 to (…, 3, H, W) float32: divided by 255, less ImageNet's mean, divided by its deviation."""
    scaled = np.moveaxis(rgb, -1, -3).astype(np.float32) / np.float32(255)
    mean = np.asarray(IMAGENET_MEAN, np.float32)[:, None, None]
    std = np.asarray(IMAGENET_STD, np.float32)[:, None, None]
    return np.ascontiguousarray((scaled - mean) / std)


def preprocess(
    images: Sequence[NDArray[np.uint8]], intrinsics: Sequence[np.ndarray] | None = None, process_res: int = PROCESS_RES
) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
    """One scene as upstream's InputProcessor prepares it.

    Args:
        images: N photographs, each (H, W, 3) uint8 RGB, of any sizes.
        intrinsics: for each, its pinhole matrix (3, 3) in pixels of the photograph.
        process_res: length of the longest side, pixels.

    Returns:
        `image` (N, 3, H, W) float32, and the intrinsics (N, 3, 3) float32 of the processed views (None if none given).

    Raises:
        InputError: a photograph is too thin.
    """
    steps = scene_steps([(image.shape[1], image.shape[0]) for image in images], process_res)
    views = np.stack([apply_to_rgb(image, plan) for image, plan in zip(images, steps, strict=True)])
    if intrinsics is None:
        return normalise(views), None
    adjusted = [apply_to_intrinsics(k, plan) for k, plan in zip(intrinsics, steps, strict=True)]
    return normalise(views), np.stack(adjusted).astype(np.float32)


def _nearest_multiple(pixels: int) -> int:
    """The multiple of the patch nearest to `pixels`, the upper one of two equally near."""
    down = pixels // PATCH * PATCH
    return down + PATCH if down + PATCH - pixels <= pixels - down else down


def _centre_crop(size: Size, target: Size) -> Crop:
    return Crop((size[0] - target[0]) // 2, (size[1] - target[1]) // 2, *target)


def _resize(rgb: NDArray[np.uint8], step: Resize) -> NDArray[np.uint8]:
    try:
        import cv2
    except ImportError as error:
        raise UnavailableError(f"OpenCV is not installed ({error}): {install.OPENCV}") from None

    interpolation = cv2.INTER_CUBIC if step.upscale else cv2.INTER_AREA
    return np.asarray(cv2.resize(rgb, (step.width, step.height), interpolation=interpolation), np.uint8)


def _crop(rgb: NDArray[np.uint8], step: Crop) -> NDArray[np.uint8]:
    return rgb[step.top : step.top + step.height, step.left : step.left + step.width]


def _sample(positions: NDArray[np.float64], length: int, source_length: int) -> NDArray[np.float64]:
    """Positions (linear in the index) of `source_length` samples, read at the centres of `length` equal parts."""
    step = positions[1] - positions[0] if source_length > 1 else 0.0
    found: NDArray[np.float64] = positions[0] + step * ((np.arange(length) + 0.5) * source_length / length - 0.5)
    return found


# ImageNet statistics, as upstream's `utils/io/input_processor.py` normalises.
IMAGENET_MEAN = (0.485, 0.456, 0.406)


IMAGENET_STD = (0.229, 0.224, 0.225)
