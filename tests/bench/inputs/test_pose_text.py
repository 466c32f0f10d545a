"""Poses as TUM, KITTI and COLMAP write them, and what is said of cameras that are likely of another convention."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from depthport.bench.inputs.inputs import load_scenes
from depthport.bench.inputs.photographs import from_files
from depthport.bench.inputs.pose_files import posed, read_poses
from depthport.bench.inputs.scenes import look_at, pinhole
from depthport.exporters.core.artifact import Shape
from depthport.exporters.core.errors import InputError
from depthport.exporters.inputs.poses import invert
from tests.support.posed import raw_poses

WIDTH, HEIGHT, VIEWS = 196, 140, 4
POSES = raw_poses(1, VIEWS)[0]
FOCAL = 150.0


def quaternions(rotations: np.ndarray) -> np.ndarray:
    """(N, 4), x y z w, by the eigenvector of Bar-Itzhack's matrix: another way than the reader's inverse."""
    found = []
    for r in rotations:
        k = np.array(
            [
                [r[0, 0] - r[1, 1] - r[2, 2], r[1, 0] + r[0, 1], r[2, 0] + r[0, 2], r[2, 1] - r[1, 2]],
                [r[1, 0] + r[0, 1], r[1, 1] - r[0, 0] - r[2, 2], r[2, 1] + r[1, 2], r[0, 2] - r[2, 0]],
                [r[2, 0] + r[0, 2], r[2, 1] + r[1, 2], r[2, 2] - r[0, 0] - r[1, 1], r[1, 0] - r[0, 1]],
                [r[2, 1] - r[1, 2], r[0, 2] - r[2, 0], r[1, 0] - r[0, 1], np.trace(r)],
            ]
        )
        found.append(np.linalg.eigh(k)[1][:, -1])
    return np.array(found)


def photographs(folder: Path, names: list[str]) -> list[Path]:
    rng = np.random.default_rng(0)
    for name in names:
        Image.fromarray(rng.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)).save(folder / name)
    return [folder / name for name in names]


def table(rows: np.ndarray) -> str:
    return "\n".join(" ".join(f"{value:.9f}" for value in row) for row in rows) + "\n"


def tum(times: np.ndarray) -> str:
    to_world = invert(POSES)
    turned = quaternions(to_world[:, :3, :3])
    return "# timestamp tx ty tz qx qy qz qw\n" + table(np.column_stack((times, to_world[:, :3, 3], turned)))


def colmap(folder: Path, names: list[str], camera: str = f"PINHOLE {WIDTH} {HEIGHT} {FOCAL} {FOCAL} 98 70") -> None:
    turned = quaternions(POSES[:, :3, :3])[:, [3, 0, 1, 2]]
    rows = [
        f"{i + 1} {' '.join(f'{v:.9f}' for v in (*q, *pose[:3, 3]))} 1 {name}\n1.0 2.0 -1"
        for i, (q, pose, name) in enumerate(zip(turned, POSES, names, strict=True))
    ]
    rows[1] = rows[1].partition("\n")[0] + "\n"  # an image without points has an empty line
    (folder / "images.txt").write_text("# Image list with two lines of data per image:\n" + "\n".join(rows) + "\n")
    (folder / "cameras.txt").write_text(f"# Camera list\n1 {camera}\n")


def test_tum_is_matched_by_time_stamp(tmp_path: Path) -> None:
    times = np.array([1.0, 1.1, 1.2, 1.3])
    (tmp_path / "groundtruth.txt").write_text(tum(times))
    (tmp_path / "intrinsics.txt").write_text(f"{FOCAL} {FOCAL} 98 70\n")
    found = read_poses(tmp_path / "groundtruth.txt", [tmp_path / "1.209.png", tmp_path / "1.0.png"])
    np.testing.assert_allclose(found.extrinsics, POSES[[2, 0]], atol=1e-6)
    np.testing.assert_array_equal(found.intrinsics[1], [[FOCAL, 0, 98], [0, FOCAL, 70], [0, 0, 1]])
    with pytest.raises(InputError, match=r"has no pose for 1\.15\.png"):
        read_poses(tmp_path / "groundtruth.txt", [tmp_path / "1.15.png"])
    with pytest.raises(InputError, match=r"4 poses for 1 photographs and left\.png does not say which"):
        read_poses(tmp_path / "groundtruth.txt", [tmp_path / "left.png"])


def test_kitti_is_read_with_its_calibration(tmp_path: Path) -> None:
    (tmp_path / "00.txt").write_text(table(invert(POSES)[:, :3].reshape(VIEWS, 12)))
    projection = [FOCAL, 0, 98, 0, 0, FOCAL, 70, 0, 0, 0, 1, 0]
    (tmp_path / "calib.txt").write_text("P0: " + " ".join(map(str, projection)) + "\nTr: 1 0 0 0 0 1 0 0 0 0 1 0\n")
    found = read_poses(tmp_path / "00.txt")
    np.testing.assert_allclose(found.extrinsics, POSES, atol=1e-6)
    assert found.intrinsics[0, 0, 0] == FOCAL
    numbered = read_poses(tmp_path / "00.txt", [tmp_path / "000003.png"])
    np.testing.assert_allclose(numbered.extrinsics, POSES[3:], atol=1e-6)


@pytest.mark.parametrize("named", ["", "images.txt"])
def test_colmap_is_matched_by_name(tmp_path: Path, named: str) -> None:
    names = ["b.png", "a.png", "with blank.png", "c.png"]
    colmap(tmp_path, [f"cam/{name}" for name in names])
    paths = photographs(tmp_path, names)
    found = read_poses(tmp_path / named, paths[::-1])
    np.testing.assert_allclose(found.extrinsics, POSES[::-1], atol=1e-6)
    scene = load_scenes(Shape(1, 3, 70, 98), sets=1, images=paths[:3], poses=tmp_path)[0]
    np.testing.assert_allclose(scene.extrinsics[0], POSES[:3], atol=1e-6)
    assert scene.intrinsics[0, 0, 0, 0] == pytest.approx(FOCAL / 2) and not scene.notes


def test_colmap_lenses(tmp_path: Path) -> None:
    names = ["a.png", "b.png", "c.png", "d.png"]
    paths = photographs(tmp_path, names)
    colmap(tmp_path, names, f"SIMPLE_RADIAL {WIDTH} {HEIGHT} {FOCAL} 98 70 0.05")
    assert "lens distortion is left out" in read_poses(tmp_path, paths).notes[0]
    colmap(tmp_path, names, f"OPENCV_FISHEYE {WIDTH} {HEIGHT} {FOCAL} {FOCAL} 98 70 0 0 0 0")
    with pytest.raises(InputError, match="not a pinhole model"):
        read_poses(tmp_path, paths)
    colmap(tmp_path, names, "PINHOLE 400 300 300 300 200 150")
    with pytest.raises(InputError, match="is for images of 400x300, the photograph has 196x140"):
        posed(from_files(paths), read_poses(tmp_path, paths))
    (tmp_path / "cameras.txt").unlink()
    (tmp_path / "cameras.bin").write_bytes(b"")
    with pytest.raises(InputError, match="model_converter"):
        read_poses(tmp_path, paths)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (table(POSES[:, :3].reshape(VIEWS, 12)[:, :11]), "rows of 11 numbers"),
        ("a b c\n", r"is not a pose file \(at 'a b c'\)"),
        (tum(np.arange(VIEWS)), "holds poses and no intrinsics: write fx fy cx cy"),
        (table(np.ones((VIEWS, 8))), "has length 2, not 1"),
        ("", "rows of no numbers"),
    ],
)
def test_other_text_is_one_line(tmp_path: Path, content: str, complaint: str) -> None:
    (tmp_path / "poses.txt").write_text(content)
    with pytest.raises(InputError, match=complaint) as raised:
        read_poses(tmp_path / "poses.txt")
    assert "\n" not in str(raised.value)


def test_a_single_array_is_one_line(tmp_path: Path) -> None:
    np.save(tmp_path / "poses.npy", POSES)
    with pytest.raises(InputError, match="holds a single array: save both with"):
        read_poses(tmp_path / "poses.npy")


def inward(views: int = 5) -> np.ndarray:
    angles = np.linspace(-0.6, 0.6, views)
    eyes = np.stack([4 * np.sin(angles), -0.3 * np.cos(3 * angles), -4 * np.cos(angles)], -1)
    return np.stack([look_at(eye, np.zeros(3)) for eye in eyes])


FLIP = np.diag([1.0, -1.0, -1.0, 1.0])


@pytest.mark.parametrize(
    ("poses", "doubt"),
    [
        (inward(), None),
        (invert(inward()), "if they are camera to world:"),
        (FLIP @ inward(), "if they are of OpenGL's axes"),
        (invert(FLIP @ inward()), "if they are camera to world with OpenGL's axes"),
        (np.tile(np.eye(4), (5, 1, 1)), None),
        (np.tile(np.eye(4), (5, 1, 1)) + np.arange(5)[:, None, None] * np.eye(4, 4, 3), None),  # along x
    ],
    ids=["said", "camera to world", "OpenGL", "OpenGL to world", "one place", "one direction"],
)
def test_a_likelier_convention_is_named(tmp_path: Path, poses: np.ndarray, doubt: str | None) -> None:
    paths = photographs(tmp_path, [f"{index}.png" for index in range(5)])
    np.savez(tmp_path / "p.npz", extrinsics=poses, intrinsics=np.tile(pinhole(HEIGHT, WIDTH), (5, 1, 1)))
    notes = load_scenes(Shape(1, 5, 70, 98), sets=1, images=paths, poses=tmp_path / "p.npz")[0].notes
    assert (doubt in notes[0]) if doubt else not notes


def test_intrinsics_of_another_resolution(tmp_path: Path) -> None:
    paths = photographs(tmp_path, ["0.png", "1.png"])
    poses = np.tile(np.eye(4), (2, 1, 1))
    for scale, complaint in ((0.5, None), (4.0, "belong to another resolution or crop")):
        matrices = np.tile(np.diag([scale, scale, 1.0]) @ pinhole(HEIGHT, WIDTH), (2, 1, 1))
        np.savez(tmp_path / "p.npz", extrinsics=poses, intrinsics=matrices)
        given = read_poses(tmp_path / "p.npz")
        if complaint is None:
            assert "look like those of a resolution 0.5 times" in posed(from_files(paths), given).notes[0]
        else:
            with pytest.raises(InputError, match=complaint):
                posed(from_files(paths), given)


@pytest.mark.parametrize(
    ("camera", "complaint"),
    [
        ("PINHOLE nan 140 50 50 98 70", "not finite"),
        ("PINHOLE inf 140 50 50 98 70", "not finite"),
        ("PINHOLE 1e400 140 50 50 98 70", "not finite"),
        ("PINHOLE 0 140 50 50 98 70", "image size 0x140"),
        (f"PINHOLE {WIDTH} 1e9 50 50 98 70", "has image size"),
        (f"PINHOLE {WIDTH} {HEIGHT} 1e308 1e308 98 70", "no image is that large"),
    ],
)
def test_cameras_that_are_none_are_one_line(tmp_path: Path, camera: str, complaint: str) -> None:
    colmap(tmp_path, [f"{index}.png" for index in range(len(POSES))], camera)
    with pytest.raises(InputError, match=complaint):
        read_poses(tmp_path)


@pytest.mark.parametrize(("focal", "complaint"), [(1e9, "under 0.01 degrees"), (0.5, "over 170 degrees")])
def test_a_field_of_view_that_no_lens_has(focal: float, complaint: str) -> None:
    from depthport.exporters.inputs.cameras import check_size

    matrix = np.array([[[focal, 0, 98], [0, focal, 70], [0, 0, 1.0]]])
    with pytest.raises(InputError, match=complaint):
        check_size(matrix, np.array([[HEIGHT, WIDTH]]))
