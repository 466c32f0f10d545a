"""Depth and its error as pictures a report can show: small, atomic, comparable between cells. Pillow only.

A picture is a sheet: the N views of one scene side by side (five to a row), scenes below each other, a legend
at the bottom. Depth is drawn by its logarithm, near bright and far dark, over the range of the depth it is
compared *with*, so that two cells' pictures differ where their depths do. Errors are drawn on one fixed
logarithmic scale, whatever the cell. Sheets are paletted PNGs; one that would exceed :data:`MAX_BYTES` is
sampled more coarsely, at the same size.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from depthport.exporters.core.files.atomic import write_bytes
from depthport.predict.colormaps import INFERNO, VIRIDIS

Array = np.ndarray

MAX_BYTES = 200_000
MAX_WIDTH = 1512
"""Pixels a sheet is wide at most."""
COLUMNS = 5
ERROR_DECADES = (-7, 0)
"""Relative errors from 1e-7 (fp32 rounding) to 1 (nothing right) fill the error scale."""

# The palette: the map squeezed into the first entries, then these.
_MAPPED = 253
_INVALID, _FRAME, _TEXT = 253, 254, 255
_EXTRA_COLOURS = ((255, 0, 255), (30, 30, 30), (255, 255, 255))
_LEGEND_HEIGHT, _GAP = 30, 4
_SHRINK = 0.8
_JPEG_QUALITY = 85


def save_depth(depth: Array, path: Path, like: Array | None = None) -> None:
    """Draw depth (B, N, H, W), any unit.

    Args:
        depth: not finite or not positive pixels are drawn magenta.
        path: the PNG to (re)place.
        like: the depth whose range fixes the colours, if another than `depth`'s own.

    Raises:
        StorageError: the folder can't be written to or the disk is full.
    """
    near, far = depth_range(depth if like is None else like)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = (np.log(far) - np.log(depth.astype(np.float64))) / (np.log(far) - np.log(near))
    _save(_levels(share, known=depth > 0), path, VIRIDIS, (f"far {far:.3g}", "depth", f"near {near:.3g}"))


def save_error(depth: Array, reference: Array, path: Path) -> None:
    """Draw |depth - reference| / |reference|, both (B, N, H, W), by its logarithm over :data:`ERROR_DECADES`.

    Raises:
        StorageError: the folder can't be written to or the disk is full.
    """
    low, high = ERROR_DECADES
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = np.abs(depth.astype(np.float64) - reference) / np.abs(reference)
        share = (np.log10(relative) - low) / (high - low)
    share[relative == 0] = 0
    legend = (f"1e{low} or less", "relative error", f"{10.0**high:g} or more")
    _save(_levels(share, known=np.isfinite(relative)), path, INFERNO, legend)


def save_views(rgb: NDArray[np.uint8], path: Path) -> None:
    """The photographs fed, (B, N, H, W, 3), as one JPEG sheet laid out as the depth's.

    Raises:
        StorageError: the folder can't be written to or the disk is full.
    """
    sheet = np.stack([_sheet(rgb[..., channel], fill=_EXTRA_COLOURS[1][channel]) for channel in range(3)], -1)
    image = Image.fromarray(sheet)
    size = _fit(image.size, MAX_WIDTH)
    while len(content := _encoded(image.resize(size, Image.Resampling.LANCZOS), "JPEG")) > MAX_BYTES:
        size = _fit(size, round(size[0] * _SHRINK))
    write_bytes(path, content)


def depth_range(depth: Array) -> tuple[float, float]:
    """Nearest and farthest depth worth a colour: the 2nd and 98th percentile of finite, positive pixels."""
    known = depth[np.isfinite(depth) & (depth > 0)]
    if not known.size:
        return 1.0, 2.0
    near, far = (float(q) for q in np.percentile(known, [2, 98]))
    # A constant map still gets a range, so that its one colour is the middle's.
    return (near, far) if far > near * 1.001 else (near / 1.05, far * 1.05)


def _levels(share: Array, known: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Palette indices of values scaled to 0…1."""
    clipped = np.clip(np.nan_to_num(share, nan=0.0, posinf=1.0, neginf=0.0), 0, 1)
    levels: NDArray[np.uint8] = np.round(clipped * (_MAPPED - 1)).astype(np.uint8)
    levels[~(known & ~np.isnan(share))] = _INVALID
    return levels


def _sheet(tiles: NDArray[np.uint8], fill: int) -> NDArray[np.uint8]:
    """(B, N, H, W) as one (rows, columns) array with gaps between the tiles."""
    batch, views, height, width = tiles.shape
    columns = min(views, COLUMNS)
    per_scene = -(-views // columns)
    rows = batch * per_scene
    sheet = np.full((rows * (height + _GAP) - _GAP, columns * (width + _GAP) - _GAP), fill, np.uint8)
    for b in range(batch):
        for n in range(views):
            top = (b * per_scene + n // columns) * (height + _GAP)
            left = n % columns * (width + _GAP)
            sheet[top : top + height, left : left + width] = tiles[b, n]
    return sheet


def _save(levels: NDArray[np.uint8], path: Path, colours: Array, legend: tuple[str, str, str]) -> None:
    image = Image.fromarray(_sheet(levels, fill=_FRAME))
    size = grid = _fit(image.size, MAX_WIDTH)
    # Nearest: indices can't be averaged, and a mean would hide what a picture of errors is there to show.
    while True:
        coarse = image.resize(grid, Image.Resampling.NEAREST).resize(size, Image.Resampling.NEAREST)
        picture = _with_legend(coarse, legend)
        picture.putpalette(_palette(colours))
        if len(content := _encoded(picture, "PNG")) <= MAX_BYTES:
            break
        grid = _fit(grid, round(grid[0] * _SHRINK))
    write_bytes(path, content)


def _palette(colours: Array) -> list[int]:
    mapped = colours[np.linspace(0, 255, _MAPPED).round().astype(int)]
    return [int(value) for colour in (*mapped, *_EXTRA_COLOURS) for value in colour]


def _with_legend(picture: Image.Image, legend: tuple[str, str, str]) -> Image.Image:
    """A colour bar with its two ends and its title below the picture."""
    width, height = max(picture.width, 320), picture.height
    whole = Image.new("P", (width, height + _LEGEND_HEIGHT), _FRAME)
    whole.paste(picture, ((width - picture.width) // 2, 0))
    draw = ImageDraw.Draw(whole)
    # No smoothing of letters: grey levels between two indices would be colours of the map.
    draw.fontmode = "1"
    font = ImageFont.load_default(13)
    middle = height + _LEGEND_HEIGHT / 2
    start, title, end = legend
    left = 8 + draw.textlength(start, font) + 8
    right = width - 8 - draw.textlength(end, font) - 8 - draw.textlength(title, font) - 12
    draw.text((8, middle), start, _TEXT, font, anchor="lm")
    draw.text((right + 8, middle), end, _TEXT, font, anchor="lm")
    draw.text((width - 8, middle), title, _TEXT, font, anchor="rm")
    for x in range(int(left), int(right)):
        index = round((x - int(left)) / max(int(right) - int(left) - 1, 1) * (_MAPPED - 1))
        draw.line([(x, middle - 6), (x, middle + 6)], index)
    return whole


def _fit(size: tuple[int, int], width: int) -> tuple[int, int]:
    """`size` scaled down to at most `width` pixels."""
    factor = min(1.0, width / size[0])
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))


def _encoded(image: Image.Image, kind: str) -> bytes:
    buffer = io.BytesIO()
    options = {"quality": _JPEG_QUALITY} if kind == "JPEG" else {}
    image.save(buffer, kind, optimize=True, **options)
    return buffer.getvalue()
