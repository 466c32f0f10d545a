"""Pictures: what a colour means, that cells are comparable, and that files stay small and whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from depthport.bench.analysis.pictures import MAX_BYTES, MAX_WIDTH, depth_range, save_depth, save_error, save_views
from depthport.exporters.core.errors import StorageError
from depthport.predict.colormaps import INFERNO, VIRIDIS

MAGENTA = (255, 0, 255)


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"))


def ramp(height: int = 70, width: int = 400) -> np.ndarray:
    """Depth from 1 to 10, by a constant factor from column to column; (1, 1, H, W)."""
    row = np.geomspace(1, 10, width, dtype=np.float32)
    ramp: NDArray[Any] = np.broadcast_to(row, (1, 1, height, width)).copy()
    return ramp


def test_colour_maps_rise_in_lightness_and_stay_near_the_originals() -> None:
    for name, table in (("viridis", VIRIDIS), ("inferno", INFERNO)):
        assert table.shape == (256, 3) and table.dtype == np.uint8
        assert (np.diff(table @ [0.2126, 0.7152, 0.0722]) > -0.6).all()
        matplotlib = pytest.importorskip("matplotlib")
        original = matplotlib.colormaps[name](np.arange(256))[:, :3] * 255
        assert np.abs(table - original).max() <= 2.5


def test_near_is_bright_far_is_dark_and_nothing_is_magenta(tmp_path: Path) -> None:
    save_depth(ramp(), tmp_path / "d.png")
    row = pixels(tmp_path / "d.png")[10]
    assert tuple(row[0]) == tuple(VIRIDIS[-1]) and tuple(row[-1]) == tuple(VIRIDIS[0])
    assert (np.diff(row.astype(int).sum(-1)) <= 3).all()


def test_what_is_no_depth_is_marked(tmp_path: Path) -> None:
    depth = ramp()
    depth[..., :10, :10], depth[..., :10, 20:30], depth[..., :10, 40:50] = np.nan, -1, np.inf
    save_depth(depth, tmp_path / "d.png")
    picture = pixels(tmp_path / "d.png")
    assert tuple(picture[5, 5]) == tuple(picture[5, 25]) == MAGENTA
    assert tuple(picture[5, 45]) == tuple(VIRIDIS[0])  # infinitely far is far
    save_depth(np.full((1, 1, 70, 98), np.nan, np.float32), tmp_path / "none.png")
    save_depth(np.full((1, 1, 70, 98), 3, np.float32), tmp_path / "flat.png")


def test_a_wrong_scale_shows_when_the_range_is_the_references(tmp_path: Path) -> None:
    save_depth(ramp(), tmp_path / "a.png", like=ramp())
    save_depth(ramp() * 2, tmp_path / "b.png", like=ramp())
    save_depth(ramp() * 2, tmp_path / "c.png")
    a, b, c = (pixels(tmp_path / f"{name}.png")[:70] for name in "abc")
    assert not np.array_equal(a, b) and np.array_equal(a, c)


def test_errors_are_on_one_fixed_logarithmic_scale(tmp_path: Path) -> None:
    reference = np.full((1, 1, 70, 400), 4.0, np.float32)
    error = np.repeat([0, 1e-7, 10**-3.5, 1.0, 50.0], 80)
    save_error(reference * (1 + error), reference, tmp_path / "e.png")
    row = pixels(tmp_path / "e.png")[10].astype(int)
    for column, expected in ((40, 0.0), (120, 0.0), (200, 0.5), (280, 1.0), (360, 1.0)):
        np.testing.assert_allclose(row[column], INFERNO[round(expected * 255)], atol=8)


def test_views_stand_side_by_side_and_scenes_below(tmp_path: Path) -> None:
    depth = np.random.default_rng(0).uniform(1, 2, (2, 7, 70, 98)).astype(np.float32)
    save_depth(depth, tmp_path / "d.png")
    width, height = Image.open(tmp_path / "d.png").size
    assert width == 5 * 98 + 4 * 4 and height == 4 * 70 + 3 * 4 + 30
    save_error(depth, depth[::-1], tmp_path / "e.png")
    assert Image.open(tmp_path / "e.png").size == (width, height)
    save_views(np.zeros((2, 7, 70, 98, 3), np.uint8), tmp_path / "v.jpg")
    assert Image.open(tmp_path / "v.jpg").size == (width, height - 30)


@pytest.mark.parametrize("views", [1, 5])
def test_the_noisiest_sheet_stays_small(tmp_path: Path, views: int) -> None:
    noise = np.random.default_rng(0).uniform(1, 9, (1, views, 504, 504)).astype(np.float32)
    save_depth(noise, tmp_path / "d.png")
    save_error(noise, noise[..., ::-1], tmp_path / "e.png")
    save_views(np.random.default_rng(0).integers(0, 256, (1, views, 504, 504, 3), np.uint8), tmp_path / "v.jpg")
    sizes = {path.stat().st_size for path in tmp_path.iterdir()}
    assert len(sizes) == 3 and max(sizes) <= MAX_BYTES
    assert Image.open(tmp_path / "d.png").size == Image.open(tmp_path / "e.png").size
    assert Image.open(tmp_path / "d.png").width <= MAX_WIDTH


def test_depth_range_ignores_outliers_and_what_is_no_depth() -> None:
    depth = np.concatenate([np.full(10, 1e9), np.linspace(2, 4, 980), [np.nan, -3, 0]])
    near, far = depth_range(depth)
    assert near == pytest.approx(2.05, abs=0.02) and far == pytest.approx(4, abs=0.05)
    assert depth_range(np.array([np.nan])) == (1.0, 2.0)


def test_a_folder_that_is_none_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError):
        save_depth(ramp(), tmp_path / "file" / "d.png")
