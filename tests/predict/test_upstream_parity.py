"""Twenty photographs of mixed sizes and orientations: our pixels and depth beside upstream's own processing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from depthport.exporters.core.store import ArtifactStore
from depthport.predict.model import Model, load
from depthport.predict.photographs import Photograph, load_photographs
from depthport.predict.prediction import Prediction
from tests.conftest import export_small

torch = pytest.importorskip("torch")
pytest.importorskip("onnxruntime")
pytest.importorskip("depth_anything_3")

from depthport.exporters.da3.processors import input_processor  # noqa: E402

LONGEST = 98
"""Side at which the network sees them, for speed; pixels are compared at upstream's own 504 too."""
SCENES = [[0, 1, 2], [3, 4], [5, 6, 7, 8], [9, 10], [11, 12, 13, 14, 15], [16, 17, 18, 19]]
EXIF_ORIENTATION = 0x0112
UPRIGHT: dict[int, Callable[[NDArray[Any]], NDArray[Any]]] = {
    1: lambda rgb: rgb,
    2: lambda rgb: rgb[:, ::-1],
    3: lambda rgb: rgb[::-1, ::-1],
    4: lambda rgb: rgb[::-1],
    5: lambda rgb: rgb.swapaxes(0, 1),
    6: lambda rgb: np.rot90(rgb, -1),
    7: lambda rgb: rgb[::-1, ::-1].swapaxes(0, 1),
    8: lambda rgb: np.rot90(rgb),
}
"""What each EXIF orientation asks of the pixels as they are stored (CIPA DC-008, 4.6.5.1)."""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Five pictures, each in four crops; every EXIF orientation is among them, and colour, grey and transparency."""
    data = pytest.importorskip("skimage.data")
    folder = tmp_path_factory.mktemp("twenty")
    random = np.random.default_rng(20)
    paths: list[Path] = []
    for name in ("astronaut", "coffee", "chelsea", "rocket", "camera"):
        whole = np.asarray(getattr(data, name)())
        for _ in range(4):
            number = len(paths)
            height, width = (int(random.integers(side // 3, side + 1)) for side in whole.shape[:2])
            top, left = (
                int(random.integers(0, side - own + 1)) for side, own in zip(whole.shape, (height, width), strict=False)
            )
            picture = Image.fromarray(whole[top : top + height, left : left + width])
            if number % 7 == 3:
                picture = picture.convert("RGBA")
            exif = Image.Exif()
            exif[EXIF_ORIENTATION] = number % 8 + 1
            paths.append(folder / f"{number:02}-{name}.{'png' if picture.mode == 'RGBA' else 'jpg'}")
            picture.save(paths[-1], exif=exif)
    assert len({Image.open(path).size for path in paths}) == len(paths) == sum(map(len, SCENES)) == 20
    return paths


def test_pixels_are_upright_as_exif_says(files: list[Path]) -> None:
    for number, path in enumerate(files):
        with Image.open(path) as picture:
            stored = np.asarray(picture.convert("RGB"))
        upright = UPRIGHT[number % 8 + 1](stored)
        assert np.array_equal(load_photographs([path])[0].rgb, upright), path.name
        assert np.array_equal(load_photographs([path], oriented=False)[0].rgb, stored), path.name


@pytest.mark.parametrize("longest", [LONGEST, 504])
@pytest.mark.parametrize("scene", SCENES, ids=str)
def test_pixels_are_upstreams_bit_for_bit(files: list[Path], scene: list[int], longest: int) -> None:
    from depthport.exporters.inputs.preprocess import apply_to_rgb, normalise, scene_steps

    paths = [files[number] for number in scene]
    views = load_photographs(paths, oriented=False)
    steps = scene_steps([view.size for view in views], longest)
    ours = normalise(np.stack([apply_to_rgb(view.rgb, own) for view, own in zip(views, steps, strict=True)])[None])
    theirs = input_processor()([str(path) for path in paths], None, None, longest, "upper_bound_resize")[0]
    assert np.array_equal(ours[0], theirs.numpy())


@pytest.fixture(scope="module")
def model(store: ArtifactStore) -> Any:
    """One artifact of any number of views and any size."""
    pytest.importorskip("onnxscript")
    artifact = export_small(store, "onnx", views=2, dynamic=["views", "size"]).artifact
    with load(artifact.path, runtime="onnxruntime", device="cpu") as opened:
        yield opened


@pytest.fixture(scope="module")
def upstream() -> Callable[[list[Photograph]], Prediction]:
    """Upstream's input processing, network and output processing, of photographs that stand upright."""
    from depth_anything_3.utils.io.output_processor import OutputProcessor

    from depthport.exporters.da3.build import named_upstream

    network = named_upstream("da3-small", "synthetic:0")

    def infer(views: list[Photograph]) -> Any:
        pixels = input_processor()([view.rgb for view in views], None, None, LONGEST, "upper_bound_resize")[0]
        with torch.inference_mode():
            return OutputProcessor()(network(pixels[None]))

    return infer


@pytest.mark.parametrize("scene", SCENES, ids=str)
def test_depth_and_cameras_are_upstreams(
    files: list[Path], scene: list[int], model: Model, upstream: Callable[[list[Photograph]], Any]
) -> None:
    views = load_photographs([files[number] for number in scene])
    found, wanted = model.predict(views, process_res=LONGEST), upstream(views)
    for name in ("depth", "conf", "extrinsics", "intrinsics"):
        ours, theirs = np.asarray(getattr(found, name)), np.asarray(getattr(wanted, name))
        assert ours.shape == theirs.shape
        assert np.linalg.norm(ours - theirs) <= 1e-5 * np.linalg.norm(theirs), name
