"""Scenes of photographs: any view count, distinct, calibrated, true; the user's own images, good and bad."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from PIL import Image

from depthport.bench.inputs.inputs import Scene, describe, load_scene, load_scenes
from depthport.bench.inputs.photographs import SINGLE, disparity_to_depth, motorcycle, single
from depthport.exporters.core.artifact import Shape
from depthport.exporters.core.errors import InputError, UnavailableError
from depthport.exporters.core.precision import resolve_policy
from depthport.exporters.da3.models import MODELS
from depthport.exporters.da3.request import ExportRequest
from depthport.exporters.da3.signature import input_specs
from depthport.exporters.inputs.images import read_image
from depthport.exporters.inputs.preprocess import preprocess
from depthport.runtimes.arrays import check_arrays


@pytest.mark.parametrize("views", [1, 2, 3, 5, 8])
def test_views_of_motorcycle(views: int) -> None:
    scene = load_scene(Shape(1, views, 70, 98))
    assert scene.rgb.shape == (1, views, 70, 98, 3) and scene.shape == Shape(1, views, 70, 98)
    assert scene.calibrated == (True,)
    assert len({view.tobytes() for view in scene.rgb[0]}) == views
    assert scene.depth is not None
    # Depth is that of the left camera: every other view.
    known = np.isfinite(scene.depth[0]).mean((1, 2))
    assert (known[0::2] > 0.8).all() and (known[1::2] == 0).all()


def test_the_first_views_at_native_size_are_upstreams_own_input() -> None:
    """No crop, no other scaling: what a user of upstream gets for these two files."""
    expected, intrinsics = preprocess(
        [camera.rgb for camera in motorcycle().cameras], [camera.intrinsics for camera in motorcycle().cameras]
    )
    scene = load_scene(Shape(1, 2, 336, 504))
    np.testing.assert_array_equal(scene.image[0], expected)
    np.testing.assert_array_equal(scene.intrinsics[0].astype(np.float32), intrinsics)


def test_rotating_scenes_are_distinct_real_and_deterministic() -> None:
    shape = Shape(2, 3, 70, 98)
    scenes = load_scenes(shape, sets=9)
    each = [scene.rgb[b].tobytes() for scene in scenes for b in range(2)]
    assert len(set(each)) == len(each) == 18
    assert [s.sha256 for s in load_scenes(shape, sets=9)] == [s.sha256 for s in scenes]
    assert all(scene.rgb.std() > 20 for scene in scenes)


def test_describe_names_what_was_fed() -> None:
    described: dict[str, Any] = describe(load_scenes(Shape(1, 1, 70, 98)))
    assert described["name"] == "motorcycle" and described["rotated"] == 4 and described["ground_truth"]
    assert len(set(described["sha256"])) == 4


@pytest.mark.parametrize("shape", [Shape(1, 6, 98, 98), Shape(1, 6, 70, 126)])
@pytest.mark.parametrize("turn", [0, 2, 6])
def test_cameras_and_depth_agree_with_the_pixels(shape: Shape, turn: int) -> None:
    """Warping any other view onto a left view by its depth, intrinsics and poses gives that view's pixels.

    This checks calibration, disparity convention, mirroring, windows and resizing in one: a wrong sign or a wrong
    principal point doubles the difference or more.
    """
    scene = load_scenes(shape, sets=turn + 1)[turn]
    assert scene.depth is not None
    for target, source in ((0, 1), (0, 2), (2, 3), (4, 1), (2, 0)):
        assert _warped_difference(scene, target, source) < 0.55 * _unwarped_difference(scene, target, source)


def _warped_difference(scene: Scene, target: int, source: int) -> float:
    assert scene.depth is not None
    depth = scene.depth[0, target]
    height, width = depth.shape
    rows, columns = np.mgrid[:height, :width] + 0.5
    pixels = np.stack([columns, rows, np.ones_like(rows)], -1).reshape(-1, 3)
    points = pixels @ np.linalg.inv(scene.intrinsics[0, target]).T * depth.reshape(-1, 1)
    world = np.c_[points, np.ones(len(points))] @ np.linalg.inv(scene.extrinsics[0, target]).T
    seen = (world @ scene.extrinsics[0, source].T)[:, :3] @ scene.intrinsics[0, source].T
    u, v = seen[:, 0] / seen[:, 2], seen[:, 1] / seen[:, 2]
    inside = np.isfinite(u) & (u >= 0) & (u < width) & (v >= 0) & (v < height)
    sampled = scene.rgb[0, source][v[inside].astype(int), u[inside].astype(int)].astype(float)
    return float(np.abs(sampled - scene.rgb[0, target].reshape(-1, 3)[inside]).mean())


def _unwarped_difference(scene: Scene, target: int, source: int) -> float:
    return float(np.abs(scene.rgb[0, source].astype(float) - scene.rgb[0, target]).mean())


def test_motorcycle_calibration_is_the_documented_one() -> None:
    documentation = pytest.importorskip("skimage.data").stereo_motorcycle.__doc__
    for figure in ("994.978px", "311.193px", "254.877px", "31.086px", "193.001mm"):
        assert figure in documentation
    left, right = motorcycle().cameras
    assert left.intrinsics[0, 0] == right.intrinsics[1, 1] == 994.978
    assert (left.intrinsics[0, 2], left.intrinsics[1, 2]) == (311.193, 254.877)
    assert right.intrinsics[0, 2] - left.intrinsics[0, 2] == pytest.approx(31.086)
    assert right.extrinsics[0, 3] == -0.193001


def test_depth_from_disparity_in_closed_form() -> None:
    depth = disparity_to_depth(np.array([[0.0, 31.086, np.inf, np.nan]], np.float32))
    np.testing.assert_allclose(depth[0, :2], [0.193001 * 994.978 / 31.086, 0.193001 * 994.978 / 62.172], rtol=1e-6)
    assert np.isnan(depth[0, 2:]).all()
    truth = motorcycle().cameras[0].depth
    assert truth is not None and np.nanmin(truth) > 2.0 and np.nanmax(truth) < 5.1


@pytest.mark.parametrize("preprocess", [False, True])
def test_arrays_are_what_an_artifact_takes(preprocess: bool) -> None:
    shape = Shape(2, 2, 70, 98)
    policy, weights = resolve_policy("fp32"), cast(Any, None)
    request = ExportRequest(
        MODELS["da3-small"], "onnx", policy, shape, weights, ("depth",), pose_input=True, preprocess=preprocess
    )
    arrays = load_scene(shape).arrays(pose_input=True, preprocess=preprocess)
    check_arrays(arrays, input_specs(request), InputError, "input")
    assert all(array.flags.c_contiguous for array in arrays.values())
    assert list(load_scene(shape).arrays()) == ["image"]
    np.testing.assert_array_equal(arrays["extrinsics"][0, 0], np.eye(4))
    # The lower median of the distances {0, b} is 0, held at upstream's floor of 0.1.
    assert arrays["extrinsics"][0, 1, 0, 3] == pytest.approx(-0.193001 / 0.1)


def test_without_scikit_image_the_line_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    single.cache_clear()
    with pytest.raises(UnavailableError, match="pip install scikit-image"):
        single("coffee")
    assert set(SINGLE) >= {"coffee"}


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / f"{i}.png" for i in range(3)]
    generator = np.random.default_rng(0)
    for path in paths:
        Image.fromarray(generator.integers(0, 256, (90, 120, 3), np.uint8)).save(path)
    return paths


def test_images_of_the_user(files: list[Path]) -> None:
    scenes = load_scenes(Shape(1, 3, 70, 98), images=files)
    assert len({scene.sha256 for scene in scenes}) == len(scenes) == 4
    assert scenes[0].depth is None and scenes[0].calibrated == (False,)
    expected, _ = preprocess([read_image(f) for f in files])
    native = load_scene(Shape(1, 3, *expected.shape[-2:]), images=files)
    np.testing.assert_array_equal(native.image[0], expected)


@pytest.mark.parametrize(("batch", "views"), [(1, 2), (1, 4), (2, 3), (3, 3)])
def test_another_number_of_images_than_views(files: list[Path], batch: int, views: int) -> None:
    with pytest.raises(InputError, match=f"3 images for {views} views.*exactly {batch * views}") as refused:
        load_scenes(Shape(batch, views, 70, 98), images=files)
    assert "\n" not in str(refused.value)


def test_batches_split_the_images_in_order(files: list[Path]) -> None:
    scene = load_scene(Shape(3, 1, 70, 98), images=files)
    np.testing.assert_array_equal(scene.rgb[2], load_scene(Shape(1, 1, 70, 98), images=files[2:]).rgb[0])


MODES = ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr"]


@pytest.mark.parametrize("mode", MODES)
def test_modes_are_read_as_upstream_reads_them(tmp_path: Path, mode: str) -> None:
    path = tmp_path / ("x.tif" if mode in ("CMYK", "YCbCr") else "x.png")
    image = Image.fromarray(np.random.default_rng(1).integers(0, 256, (20, 30, 3), np.uint8))
    image.convert(mode).save(path)
    rgb = read_image(path)
    np.testing.assert_array_equal(rgb, np.asarray(Image.open(path).convert("RGB")))
    assert rgb.shape == (20, 30, 3) and rgb.dtype == np.uint8


def test_exif_orientation_is_left_alone_and_the_first_frame_counts(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (30, 20), (9, 9, 9)).save(tmp_path / "x.jpg", exif=exif)
    assert read_image(tmp_path / "x.jpg").shape == (20, 30, 3)
    frames = [Image.new("RGB", (30, 20), (value, 0, 0)) for value in (200, 10)]
    frames[0].save(tmp_path / "x.gif", save_all=True, append_images=frames[1:])
    assert read_image(tmp_path / "x.gif")[0, 0, 0] > 150


def test_tiny_and_large_images(tmp_path: Path) -> None:
    Image.new("RGB", (1, 1)).save(tmp_path / "tiny.png")
    Image.new("RGB", (10_000, 9_500)).save(tmp_path / "large.png")  # 95 megapixels: beyond Pillow's warning
    for name in ("tiny", "large"):
        assert load_scene(Shape(1, 1, 70, 98), images=[tmp_path / f"{name}.png"]).rgb.shape[2:] == (70, 98, 3)


def _bad_files(folder: Path) -> dict[str, tuple[bytes | None, str]]:
    good = folder / "good.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (50, 50, 3), np.uint8)).save(good)
    wide = folder / "wide.png"
    Image.fromarray(np.full((9, 9), 40_000, np.uint16)).save(wide)
    floats = folder / "floats.tif"
    Image.fromarray(np.ones((9, 9), np.float32)).save(floats)
    return {
        "missing.png": (None, "not a file"),
        "text.png": (b"not an image", "not an image"),
        "empty.png": (b"", "not an image"),
        "cut.png": (good.read_bytes()[:2000], "damaged"),
        "header.png": (good.read_bytes()[:20], "image"),
        "wide.png": (wide.read_bytes(), "8 bits"),
        "floats.tif": (floats.read_bytes(), "8 bits"),
    }


@pytest.mark.parametrize(
    "name", ["missing.png", "text.png", "empty.png", "cut.png", "header.png", "wide.png", "floats.tif"]
)
def test_what_is_no_image_gets_one_line(tmp_path: Path, name: str) -> None:
    content, words = _bad_files(tmp_path)[name]
    path = tmp_path / f"bad-{name}"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=words) as refused:
        read_image(path)
    assert str(path) in str(refused.value) and "\n" not in str(refused.value)


def test_a_folder_and_a_decompression_bomb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="not a file"):
        read_image(tmp_path)
    Image.new("L", (100, 100)).save(tmp_path / "bomb.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(InputError, match="too many pixels"):
        read_image(tmp_path / "bomb.png")
