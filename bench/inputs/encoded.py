"""Scenes as encoded photographs: what is fed where a run begins with files (boundary `pipeline`).

The user's own files go in as they are. The shipped photographs are scaled to as many pixels as a frame of 1080p has, in the
artifact's own aspect, and encoded as JPEG; so upstream's resize ends at the artifact's size, and both do the same work. The
pixels of such a scene are those that a decoder gives back, so that the reference computes on what the cells see.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
from PIL import Image

from depthport.bench.inputs.inputs import Scene, load_scenes, resized
from depthport.exporters.core.artifact import Shape
from depthport.exporters.core.files.npz import write_npz
from depthport.exporters.inputs.images import decode_image, read_file

PIXELS = 1920 * 1080
QUALITY = 92
PREFIX = "photograph-"


@dataclass(frozen=True)
class EncodedScene(Scene):
    """A scene whose pixels come from files."""

    files: tuple[bytes, ...] = ()
    """One a view."""


def encoded_scenes(
    shape: Shape, *, sets: int, images: Sequence[Path | str] = (), source_size: tuple[int, int] | None = None
) -> tuple[EncodedScene, ...]:
    """Scenes to rotate through a timed run, of one scene each; arguments and errors as of `load_scenes`.

    With the user's own files there is one: its variants would be no files of the user's.
    """
    if images:
        (scene,) = load_scenes(shape, sets=1, images=images, source_size=source_size)
        return (_with_files(scene, tuple(read_file(path) for path in images)),)
    size = source_size or photograph_size(shape.height, shape.width)
    larger = replace(shape, height=size[0], width=size[1])
    return tuple(_encoded(scene, shape) for scene in load_scenes(larger, sets=sets))


def photograph_size(height: int, width: int) -> tuple[int, int]:
    """(H', W') of about 1080p's pixels that upstream's resize makes H×W."""
    factor = math.sqrt(PIXELS / (height * width))
    return round(height * factor), round(width * factor)


def write_encoded(scenes: Sequence[Scene], folder: Path, kind: str) -> list[Path]:
    """The files of each scene that has some as `folder/<kind>-<index>.npz`, which a worker reads with :func:`files_of`."""
    paths = []
    for index, scene in enumerate(scenes):
        if not isinstance(scene, EncodedScene):
            continue
        path = folder / f"{kind}-{index}.npz"
        write_npz(path, {f"{PREFIX}{view}": np.frombuffer(data, np.uint8) for view, data in enumerate(scene.files)})
        paths.append(path)
    return paths


def files_of(arrays: dict[str, np.ndarray]) -> list[bytes]:
    """The files of a scene, one a view."""
    return [arrays[f"{PREFIX}{view}"].tobytes() for view in range(len(arrays))]


def _encoded(scene: Scene, shape: Shape) -> EncodedScene:
    files = tuple(_jpeg(view) for view in scene.rgb[0])
    seen = np.stack([decode_image(data, scene.name) for data in files])[None]
    return _with_files(resized(replace(scene, rgb=seen), shape), files)


def _with_files(scene: Scene, files: tuple[bytes, ...]) -> EncodedScene:
    return EncodedScene(**{field.name: getattr(scene, field.name) for field in fields(scene)}, files=files)


def _jpeg(rgb: np.ndarray) -> bytes:
    written = io.BytesIO()
    Image.fromarray(rgb).save(written, "JPEG", quality=QUALITY)
    return written.getvalue()
