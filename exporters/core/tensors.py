"""Inputs and outputs of an artifact: shapes by name, and what is done to the image before; a manifest is held to it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Literal, TypeAlias, TypedDict

Dim: TypeAlias = int | str
"""A size, or the name (or a multiple of it) of one that is left open."""
Sizes: TypeAlias = tuple[Dim, Dim, Dim, Dim]
"""B, N, H and W."""

Step = TypedDict(
    "Step",
    {
        "resize": tuple[int, int],
        "from": tuple[int, int],
        "interpolation": Literal["cubic", "area"],
        "crop": tuple[int, int],
        "top": int,
        "left": int,
    },
    total=False,
)
Step.__doc__ = "A resize `from` a size, or a crop; heights before widths (depthport.exporters.inputs.preprocess)."


class Preprocessing(TypedDict, total=False):
    """Form of the inputs, and what is done to them where."""

    where: Literal["graph", "host"]
    image: str
    mean: list[float]
    std: list[float]
    source_size: tuple[int, int]
    """H and W of the photographs that the graph resizes."""
    steps: list[Step]
    """Steps by which the graph resizes them."""
    extrinsics: str
    intrinsics: str
    after: str


def open_sizes(sizes: Sizes, dynamic: Collection[str]) -> Sizes:
    """B, N, H and W, by name where `dynamic` leaves them open."""
    batch, views, height, width = sizes
    return (
        "batch" if "batch" in dynamic else batch,
        "views" if "views" in dynamic else views,
        "height" if "size" in dynamic else height,
        "width" if "size" in dynamic else width,
    )


def input_shapes(sizes: Sizes, source: Sequence[Dim] | None, *, pixels: bool) -> dict[str, tuple[Dim, ...]]:
    """Of every input that there is.

    Args:
        sizes: of what the network sees.
        source: H and W of the photographs that go in; None: as the network sees them.
        pixels: the image is uint8, channels last.
    """
    batch, views, height, width = sizes
    image = (batch, views, *(source or (height, width)), 3) if pixels else (batch, views, 3, height, width)
    return {"image": image, "extrinsics": (batch, views, 4, 4), "intrinsics": (batch, views, 3, 3)}


def output_shapes(sizes: Sizes) -> dict[str, tuple[Dim, ...]]:
    """Of every output that there is."""
    batch, views, height, width = sizes
    rays = (batch, views, _ray_size(height), _ray_size(width))
    return {
        "depth": sizes,
        "depth_conf": sizes,
        "extrinsics": (batch, views, 3, 4),
        "intrinsics": (batch, views, 3, 3),
        "reference_view": (batch,),
        "ray": (*rays, 6),
        "ray_conf": rays,
        "sky": sizes,
        "metric_depth": sizes,
    }


def misshapen(
    shapes: Mapping[str, Sequence[Dim]],
    known: Callable[[Sizes], Mapping[str, Sequence[Dim]]],
    sizes: Sizes,
    dynamic: Collection[str],
) -> str | None:
    """The first of some shapes by name that a scene of these sizes does not have, and what it has; None: it has them all.

    Args:
        known: :func:`input_shapes` or :func:`output_shapes`; names that it does not have may have any shape.
        sizes: of the scene.
        dynamic: dimensions that may be left open, and need not be.
    """
    fixed, opened = known(sizes), known(open_sizes(sizes, dynamic))
    for name, shape in shapes.items():
        may = list(zip(fixed.get(name, shape), opened.get(name, shape), strict=True))
        if len(shape) != len(may) or any(dim not in dims for dim, dims in zip(shape, may, strict=True)):
            own, right, scene = ("x".join(map(str, dims)) for dims in (shape, opened[name], sizes))
            return f"{name} is {own}, a scene of {scene} makes it {right}"
    return None


def _ray_size(pixels: Dim) -> Dim:
    """The ray head works at 8 samples a patch of 14 pixels (`dualdpt.py`: x4 resize, x2 fusion)."""
    return pixels // 14 * 8 if isinstance(pixels, int) else f"{pixels}*8/14"
