"""Photographs to predictions with a real export, against upstream's own processors and network."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from depthport.exporters.core.errors import InputError, UsageError, WeightsError
from depthport.exporters.core.store import ArtifactStore
from depthport.exporters.inputs.preprocess import apply_to_intrinsics, exact_steps, scene_steps
from depthport.predict.cameras import quaternion
from depthport.predict.cloud import unproject
from depthport.predict.files import KINDS, write_prediction
from depthport.predict.model import load
from depthport.predict.photographs import frames_of, load_photographs
from depthport.predict.prediction import Prediction, intrinsics_to_photograph, to_photograph
from depthport.predict.sequence import predict_sequence, write_sequence

torch = pytest.importorskip("torch")
pytest.importorskip("onnxruntime")
pytest.importorskip("depth_anything_3")

from depthport.exporters.da3.processors import input_processor  # noqa: E402

SMALL = 98
"""Longest side, for speed."""


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three of different sizes, the last lying on its side by EXIF."""
    data = pytest.importorskip("skimage.data")
    folder = tmp_path_factory.mktemp("photographs")
    paths = []
    for name in ("astronaut", "coffee", "chelsea"):
        path = folder / f"{name}.png"
        Image.fromarray(getattr(data, name)()).save(path)
        paths.append(path)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(data.rocket()).save(folder / "rocket.jpg", exif=exif, quality=95)
    return [*paths, folder / "rocket.jpg"]


@pytest.fixture(scope="module")
def prediction(photographs: list[Path], store: ArtifactStore) -> Prediction:
    with load("da3-small", weights="synthetic:0", runtime="onnxruntime", device="cpu", store=store) as model:
        return model(photographs[:2], process_res=SMALL)


@pytest.mark.parametrize("oriented", [False, True])
def test_it_is_upstreams_inference(photographs: list[Path], store: ArtifactStore, oriented: bool) -> None:
    from depthport.exporters.da3.build import named_upstream
    from depthport.exporters.da3.upstream import upstream_forward

    pair = [photographs[0], photographs[3]]
    with load("da3-small", weights="synthetic:0", runtime="onnxruntime", device="cpu", store=store) as model:
        found = model(pair, process_res=SMALL, oriented=oriented)
    # Upstream never looks at EXIF: turned photographs are given to it as pixels.
    given = [str(path) for path in pair] if not oriented else [one.rgb for one in load_photographs(pair)]
    pixels = input_processor()(given, None, None, SMALL, "upper_bound_resize")[0]
    network = named_upstream("da3-small", "synthetic:0")
    expected = upstream_forward(network, pixels[None])
    assert found.processed_images is not None and found.processed_images.shape[1:3] == tuple(pixels.shape[2:])
    for name, array in (("depth", found.depth), ("extrinsics", found.extrinsics), ("intrinsics", found.intrinsics)):
        wanted = expected[name][0].numpy()
        assert np.linalg.norm(array - wanted) <= 1e-5 * np.linalg.norm(wanted), name


def test_every_file_is_what_it_says(prediction: Prediction, tmp_path: Path) -> None:
    trimesh = pytest.importorskip("trimesh")
    written = write_prediction(prediction, tmp_path / "out", KINDS)
    names = {path.relative_to(tmp_path / "out").as_posix() for path in written}
    assert names == {
        "depth-000-astronaut.png", "depth-001-coffee.png", "depth16-000-astronaut.png", "depth16-001-coffee.png",
        "prediction.npz", "points.ply", "points.glb", "poses.json", "poses.tum",
        "colmap/cameras.txt", "colmap/images.txt", "colmap/points3D.txt",
    }  # fmt: skip
    with Image.open(tmp_path / "out" / "depth16-000-astronaut.png") as picture:
        values = np.asarray(picture, np.float64) * float(picture.text["depth_scale"])
        assert "not valid" in picture.text["depth_note"]
    assert np.abs(values - prediction.depth[0]).max() <= float(prediction.depth[0].max()) / 65535
    with np.load(tmp_path / "out" / "prediction.npz", allow_pickle=False) as arrays:
        assert np.array_equal(arrays["depth"], prediction.depth) and arrays["conf"].shape == prediction.depth.shape
        assert json.loads(str(arrays["preprocessing"]))[1]["photograph"] == "coffee.png"
    cloud = trimesh.load(tmp_path / "out" / "points.ply")
    assert 0 < len(cloud.vertices) <= prediction.depth.size


def test_poses_written_are_poses_read(prediction: Prediction, tmp_path: Path) -> None:
    from depthport.bench.inputs.pose_files import read_poses

    write_prediction(prediction, tmp_path, ["json"])
    poses = read_poses(tmp_path / "poses.json")
    assert prediction.extrinsics is not None
    assert np.allclose(poses.extrinsics[:, :3], prediction.extrinsics, atol=1e-7)


def test_a_pixel_goes_to_the_world_and_back(prediction: Prediction) -> None:
    assert prediction.intrinsics is not None and prediction.extrinsics is not None
    points = unproject(prediction.depth, prediction.intrinsics, prediction.extrinsics)
    pose, matrix = prediction.extrinsics[1].astype(np.float64), prediction.intrinsics[1].astype(np.float64)
    camera = points[1, 20, 30] @ pose[:, :3].T + pose[:, 3]
    pixel = matrix @ camera / camera[2]
    assert pixel[:2] == pytest.approx([30.5, 20.5], abs=1e-3)
    assert camera[2] == pytest.approx(float(prediction.depth[1, 20, 30]), rel=1e-5)


@pytest.mark.parametrize("size", [(640, 427), (427, 640), (98, 70), (1003, 333)])
def test_maps_and_cameras_come_back_to_the_photograph(size: tuple[int, int]) -> None:
    for steps in (scene_steps([size, (300, 300)], SMALL)[0], exact_steps(size, 70, 98)):
        width, height = size
        matrix = np.array([[500.0, 0, width / 2], [0, 510.0, height / 2], [0, 0, 1]])
        assert intrinsics_to_photograph(apply_to_intrinsics(matrix, steps), steps) == pytest.approx(matrix)
        shape = (steps[-1].height, steps[-1].width) if steps else (height, width)
        back = to_photograph(np.full(shape, 2.5, np.float32), steps, size)
        assert back.shape == (height, width)
        assert np.isfinite(back[height // 2, width // 2]) and np.all(back[np.isfinite(back)] == 2.5)


def test_quaternions_of_known_rotations() -> None:
    assert quaternion(np.eye(3)) == pytest.approx([1, 0, 0, 0])
    assert np.abs(quaternion(np.diag([1.0, -1.0, -1.0]))) == pytest.approx([0, 1, 0, 0])
    quarter = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    assert quaternion(quarter) == pytest.approx([np.sqrt(0.5), 0, 0, np.sqrt(0.5)])


def test_a_video_and_a_folder(photographs: list[Path], tmp_path: Path) -> None:
    cv2 = pytest.importorskip("cv2")
    video = cv2.VideoWriter(str(tmp_path / "walk.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 10, (98, 70))
    for level in range(0, 200, 10):
        video.write(np.full((70, 98, 3), level, np.uint8))
    video.release()
    frames = load_photographs([tmp_path / "walk.avi"], frames=4)
    assert [frame.name for frame in frames] == ["walk.avi#0", "walk.avi#6", "walk.avi#12", "walk.avi#19"]
    assert [one.name for one in load_photographs([photographs[0].parent])] == [
        "astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg",
    ]  # fmt: skip


def test_orientation_is_honoured_unless_upstream_is_wanted(photographs: list[Path]) -> None:
    upright, stored = (load_photographs([photographs[3]], oriented=oriented)[0] for oriented in (True, False))
    assert upright.size == stored.size[::-1]
    assert np.array_equal(upright.rgb, np.rot90(stored.rgb, -1))


def test_random_weights_are_never_taken_silently(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    with pytest.raises(WeightsError, match="pass --weights synthetic:0"):
        load("da3-small")


def test_what_can_not_be_predicted_is_one_line(photographs: list[Path], store: ArtifactStore, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no photographs"):
        load_photographs([])
    with pytest.raises(InputError, match="holds no pictures"):
        load_photographs([tmp_path])
    (tmp_path / "walk.mp4").write_bytes(b"not a video")
    with pytest.raises(InputError, match="no decodable frames"):
        load_photographs([tmp_path / "walk.mp4"])
    with pytest.raises(InputError, match="uint8 of shape"):
        load_photographs([np.zeros((3, 8, 8), np.float32)])
    with pytest.raises(UsageError, match="is not an artifact"):
        load(tmp_path)
    from tests.conftest import export_small

    artifact = export_small(store, "onnx", views=2).artifact
    with (
        load(artifact.path, runtime="onnxruntime", device="cpu") as model,
        pytest.raises(InputError, match="the artifact takes 2 photographs and 3 came"),
    ):
        model(photographs[:3])
    with (
        load(artifact.path, runtime="onnxruntime", device="cpu") as model,
        pytest.raises(UsageError, match="no other longest side"),
    ):
        model(photographs[:2], process_res=280)
    with pytest.raises(UsageError, match="unknown kind"):
        write_prediction(Prediction(np.zeros((1, 2, 2), np.float32), 0), tmp_path, ["exr"])


def test_a_stream_gives_what_each_scene_gives_and_goes_on_after_a_broken_one(
    photographs: list[Path], store: ArtifactStore, tmp_path: Path
) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"no photograph")
    turned = photographs[3].read_bytes()
    scenes: list[list[Path | bytes]] = [[photographs[0]], [tmp_path / "broken.jpg"], [photographs[1]], [turned]]
    with load("da3-small", weights="synthetic:0", runtime="onnxruntime", device="cpu", store=store) as model:
        items = list(model.stream(scenes, process_res=SMALL))
        # Shapes differ from scene to scene: each gets an artifact of its own, in its turn.
        alone = [model(scene, process_res=SMALL) for scene in scenes if scene != scenes[1]]
    assert [item.index for item in items] == [0, 1, 2, 3]
    assert items[1].result is None and "not an image" in str(items[1].error)
    for item, expected in zip([items[0], items[2], items[3]], alone, strict=True):
        assert item.result is not None and item.result.steps == expected.steps
        np.testing.assert_array_equal(item.result.depth, expected.depth)
    assert alone[0].placement["decoded"] == "cpu"


def test_decoding_on_a_device_that_decodes_nothing_is_refused(photographs: list[Path], store: ArtifactStore) -> None:
    with load("da3-small", weights="synthetic:0", runtime="onnxruntime", device="cpu", store=store) as model:
        with pytest.raises(UsageError, match="--source-size"):
            model(photographs[:1], decoder="device")
        with pytest.raises(UsageError, match="--source-size"):
            next(model.stream([photographs[:1]], decoder="device"))


def test_a_sequence_of_windows_is_one_path(photographs: list[Path], store: ArtifactStore, tmp_path: Path) -> None:
    """Files, one of them broken, through windows of two frames that share one."""
    (tmp_path / "in").mkdir()
    for index, at in enumerate((0, 1, 2, 0)):
        with Image.open(photographs[at]) as image:
            image.convert("RGB").resize((98, 70)).save(tmp_path / "in" / f"{index}.png")
    (tmp_path / "in" / "1b.jpg").write_bytes(b"nothing")
    left_out: list[int] = []
    with load("da3-small", weights="synthetic:0", runtime="onnxruntime", device="cpu", store=store) as model:
        found = predict_sequence(
            model, frames_of(tmp_path / "in"), views=2, overlap=1, process_res=SMALL,
            broken=lambda index, error: left_out.append(index),
        )  # fmt: skip
        assert write_sequence(found, tmp_path / "out") == 4
        first = model([tmp_path / "in" / "0.png", tmp_path / "in" / "1.png"], process_res=SMALL)
    assert left_out == [2]
    lines = (tmp_path / "out" / "poses.tum").read_text().splitlines()
    assert [int(line.split()[0]) for line in lines] == [0, 1, 2, 3]
    with np.load(tmp_path / "out" / "depth" / "000001.npz") as arrays:
        np.testing.assert_array_equal(arrays["depth"], first.depth[1])
