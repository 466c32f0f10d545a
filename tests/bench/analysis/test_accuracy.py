"""Depth and pose errors in closed form: known errors in, the same numbers out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from depthport.bench.analysis.accuracy import (
    camera_centres,
    depth_accuracy,
    depth_errors,
    median_scaled,
    pose_accuracy,
    scale_shifted,
    scene_accuracy,
)
from depthport.bench.analysis.parity import field_of_view_deg
from depthport.bench.inputs.inputs import load_scene
from depthport.exporters.core.artifact import Shape
from depthport.exporters.core.errors import InputError
from depthport.exporters.inputs.similarity import umeyama


def rotation(axis: str, degrees: float) -> np.ndarray:
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    turns = {"x": [[1, 0, 0], [0, c, -s], [0, s, c]], "y": [[c, 0, s], [0, 1, 0], [-s, 0, c]]}
    return np.array(turns.get(axis, [[c, -s, 0], [s, c, 0], [0, 0, 1]]))


def pose(turn: np.ndarray, centre: tuple[float, float, float]) -> np.ndarray:
    extrinsics = np.eye(4)
    extrinsics[:3, :3], extrinsics[:3, 3] = turn, -turn @ np.array(centre)
    return extrinsics


POSES = np.stack(
    [
        pose(np.eye(3), (0, 0, 0)),
        pose(rotation("y", 20), (1, 0, 0)),
        pose(rotation("x", -10), (0, 2, 0)),
        pose(rotation("z", 5), (1, 1, 1)),
    ]
)[None]


def test_depth_errors_by_hand() -> None:
    errors = depth_errors(np.array([1.0, 2.0, 6.0, -1.0]), np.array([1.0, 2.5, 4.0, 1.0]))
    assert errors.abs_rel == pytest.approx((0 + 0.2 + 0.5 + 2) / 4)
    assert errors.rmse == pytest.approx(np.sqrt((0 + 0.25 + 4 + 4) / 4))
    assert errors.delta1 == 0.25  # 2.5 / 2 is exactly 1.25: not below; a depth that is not positive is wrong


def test_alignments_undo_what_they_can() -> None:
    truth = np.linspace(1, 9, 100)
    np.testing.assert_allclose(median_scaled(truth * 3.7, truth), truth)
    np.testing.assert_allclose(scale_shifted(truth * 0.2 + 5, truth), truth)
    np.testing.assert_allclose(scale_shifted(np.full(100, 2.0), truth), truth.mean())
    assert median_scaled(-truth, truth)[0] == -1


def test_depth_accuracy_aligns_each_scene_but_not_each_view() -> None:
    truth = np.random.default_rng(0).uniform(1, 5, (2, 3, 8, 9))
    factors = np.array([0.1, 40.0])[:, None, None, None]
    perfect = depth_accuracy(truth * factors, truth)
    assert perfect["abs_rel"] == pytest.approx(0, abs=1e-12) and perfect["delta1"] == 1
    assert perfect["rmse_scale_shift"] == pytest.approx(0, abs=1e-12)
    uneven = truth.copy()
    uneven[0, 1] *= 2
    assert depth_accuracy(uneven, truth)["abs_rel"] > 0.1


def test_pixels_without_truth_do_not_count() -> None:
    truth = np.full((1, 1, 4, 4), 2.0)
    depth = truth.copy()
    truth[0, 0, 0], truth[0, 0, 1] = np.nan, 0
    depth[0, 0, :2] = np.inf
    assert depth_accuracy(depth, truth)["abs_rel"] == 0
    assert depth_accuracy(depth, np.full_like(truth, np.nan)) == {}
    depth[0, 0, 3, 3] = np.nan
    assert depth_accuracy(depth, truth) == {}


def test_umeyama_recovers_a_known_similarity() -> None:
    points = np.random.default_rng(1).normal(size=(6, 3))
    turn, shift = rotation("x", 33) @ rotation("z", -70), np.array([1.0, -2, 3])
    found = umeyama(source=points, target=0.3 * points @ turn.T + shift)
    assert found.scale == pytest.approx(0.3)
    np.testing.assert_allclose(found.rotation, turn, atol=1e-12)
    np.testing.assert_allclose(found.translation, shift)


def test_umeyama_makes_no_reflection() -> None:
    points = np.random.default_rng(2).normal(size=(6, 3))
    found = umeyama(source=points, target=points * [1, 1, -1])
    assert np.linalg.det(found.rotation) == pytest.approx(1)
    with pytest.raises(InputError, match="coincide"):
        umeyama(source=np.ones((3, 3)), target=points[:3])


def test_a_pose_in_another_frame_and_scale_is_right() -> None:
    world = pose(rotation("x", 80), (5, -3, 2))
    other = POSES @ np.linalg.inv(world)
    other[:, :, :3, 3] *= 7
    figures = pose_accuracy(other, POSES)
    assert set(figures) == {"rotation_deg", "translation_deg", "centre_error"}
    assert max(figures.values()) < 1e-5


def test_a_turned_camera_is_off_by_its_angle() -> None:
    off = POSES.copy()
    off[0, 2] = pose(rotation("z", 3) @ POSES[0, 2, :3, :3], (0, 2, 0))
    figures = pose_accuracy(off[..., :3, :], POSES)
    assert figures["rotation_deg"] == pytest.approx(3)
    assert figures["translation_deg"] == pytest.approx(0, abs=1e-6)


def test_a_moved_camera_is_off_by_its_direction() -> None:
    off = POSES.copy()
    off[0, 1] = pose(rotation("y", 20), (np.cos(np.radians(10)), np.sin(np.radians(10)), 0))
    figures = pose_accuracy(off, POSES)
    assert figures["translation_deg"] == pytest.approx(10)
    assert figures["rotation_deg"] == pytest.approx(0, abs=1e-6)
    assert 0 < figures["centre_error"] < 0.2


def test_figures_that_are_not_carried_are_left_out() -> None:
    assert pose_accuracy(POSES[:, :1], POSES[:, :1]) == {}
    assert set(pose_accuracy(POSES[:, :2], POSES[:, :2])) == {"rotation_deg", "translation_deg"}
    still = np.tile(np.eye(4), (1, 3, 1, 1))
    assert set(pose_accuracy(still, still)) == {"rotation_deg"}
    assert pose_accuracy(np.full_like(POSES, np.nan), POSES) == {}


def test_camera_centres() -> None:
    np.testing.assert_allclose(camera_centres(POSES[0])[3], [1, 1, 1])


def test_field_of_view_with_any_principal_point() -> None:
    centred = np.array([[50.0, 0, 50], [0, 50, 50], [0, 0, 1]])
    np.testing.assert_allclose(field_of_view_deg(centred, (100, 100)), [90, 90])
    corner = np.array([[100.0, 0, 0], [0, 100, 0], [0, 0, 1]])
    np.testing.assert_allclose(field_of_view_deg(corner, (100, 100)), [45, 45])


def test_a_scene_judges_what_it_knows() -> None:
    scene = load_scene(Shape(1, 2, 70, 98))
    assert scene.depth is not None and scene.extrinsics is not None and scene.intrinsics is not None
    perfect: dict[str, NDArray[Any]] = {
        "depth": np.nan_to_num(scene.depth, nan=1.0) * 5,
        "extrinsics": scene.extrinsics[..., :3, :],
        "intrinsics": scene.intrinsics,
    }
    figures = scene_accuracy(perfect, scene)
    assert figures["abs_rel"] < 1e-6 and figures["rotation_deg"] == 0 and figures["fov_deg"] == 0
    assert "centre_error" not in figures
    assert scene_accuracy({"depth": perfect["depth"]}, scene).keys().isdisjoint({"rotation_deg", "fov_deg"})
