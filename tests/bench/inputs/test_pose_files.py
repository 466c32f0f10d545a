"""Poses from a file: what is read, how it reaches the inputs, and what is refused in one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from depthport.bench.inputs.inputs import describe, load_scenes
from depthport.bench.inputs.pose_files import read_poses
from depthport.exporters.core.artifact import Shape
from depthport.exporters.core.errors import InputError
from depthport.exporters.inputs.poses import normalise_extrinsics
from tests.support.posed import cameras, raw_poses


@pytest.fixture
def files(tmp_path: Path) -> Any:
    """Four photographs of 140×196 and an `.npz` of their poses."""
    rng = np.random.default_rng(0)
    paths = [tmp_path / f"{index}.png" for index in range(4)]
    for path in paths:
        Image.fromarray(rng.integers(0, 256, (140, 196, 3), dtype=np.uint8)).save(path)
    np.savez(tmp_path / "poses.npz", extrinsics=raw_poses(1, 4)[0], intrinsics=cameras(1, 4, 140, 196)[0])
    return tmp_path, paths


def test_poses_reach_the_inputs(files: Any) -> None:
    folder, paths = files
    scene = load_scenes(Shape(2, 2, 70, 98), sets=1, images=paths, poses=folder / "poses.npz")[0]
    arrays = scene.arrays(pose_input=True)
    poses = raw_poses(1, 4)[0].reshape(2, 2, 4, 4)
    np.testing.assert_array_equal(arrays["extrinsics"], normalise_extrinsics(poses))
    # Half the size: half the focal lengths and principal points.
    halved = cameras(1, 4, 140, 196)[0].reshape(2, 2, 3, 3) * np.array([[0.5], [0.5], [1]])
    np.testing.assert_allclose(arrays["intrinsics"], halved, rtol=1e-6)
    assert scene.calibrated == (True, True)


@pytest.mark.parametrize("changed", ["extrinsics", "intrinsics"])
def test_cameras_belong_to_the_identity_of_the_inputs(files: Any, changed: str) -> None:
    folder, paths = files
    content = dict(np.load(folder / "poses.npz"))
    content[changed][2, 0, -1] += 1.0
    np.savez(folder / "other.npz", **content)
    first, again, other = (
        load_scenes(Shape(1, 4, 70, 98), sets=2, images=paths, poses=folder / name)
        for name in ("poses.npz", "poses.npz", "other.npz")
    )
    np.testing.assert_array_equal(first[0].rgb, other[0].rgb)
    assert [scene.sha256 for scene in first] == [scene.sha256 for scene in again]
    assert all(one.sha256 != two.sha256 for one, two in zip(first, other, strict=True))
    assert describe(first)["sha256"] != describe(other)["sha256"]


def test_json_and_short_poses_are_read(tmp_path: Path) -> None:
    path = tmp_path / "poses.json"
    poses = raw_poses(2, 3)
    content = {"extrinsics": poses[..., :3, :].tolist(), "intrinsics": cameras(2, 3, 70, 98).tolist()}
    path.write_text(json.dumps(content))
    found = read_poses(path)
    np.testing.assert_allclose(found.extrinsics, poses.reshape(6, 4, 4))
    assert found.intrinsics.shape == (6, 3, 3)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ({"extrinsics": np.tile(np.eye(4), (4, 1, 1))}, "has no intrinsics"),
        ({"intrinsics": np.tile(np.eye(3), (4, 1, 1))}, "has no extrinsics"),
        ({"extrinsics": np.zeros((4, 4, 4)), "intrinsics": np.tile(np.eye(3), (4, 1, 1))}, "not invertible"),
        ({"extrinsics": np.full((4, 4, 4), np.nan), "intrinsics": np.tile(np.eye(3), (4, 1, 1))}, "not finite"),
        ({"extrinsics": np.tile(np.eye(4), (3, 1, 1)), "intrinsics": cameras(1, 3, 140, 196)[0]}, "3 poses for 4"),
        ({"extrinsics": np.eye(4), "intrinsics": np.eye(3)}, "have 2 axes"),
    ],
)
def test_bad_poses_are_one_line(files: Any, content: dict[str, Any], complaint: str) -> None:
    folder, paths = files
    np.savez(folder / "bad.npz", **content)
    with pytest.raises(InputError, match=complaint) as raised:
        load_scenes(Shape(1, 4, 70, 98), sets=1, images=paths, poses=folder / "bad.npz")
    assert "\n" not in str(raised.value) and raised.value.exit_code == 2


@pytest.mark.parametrize("content", [b"", b"no archive", b'{"extrinsics": '])
@pytest.mark.parametrize("suffix", [".npz", ".json"])
def test_files_that_are_none_are_one_line(tmp_path: Path, content: bytes, suffix: str) -> None:
    path = tmp_path / f"poses{suffix}"
    path.write_bytes(content)
    with pytest.raises(InputError) as raised:
        read_poses(path)
    assert "\n" not in str(raised.value)


def test_poses_ask_for_images(files: Any) -> None:
    with pytest.raises(InputError, match="name their photographs with --images"):
        load_scenes(Shape(1, 4, 70, 98), sets=1, poses=files[0] / "poses.npz")


def test_scenes_of_photographs_to_resize(files: Any) -> None:
    _, paths = files
    scene = load_scenes(Shape(1, 4, 70, 98), sets=1, images=paths, source_size=(140, 196))[0]
    assert scene.arrays(preprocess=True)["image"].shape == (1, 4, 140, 196, 3)
    assert scene.arrays()["image"].shape == (1, 4, 3, 70, 98)
    assert scene.intrinsics[0, 0, 0, 2] == 49
