"""Steps that turn photographs into an artifact's inputs, and which of them the artifact does itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from depthport.exporters.core.artifact import Manifest, Shape
from depthport.exporters.core.errors import InputError, UnsupportedError, UsageError
from depthport.exporters.inputs.preprocess import (
    PROCESS_RES,
    Size,
    Steps,
    apply_to_rgb,
    exact_steps,
    final_size,
    normalise,
    steps_from_json,
    unifying_steps,
    upstream_steps,
)
from depthport.predict.photographs import Photograph


@dataclass(frozen=True)
class View:
    """A photograph at its input size, before the views of a scene are brought to one size."""

    name: str
    size: Size
    """Size of the photograph."""
    steps: Steps
    """Steps on the host."""
    image: np.ndarray
    """The artifact's input: (H, W, 3) uint8, or (3, H, W) float32, normalised."""
    rgb: NDArray[np.uint8] | None
    """(H, W, 3) as the network sees it; None where it was not asked for."""

    @property
    def end(self) -> Size:
        """Width and height of `image`."""
        height, width = self.image.shape[:2] if self.image.dtype == np.uint8 else self.image.shape[1:]
        return width, height


@dataclass(frozen=True)
class Prepared:
    """A scene, ready for the network."""

    names: tuple[str, ...]
    sizes: tuple[Size, ...]
    steps: tuple[Steps, ...]
    """All that is done to each photograph before the network, the artifact's own part too."""
    shape: Shape
    """B = 1, N, H, W of the outputs."""
    image: Any
    """(1, N, ...) as the artifact takes it, or what the session's device decoder gave."""
    rgb: NDArray[np.uint8] | None
    """(N, H, W, 3) as the network sees it; None where it is never on the host."""


class Recipe:
    """The recipe of one artifact or, without a manifest, of artifacts made for whatever shape comes."""

    def __init__(self, manifest: Manifest | None, process_res: int | None = None, *, images: bool = True) -> None:
        """Read the manifest.

        Args:
            manifest: the artifact's.
            process_res: longest side at which the network sees a photograph, where its size is open; None: upstream's 504.
            images: keep what the network sees, though an artifact that resizes by itself does not give it back.

        Raises:
            UnsupportedError: it takes several scenes in one call.
            UsageError: a side for an artifact that has its own.
        """
        self._manifest, self._process_res, self._images = manifest, process_res or PROCESS_RES, images
        self.pixels = False
        """It takes uint8 (H, W, 3), and normalises by itself."""
        self.source_size: Size | None = None
        """Width and height of what it takes; None: any."""
        self.in_graph: Steps = ()
        """Steps that it does itself."""
        if manifest is None:
            return
        if manifest.shape.batch != 1:
            batch = manifest.shape.batch
            raise UnsupportedError(f"the artifact takes {batch} scenes in one call: export one with --batch 1")
        image = next(spec for spec in manifest.inputs if spec.name == "image")
        self.pixels = image.dtype == "uint8"
        self.in_graph = steps_from_json(manifest.preprocessing.get("steps", ()))
        if "size" not in manifest.dynamic:
            height, width = image.shape[2:4] if self.pixels else image.shape[3:5]
            self.source_size = int(width), int(height)
            if process_res is not None:
                raise UsageError(
                    f"the artifact takes {height}x{width} pixels, no other longest side ({process_res}): leave it out, or "
                    "name a model or an artifact exported with --dynamic size"
                )

    def check_views(self, count: int) -> None:
        """Refuse a scene of another number of views than the artifact's.

        Raises:
            InputError: it has.
        """
        manifest = self._manifest
        if manifest is not None and count != manifest.shape.views and "views" not in manifest.dynamic:
            raise InputError(
                f"the artifact takes {manifest.shape.views} photographs and {count} came: give {manifest.shape.views}, or "
                f"export with --views {count} or --dynamic views"
            )

    def view_steps(self, size: Size) -> Steps:
        """Return the steps for a photograph of that size on the host, whatever the others of its scene are.

        Raises:
            InputError: it is too thin.
        """
        if self.source_size is None:
            return upstream_steps(size, self._process_res)
        width, height = self.source_size
        return exact_steps(size, height, width)

    def view(self, photograph: Photograph) -> View:
        """A photograph scaled and, where the artifact does not do that itself, normalised.

        Raises:
            InputError: it is too thin.
        """
        steps = self.view_steps(photograph.size)
        rgb = apply_to_rgb(photograph.rgb, steps)
        image = rgb if self.pixels else normalise(rgb)
        seen = apply_to_rgb(rgb, self.in_graph) if self._images or not self.in_graph else None
        return View(photograph.name, photograph.size, steps, image, seen)

    def shape(self, sizes: Sequence[Size]) -> Shape:
        """Return the shape of the scene that photographs of those sizes give.

        Raises:
            InputError: one is too thin.
        """
        ends = [self._end(final_size(size, self.view_steps(size))) for size in sizes]
        return Shape(1, len(sizes), min(height for _, height in ends), min(width for width, _ in ends))

    def scene(self, views: Sequence[View]) -> Prepared:
        """The views of a scene, brought to one size.

        Raises:
            InputError: another number of views than the artifact's.
        """
        self.check_views(len(views))
        common = unifying_steps([view.end for view in views])
        cut = [_cut(view, crop) if crop else view for view, crop in zip(views, common, strict=True)]
        width, height = self._end(cut[0].end)
        seen = [view.rgb for view in cut if view.rgb is not None]
        return Prepared(
            names=tuple(view.name for view in cut),
            sizes=tuple(view.size for view in cut),
            steps=tuple(view.steps + self.in_graph for view in cut),
            shape=Shape(1, len(cut), height, width),
            image=_stacked([view.image for view in cut])[None],
            rgb=_stacked(seen) if seen else None,
        )

    def on_device(self, names: Sequence[str], decoded: Sequence[object]) -> Prepared:
        """A scene whose photographs, all of :attr:`source_size`, lie decoded on the device."""
        assert self.source_size is not None and self.pixels
        self.check_views(len(decoded))
        width, height = self._end(self.source_size)
        count = len(decoded)
        return Prepared(
            names=tuple(names),
            sizes=(self.source_size,) * count,
            steps=(self.in_graph,) * count,
            shape=Shape(1, count, height, width),
            image=decoded,
            rgb=None,
        )

    def _end(self, size: Size) -> Size:
        """Return the size that the artifact makes of an input size."""
        return final_size(size, self.in_graph)


def _cut(view: View, crop: Steps) -> View:
    """Crop a view to its centre; normalised pixels stay valid."""
    rgb = None if view.rgb is None else apply_to_rgb(view.rgb, crop)
    planes = view.image.dtype != np.uint8
    image = apply_to_rgb(np.moveaxis(view.image, 0, -1) if planes else view.image, crop)
    return replace(view, steps=view.steps + crop, rgb=rgb, image=np.moveaxis(image, -1, 0) if planes else image)


def _stacked(arrays: Sequence[np.ndarray]) -> np.ndarray:
    """`numpy.stack` that copies nothing where there is one."""
    return np.stack(arrays) if len(arrays) > 1 else np.ascontiguousarray(arrays[0])[None]
