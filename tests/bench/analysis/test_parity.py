"""Closed forms of every parity figure, and the gate."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from depthport.bench.analysis.parity import (
    LIMITS,
    angle_between_deg,
    depth_parity,
    extrinsics_parity,
    intrinsics_parity,
    parity,
    relative_l2,
    rotation_angle_deg,
    violation,
    worst,
)
from depthport.exporters.core.precision import POLICIES


def rotation_z(degrees: float) -> np.ndarray:
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])


def pose(degrees: float, translation: tuple[float, float, float]) -> np.ndarray:
    pose: NDArray[Any] = np.concatenate([rotation_z(degrees), np.array(translation)[:, None]], axis=1)
    return pose[None, None].astype(np.float32)


def test_relative_l2() -> None:
    reference = np.array([3.0, 4.0], np.float32)
    assert relative_l2(reference, reference) == 0
    assert relative_l2(reference + np.array([0.5, 0], np.float32), reference) == pytest.approx(0.1)
    assert relative_l2(np.array([2.0]), np.array([0.0])) == 2


def test_depth_off_by_a_factor() -> None:
    reference = np.linspace(1, 10, 100, dtype=np.float32).reshape(1, 1, 10, 10)
    figures = depth_parity(reference * np.float32(1.2), reference)
    assert figures["rel_l2"] == pytest.approx(0.2, rel=1e-5)
    assert figures["abs_rel"] == pytest.approx(0.2, rel=1e-5)
    assert figures["max_abs"] == pytest.approx(2.0, rel=1e-5)
    assert figures["delta1"] == 1.0
    assert depth_parity(reference * np.float32(1.3), reference)["delta1"] == 0.0
    assert depth_parity(reference / np.float32(1.3), reference)["delta1"] == 0.0


@pytest.mark.parametrize("degrees", [0.0, 1e-5, 0.3, 45.0, 179.0])
def test_rotation_angle_keeps_its_digits_near_zero(degrees: float) -> None:
    assert rotation_angle_deg(rotation_z(degrees), rotation_z(0.0)) == pytest.approx(degrees, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("degrees", [0.0, 1e-6, 30.0, 180.0])
def test_angle_between_vectors(degrees: float) -> None:
    found = angle_between_deg(5 * rotation_z(degrees)[:, 0], np.array([2.0, 0, 0]))
    assert found == pytest.approx(degrees, rel=1e-9, abs=1e-12)


def test_extrinsics_rotated_and_moved() -> None:
    figures = extrinsics_parity(pose(10, (0, 1, 0)), pose(0, (1, 0, 0)))
    assert figures["rotation_deg"] == pytest.approx(10, rel=1e-5)
    assert figures["translation_deg"] == pytest.approx(90, rel=1e-5)


def test_a_view_at_the_origin_has_no_direction_to_compare() -> None:
    reference = np.concatenate([pose(0, (0, 0, 0)), pose(0, (1, 0, 0))], axis=1)
    value = np.concatenate([pose(0, (0, 1e-9, 0)), pose(0, (1, 0, 0))], axis=1)
    assert extrinsics_parity(value, reference)["translation_deg"] == 0


def test_field_of_view() -> None:
    def intrinsics(focal: float) -> np.ndarray:
        return np.array([[focal, 0, 252], [0, focal, 252], [0, 0, 1]], np.float32)[None, None]

    figures = intrinsics_parity(intrinsics(252.0), intrinsics(252.0 * np.sqrt(3)), (504, 504))
    assert figures["fov_deg"] == pytest.approx(30, rel=1e-5)


def test_field_of_view_of_a_principal_point_off_the_centre_is_that_of_the_image() -> None:
    # Cameras fitted to rays have such: twice the angle to one side would be another camera's.
    def intrinsics(centre: float) -> np.ndarray:
        return np.array([[100, 0, centre], [0, 100, 50], [0, 0, 1]], np.float32)[None, None]

    figures = intrinsics_parity(intrinsics(0.0), intrinsics(50.0), (100, 100))
    assert figures["fov_deg"] == pytest.approx(2 * np.degrees(np.arctan(0.5)) - 45, rel=1e-5)


def test_parity_by_name_and_worst_of_several() -> None:
    depth = np.full((1, 1, 2, 2), 2.0, np.float32)
    reference = {"depth": depth, "reference_view": np.array([1])}
    good = parity({"depth": depth, "reference_view": np.array([1]), "sky": depth}, reference, (2, 2))
    bad = parity({"depth": depth * 1.5, "reference_view": np.array([0])}, reference, (2, 2))
    assert good == {
        "depth": {"rel_l2": 0.0, "max_abs": 0.0, "abs_rel": 0.0, "delta1": 1.0},
        "reference_view": {"equal": True},
    }
    total = worst([good, bad, good])
    assert total["depth"]["rel_l2"] == pytest.approx(0.5)
    assert total["depth"]["delta1"] == 0.0
    assert total["reference_view"]["equal"] is False


def test_every_policy_has_a_limit_and_an_unknown_one_the_strictest() -> None:
    assert set(LIMITS) == set(POLICIES)
    report = {"depth": {"rel_l2": 1e-3}}
    assert violation(report, "fp32") and violation(report, "a third party's")
    assert violation(report, "bf16") is None


def test_what_breaks_the_gate_is_named() -> None:
    assert "a different reference view" in (violation({"reference_view": {"equal": False}}, "bf16") or "")
    assert "rotated by 3°" in (
        violation({"extrinsics": {"rel_l2": 0.0, "rotation_deg": 3.0}, "depth": {"rel_l2": 0.0}}, "bf16") or ""
    )
    assert "depth is" in (violation({"depth": {"rel_l2": float("nan")}}, "bf16") or "")
