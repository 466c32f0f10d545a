"""Streams of scenes: the same bits as upstream's processors, in order, in bounded memory, whatever is broken among them."""

from __future__ import annotations

import io
import itertools
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from depthport.exporters.core.artifact import Manifest, Shape, TensorSpec
from depthport.exporters.core.errors import DepthportError, InputError, RunError
from depthport.exporters.inputs.images import decode_image, read_header, turned_upright
from depthport.exporters.inputs.preprocess import exact_steps, steps_to_json
from depthport.predict.photographs import load_photographs
from depthport.predict.pipeline import DEVICE_BATCH, Preparation, overlapped
from depthport.predict.recipe import Recipe
from tests.support.manifests import manifest as any_manifest

pytest.importorskip("cv2")

SIZES = [
    (1920, 1080), (1080, 1920), (640, 427), (504, 504), (505, 505), (503, 343), (800, 600), (300, 300), (1003, 333),
    (98, 70), (504, 336), (333, 1003), (2000, 1500), (511, 504), (720, 720), (400, 1200), (1440, 1440), (97, 300),
    (1280, 720), (64, 48),
]  # fmt: skip
"""Of twenty photographs, as they come: large and small, upright and wide, one that fits as it is."""


def picture(width: int, height: int, seed: int = 0) -> Image.Image:
    """Structure at several scales, in colour."""
    generator = np.random.default_rng(seed)
    coarse = Image.fromarray(generator.integers(0, 256, (9, 12, 3), np.uint8)).resize((width, height))
    fine = generator.integers(-20, 21, (height, width, 3))
    return Image.fromarray(np.clip(np.asarray(coarse, np.int16) + fine, 0, 255).astype(np.uint8))


def jpeg(image: Image.Image, **options: Any) -> bytes:
    written = io.BytesIO()
    image.save(written, "JPEG", **{"quality": 90, **options})
    return written.getvalue()


@pytest.fixture(scope="module")
def photographs() -> list[bytes]:
    """Twenty JPEG files: every chroma subsampling, baseline and progressive, some grey, one turned by EXIF."""
    exif = Image.Exif()
    exif[0x0112] = 6
    found = []
    for index, size in enumerate(SIZES):
        image = picture(*size, seed=index)
        image = image.convert("L") if index % 7 == 3 else image
        options: dict[str, Any] = {"subsampling": index % 3, "progressive": index % 4 == 1}
        found.append(jpeg(image, **options, **({"exif": exif} if index == 5 else {})))
    return found


def test_the_pixels_of_twenty_photographs_are_upstreams(photographs: list[bytes]) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("depth_anything_3")
    from depthport.exporters.da3.processors import input_processor

    upstream = input_processor()
    scenes = [[one] for one in photographs] + [photographs[at : at + 4] for at in range(0, 20, 4)]
    with Preparation(Recipe(None), threads=2, oriented=False) as preparation:
        waiting = [preparation.start(scene) for scene in scenes]
        for scene, prepared in zip(scenes, (wait() for wait in waiting), strict=True):
            expected = upstream([Image.open(io.BytesIO(one)) for one in scene], None, None, 504, "upper_bound_resize")[0]
            np.testing.assert_array_equal(prepared.image[0], expected.numpy())


@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_has_pillows_bits(subsampling: int, progressive: bool) -> None:
    data = jpeg(picture(201, 133), subsampling=subsampling, progressive=progressive)
    assert read_header(data, "x").plain
    np.testing.assert_array_equal(decode_image(data, "x"), np.asarray(Image.open(io.BytesIO(data)).convert("RGB")))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_turned_as_pillow_turns_it(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = jpeg(picture(60, 40), exif=exif)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB"))
    np.testing.assert_array_equal(decode_image(data, "x", oriented=True), expected)
    np.testing.assert_array_equal(turned_upright(decode_image(data, "x"), orientation), expected)


def test_a_file_that_is_cut_is_refused_and_not_filled_with_grey() -> None:
    whole = jpeg(picture(640, 480))
    for length in (len(whole) // 2, len(whole) - 2):
        assert not read_header(whole[:length], "x").plain
    with pytest.raises(InputError, match=r"x is a damaged image \(.*truncated"):
        decode_image(whole[: len(whole) // 2], "x")


def test_threads_decode_at_once_without_touching_each_others_warnings(photographs: list[bytes]) -> None:
    import warnings

    before = list(warnings.filters)
    load_photographs(photographs[:8] * 3)
    assert warnings.filters == before


# -- the order of things


class Line:
    """Scenes 0, 1, ... whose stages note when they happen."""

    def __init__(self, count: int | None = None) -> None:
        self.count = count
        self.taken = 0
        self.events: list[tuple[str, int]] = []

    def scenes(self) -> Iterator[int]:
        for index in itertools.count() if self.count is None else range(self.count):
            self.taken = index + 1
            yield index

    def start(self, scene: int) -> Callable[[], int]:
        self.events.append(("start", scene))
        if scene % 5 == 3:
            raise InputError(f"scene {scene} is broken")

        def wait() -> int:
            if scene % 5 == 4:
                raise InputError(f"scene {scene} is damaged")
            return scene

        return wait

    def submit(self, scene: int) -> Callable[[], int]:
        self.events.append(("submit", scene))
        return lambda: 10 * scene


@pytest.mark.parametrize(("prepared", "submitted"), [(0, 0), (2, 0), (2, 2), (8, 1)])
def test_order_is_kept_and_a_broken_scene_is_one_item(prepared: int, submitted: int) -> None:
    line = Line(12)
    items = list(
        overlapped(line.scenes(), line.start, line.submit, prepared_ahead=prepared, submitted_ahead=lambda: submitted)
    )
    assert [item.index for item in items] == list(range(12))
    for item in items:
        assert (item.error is not None) == (item.index % 5 in (3, 4))
        assert item.result == (None if item.error else 10 * item.index)


@pytest.mark.parametrize(("prepared", "submitted"), [(0, 0), (3, 2)])
def test_an_endless_sequence_is_read_no_further_than_it_is_used(prepared: int, submitted: int) -> None:
    line = Line()
    items = overlapped(line.scenes(), line.start, line.submit, prepared_ahead=prepared, submitted_ahead=lambda: submitted)
    for _ in range(50):
        index = next(items).index
        assert line.taken <= index + prepared + submitted + 2
    items.close()
    assert line.taken < 60


def test_a_scene_that_does_not_fit_waits_until_the_others_are_through() -> None:
    line = Line(3)
    running: list[int] = []

    def submit(scene: int) -> Callable[[], int]:
        assert scene != 1 or not running
        running.append(scene)
        return lambda: running.pop(0)

    found = overlapped(
        line.scenes(), line.start, submit, prepared_ahead=2, submitted_ahead=lambda: 2, fits=lambda scene: scene != 1
    )
    assert [item.result for item in found] == [0, 1, 2]


def test_a_failing_runtime_ends_the_stream() -> None:
    def submit(scene: int) -> Callable[[], int]:
        raise RunError("the device is gone")

    line = Line(2)
    with pytest.raises(RunError, match="gone"):
        list(overlapped(line.scenes(), line.start, submit, prepared_ahead=1, submitted_ahead=lambda: 0))


# -- a device that decodes


class Decoder:
    """Stands for nvJPEG: gives each file's length, refuses what says so."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.held = threading.Event()

    def __call__(self, files: Sequence[bytes]) -> list[int]:
        self.held.wait(5)
        self.batches.append(len(files))
        if any(b"refuse me" in file for file in files):
            raise InputError("the device refuses a file")
        return [len(file) for file in files]


@pytest.fixture
def manifest() -> Manifest:
    """Of an artifact of one view that shrinks 128×96 pixels to 98×70 by itself."""
    return any_manifest(
        shape=Shape(1, 1, 70, 98),
        inputs=(TensorSpec("image", (1, 1, 96, 128, 3), "uint8"),),
        preprocessing={"where": "graph", "steps": steps_to_json(exact_steps((128, 96), 70, 98))},
    )


def test_waiting_files_are_decoded_together_and_a_refused_one_alone(manifest: Manifest) -> None:
    decoder = Decoder()
    scenes = [jpeg(picture(128, 96, seed), comment=b"refuse me" if seed == 4 else b"") for seed in range(12)]
    results: list[Any] = []
    with Preparation(Recipe(manifest, images=False), decoder=decoder, threads=2) as preparation:
        waiting = [preparation.start([scene]) for scene in scenes]
        time.sleep(0.2)
        decoder.held.set()
        for wait in waiting:
            try:
                results.append(wait().image)
            except DepthportError as error:
                results.append(str(error))
    assert results == [[len(scene)] if seed != 4 else "the device refuses a file" for seed, scene in enumerate(scenes)]
    assert max(decoder.batches) == DEVICE_BATCH


def test_what_does_not_suit_the_device_is_decoded_on_the_cpu(manifest: Manifest, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (128, 96)).save(tmp_path / "x.png")
    others: list[Any] = [
        jpeg(picture(64, 48)), jpeg(picture(128, 96), exif=exif), jpeg(picture(128, 96).convert("L")), tmp_path / "x.png",
        np.zeros((96, 128, 3), np.uint8),
    ]  # fmt: skip
    decoder = Decoder()
    decoder.held.set()
    recipe = Recipe(manifest)
    with Preparation(recipe, decoder=decoder, threads=1) as preparation:
        for other in others:
            prepared = preparation.start([other])()
            assert isinstance(prepared.image, np.ndarray) and prepared.image.shape == (1, 1, 96, 128, 3)
            assert prepared.rgb is not None and prepared.rgb.shape == (1, 70, 98, 3)
        with pytest.raises(InputError, match="not an image"):
            preparation.start([b"nothing"])()
    assert not decoder.batches


def test_all_that_is_done_to_a_photograph_is_written_down(manifest: Manifest) -> None:
    """The artifact's own resize too: a depth picture goes back to the photograph's pixels through all of it."""
    recipe = Recipe(manifest)
    (photograph,) = load_photographs([jpeg(picture(256, 192))])
    (steps,) = recipe.scene([recipe.view(photograph)]).steps
    assert steps == exact_steps((256, 192), 96, 128) + exact_steps((128, 96), 70, 98)
    assert steps_to_json(recipe.in_graph) == manifest.preprocessing["steps"]
