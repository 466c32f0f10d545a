"""Inputs of a run: scenes of real photographs, of any number of views, at exactly the artifact's size.

A timed run rotates several different scenes, so that no runtime profits from seeing one input again. They are, in this
order, Motorcycle, astronaut, Motorcycle mirrored, coffee, chelsea, rocket, and from there on again with other windows.
With `--images` they are variants of the user's views: as they are, mirrored, then narrower windows.

Views of a scene: the first round of views takes each of the scene's photographs whole (Motorcycle: left,
right). Further rounds take a narrower window of each, at places and scales that follow a low-discrepancy
sequence: the same camera, zoomed and with another principal point. So N views show one rigid scene, overlap,
differ, and have known intrinsics, extrinsics and (Motorcycle's left camera) depth; a scene of one photograph
has no parallax, Motorcycle has.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from depthport.bench.inputs.photographs import Camera, Photographs, from_files, motorcycle, single
from depthport.bench.inputs.pose_files import Poses, posed, read_poses
from depthport.exporters.core.artifact import Shape
from depthport.exporters.core.errors import InputError
from depthport.exporters.core.files.npz import write_npz
from depthport.exporters.inputs.poses import normalise_extrinsics
from depthport.exporters.inputs.preprocess import (
    Crop,
    Steps,
    apply_to_intrinsics,
    apply_to_map,
    apply_to_rgb,
    exact_steps,
    final_size,
    normalise,
)

DEFAULT_SETS = 4
"""Least number of different scenes that a timed run rotates."""

# (photographs, variant): odd variants are mirrored, each pair of variants takes the next rounds of windows.
_ROTATION = (("motorcycle", 0), ("astronaut", 0), ("motorcycle", 1), ("coffee", 0), ("chelsea", 0), ("rocket", 0))

# Fractional parts of multiples of these are spread evenly over the unit cube (M. Roberts' R3 sequence: powers
# of the inverse of the root of x^4 = x + 1).
_SPREAD = np.array([0.8191725134, 0.6710436067, 0.5497004779])
_NARROWEST, _WIDEST = 0.7, 0.95


@dataclass(frozen=True)
class Scene:
    """B scenes of N views at H×W: pixels, cameras and, where it is known, the truth."""

    name: str
    rgb: NDArray[np.uint8]
    """(B, N, H, W, 3)."""
    intrinsics: NDArray[np.float64]
    """(B, N, 3, 3), pixels."""
    extrinsics: NDArray[np.float64]
    """(B, N, 4, 4), world to camera, OpenCV, metres."""
    depth: NDArray[np.float32] | None
    """(B, N, H, W) metres, NaN where unknown; None where nothing is known."""
    calibrated: tuple[bool, ...]
    """For each of the B, whether its cameras are the true ones; False: assumed."""
    source: NDArray[np.uint8] | None = None
    """(B, N, H', W', 3), what an artifact that resizes by itself takes; `rgb` and cameras are after that resize."""
    notes: tuple[str, ...] = ()
    """Notes to the user on the photographs and cameras, one line each."""

    @property
    def shape(self) -> Shape:
        b, n, h, w, _ = self.rgb.shape
        return Shape(b, n, h, w)

    @cached_property
    def image(self) -> NDArray[np.float32]:
        """(B, N, 3, H, W), ImageNet-normalised."""
        return normalise(self.rgb)

    @cached_property
    def sha256(self) -> str:
        """Hex sha256 of all that a network can be fed: the pixels (`source` if any, else `rgb`) and the cameras.

        Intrinsics count as they are fed, in fp32: what a resize makes of them may differ in fp64's last bit between
        machines. Poses count as they were given, because normalising them leaves noise where they are 0.
        """
        pixels = self.rgb if self.source is None else self.source
        digest = hashlib.sha256(np.ascontiguousarray(pixels).tobytes())
        for cameras in (self.extrinsics.astype("<f8"), self.intrinsics.astype("<f4")):
            digest.update((cameras + 0.0).tobytes())  # -0, which a mirror makes, is 0
        return digest.hexdigest()

    def arrays(self, *, pose_input: bool = False, preprocess: bool = False) -> dict[str, np.ndarray]:
        """Return the inputs of an artifact, by the names of `depthport.exporters.da3.signature.input_specs`.

        Args:
            pose_input: add `extrinsics` and `intrinsics`, normalised as upstream's API normalises them.
            preprocess: the artifact normalises itself: `image` is uint8 then, (B, N, H, W, 3) or of the size it
                resizes from; else float32.
        """
        pixels = self.rgb if self.source is None else self.source
        image = {"image": pixels if preprocess else self.image}
        if not pose_input:
            return image
        return {
            **image,
            "extrinsics": np.stack([normalise_extrinsics(poses) for poses in self.extrinsics]),
            "intrinsics": self.intrinsics.astype(np.float32),
        }


def load_scenes(
    shape: Shape,
    *,
    sets: int = DEFAULT_SETS,
    images: Sequence[Path | str] = (),
    poses: Path | str | None = None,
    source_size: tuple[int, int] | None = None,
) -> tuple[Scene, ...]:
    """Different scenes to rotate through a timed run.

    Args:
        shape: B, N, H, W of the artifact.
        sets: how many.
        images: the user's own files, B·N of them in order; none: the shipped photographs.
        poses: file or folder with the cameras of the user's own files (bench/inputs/pose_files.py).
        source_size: (H', W') of what goes into an artifact that resizes by itself.

    Raises:
        InputError: another number of files or poses than views, a file that is not an image or is too thin, or bad poses.
        UnavailableError: no files given and scikit-image, which ships the photographs, is not installed.
    """
    if source_size is not None:
        larger = replace(shape, height=source_size[0], width=source_size[1])
        return tuple(resized(scene, shape) for scene in load_scenes(larger, sets=sets, images=images, poses=poses))
    if not images:
        if poses is not None:
            raise InputError("poses without images: name their photographs with --images")
        each = [_rotation(index) for index in range(sets * shape.batch)]
        return tuple(_batch(each[i * shape.batch : (i + 1) * shape.batch], shape) for i in range(sets))
    groups = _user_groups(images, shape)
    if poses is not None:
        groups = _posed_groups(groups, read_poses(poses, images), shape)
    return tuple(_batch([(group, variant) for group in groups], shape) for variant in range(sets))


def load_scene(shape: Shape, *, images: Sequence[Path | str] = ()) -> Scene:
    """The first of :func:`load_scenes`: Motorcycle, or the user's views as they are."""
    return load_scenes(shape, sets=1, images=images)[0]


def describe(scenes: Sequence[Scene]) -> dict[str, object]:
    """The `inputs` of results.json."""
    return {
        "name": scenes[0].name,
        "scenes": [scene.name for scene in scenes],
        "rotated": len(scenes),
        "sha256": [scene.sha256 for scene in scenes],
        "ground_truth": any(scene.depth is not None for scene in scenes),
        "calibrated": [list(scene.calibrated) for scene in scenes],
        "notes": list(scenes[0].notes),
    }


def write_scenes(
    scenes: Sequence[Scene], folder: Path, kind: str, *, pose_input: bool = False, preprocess: bool = False
) -> list[Path]:
    """Each scene's arrays as `folder/<kind>-<index>.npz`, whole or not at all; arguments as of :meth:`Scene.arrays`."""
    paths = []
    for index, scene in enumerate(scenes):
        path = folder / f"{kind}-{index}.npz"
        write_npz(path, scene.arrays(pose_input=pose_input, preprocess=preprocess))
        paths.append(path)
    return paths


def window_step(width: int, height: int, index: int) -> Steps:
    """The `index`-th window of a photograph; number 0 is the whole of it."""
    if index == 0:
        return ()
    scale, right, down = np.modf(index * _SPREAD)[0]
    share = _NARROWEST + (_WIDEST - _NARROWEST) * scale
    to_width, to_height = max(1, round(width * share)), max(1, round(height * share))
    return (Crop(round((width - to_width) * right), round((height - to_height) * down), to_width, to_height),)


def _rotation(index: int) -> tuple[Photographs, int]:
    turn, place = divmod(index, len(_ROTATION))
    name, variant = _ROTATION[place]
    photographs = motorcycle() if name == "motorcycle" else single(name)
    return photographs, variant + 2 * turn


def _user_groups(images: Sequence[Path | str], shape: Shape) -> list[Photographs]:
    if len(images) != shape.images:
        scenes = f" in each of {shape.batch} scenes" if shape.batch > 1 else ""
        raise InputError(
            f"{len(images)} images for {shape.views} views{scenes}: give exactly {shape.images}, or ask for "
            f"as many views as there are images (--views {len(images)})"
        )
    return [from_files(images[b * shape.views : (b + 1) * shape.views]) for b in range(shape.batch)]


def _posed_groups(groups: Sequence[Photographs], poses: Poses, shape: Shape) -> list[Photographs]:
    if len(poses.extrinsics) != shape.images:
        raise InputError(f"{len(poses.extrinsics)} poses for {shape.images} images: give one pose for each, in their order")
    views = shape.views
    return [posed(group, poses.part(b * views, (b + 1) * views)) for b, group in enumerate(groups)]


def resized(scene: Scene, shape: Shape) -> Scene:
    """A scene of photographs as an artifact's own resize leaves it."""
    height, width = scene.shape.height, scene.shape.width
    steps = exact_steps((width, height), shape.height, shape.width)

    def each(apply: Callable[..., np.ndarray], values: np.ndarray) -> np.ndarray:
        flat = values.reshape(-1, *values.shape[2:])
        return np.stack([apply(view, steps) for view in flat]).reshape(*values.shape[:2], *apply(flat[0], steps).shape)

    return replace(
        scene,
        rgb=each(apply_to_rgb, scene.rgb),
        intrinsics=each(apply_to_intrinsics, scene.intrinsics),
        depth=None if scene.depth is None else each(apply_to_map, scene.depth),
        source=scene.rgb,
    )


def _batch(scenes: Sequence[tuple[Photographs, int]], shape: Shape) -> Scene:
    built = [_views(photographs, variant, shape) for photographs, variant in scenes]
    depths = [depth for *_, depth in built]
    known = any(np.isfinite(depth).any() for depth in depths)
    return Scene(
        name=" + ".join(_label(photographs, variant) for photographs, variant in scenes),
        rgb=np.stack([rgb for rgb, *_ in built]),
        intrinsics=np.stack([intrinsics for _, intrinsics, *_ in built]),
        extrinsics=np.stack([extrinsics for _, _, extrinsics, _ in built]),
        depth=np.stack(depths) if known else None,
        calibrated=tuple(photographs.calibrated for photographs, _ in scenes),
        notes=tuple(dict.fromkeys(note for photographs, _ in scenes for note in photographs.notes)),
    )


def _label(photographs: Photographs, variant: int) -> str:
    turn, mirrored = divmod(variant, 2)
    return photographs.name + (" mirrored" if mirrored else "") + (f", windows {turn}" if turn else "")


def _views(photographs: Photographs, variant: int, shape: Shape) -> tuple[np.ndarray, ...]:
    """Rgb (N,H,W,3), intrinsics (N,3,3), extrinsics (N,4,4), depth (N,H,W) of one scene."""
    turn, mirrored = divmod(variant, 2)
    cameras = [camera.mirrored() for camera in photographs.cameras] if mirrored else photographs.cameras
    rounds = -(-shape.views // len(cameras))
    views = [_view(cameras[i % len(cameras)], turn * rounds + i // len(cameras), shape) for i in range(shape.views)]
    return tuple(np.stack(column) for column in zip(*views, strict=True))


def _view(camera: Camera, window: int, shape: Shape) -> tuple[np.ndarray, ...]:
    height, width = camera.rgb.shape[:2]
    steps = window_step(width, height, window)
    steps += exact_steps(final_size((width, height), steps), shape.height, shape.width)
    unknown = np.full((shape.height, shape.width), np.nan, np.float32)
    return (
        apply_to_rgb(camera.rgb, steps),
        apply_to_intrinsics(camera.intrinsics, steps),
        camera.extrinsics,
        unknown if camera.depth is None else apply_to_map(camera.depth, steps),
    )
