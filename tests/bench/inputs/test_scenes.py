"""Rendered scenes: geometry in closed form; depth, poses and pixels of different views agree."""

from __future__ import annotations

import numpy as np
import pytest

from depthport.bench.inputs.scenes import ROOM, Box, Solid, Sphere, cast, look_at, pinhole, render_scene
from depthport.exporters.core.artifact import Shape


def test_what_a_ray_hits_by_hand() -> None:
    origin = np.array([0.0, 0, -4])
    rays = np.array([[0.0, 0, 1], [0, 0.3, 1], [1, 0, 1e-3], [0, 0, -1]])
    solids: list[Solid] = [Sphere(np.array([0.0, 0, 0]), 1.0), Box(np.array([-1, 1.0, -0.4]), np.array([1, 1.15, 0.4]))]
    t, hit, normals = cast(origin, rays, solids)
    assert hit.tolist() == [1, 2, 0, 0]
    assert t[0] == pytest.approx(3)  # the sphere's front
    assert t[1] == pytest.approx(3.6)  # the box's front: it passes below the sphere
    assert t[2] == pytest.approx(ROOM[1, 0])  # the wall to the right
    assert t[3] == pytest.approx(1)  # the wall behind
    np.testing.assert_allclose(normals, [[0, 0, -1], [0, 0, -1], [-1, 0, 0], [0, 0, 1]], atol=1e-12)


def test_look_at_puts_the_target_ahead_and_the_head_up() -> None:
    extrinsics = look_at(np.array([1.0, -1, -3]), np.array([0.0, 0, 1]))
    np.testing.assert_allclose(extrinsics @ [1, -1, -3, 1], [0, 0, 0, 1], atol=1e-12)
    ahead = extrinsics @ [0, 0, 1, 1]
    np.testing.assert_allclose(ahead[:2], 0, atol=1e-12)
    assert ahead[2] > 0 and np.linalg.det(extrinsics) == pytest.approx(1)
    assert (extrinsics[:3, :3] @ [0, 1, 0])[1] > 0.8  # the world's down is the image's down


def test_pinhole_has_the_field_of_view() -> None:
    k = pinhole(100, 200)
    assert 2 * np.degrees(np.arctan(100 / k[0, 0])) == pytest.approx(60)
    assert k[0, 0] == k[1, 1] and k[0, 2] == 100 and k[1, 2] == 50


@pytest.mark.parametrize("views", [1, 2, 3, 5])
def test_shapes_and_truth(views: int) -> None:
    scene = render_scene(Shape(2, views, 70, 98), seed=3)
    assert scene.rgb.shape == (2, views, 70, 98, 3) and scene.rgb.dtype == np.uint8
    assert scene.depth is not None and scene.depth.shape == (2, views, 70, 98)
    assert np.isfinite(scene.depth).all() and scene.depth.min() > 0.5 and scene.depth.max() < 12
    assert scene.calibrated == (True, True)
    rotations = scene.extrinsics[..., :3, :3]
    np.testing.assert_allclose(
        rotations @ rotations.swapaxes(-1, -2), np.broadcast_to(np.eye(3), rotations.shape), atol=1e-12
    )
    assert len({view.tobytes() for view in scene.rgb.reshape(-1, 70 * 98 * 3)}) == 2 * views


def test_a_seed_is_a_scene() -> None:
    shape = Shape(1, 2, 70, 98)
    assert render_scene(shape, 1).sha256 == render_scene(shape, 1).sha256 != render_scene(shape, 2).sha256


@pytest.mark.parametrize("seed", range(3))
def test_views_agree(seed: int) -> None:
    """Points of one view, by its exact depth and pose, land in another at the depth that view has there.

    Depth is exact at pixel centres; between them it is only near, and behind an edge it is hidden. So:
    wherever the other view is smooth, no point may lie in front of what it shows, and most (the rest is
    hidden) must lie on it.
    """
    scene = render_scene(Shape(1, 5, 140, 196), seed)
    assert scene.depth is not None
    height, width = 140, 196
    rows, columns = np.mgrid[:height, :width] + 0.5
    pixels = np.stack([columns, rows, np.ones_like(rows)], -1).reshape(-1, 3)
    for a, b in ((0, 1), (1, 4), (3, 2)):
        points = pixels @ np.linalg.inv(scene.intrinsics[0, a]).T * scene.depth[0, a].reshape(-1, 1)
        world = np.c_[points, np.ones(len(points))] @ np.linalg.inv(scene.extrinsics[0, a]).T
        seen = (world @ scene.extrinsics[0, b].T)[:, :3]
        u, v, z = (seen @ scene.intrinsics[0, b].T).T
        u, v = np.floor(u / z).astype(int), np.floor(v / z).astype(int)
        inside = (z > 0) & (u > 0) & (u < width - 1) & (v > 0) & (v < height - 1)
        around = np.stack([scene.depth[0, b][v[inside] + dv, u[inside] + du] for dv in (-1, 0, 1) for du in (-1, 0, 1)])
        smooth = around.max(0) / around.min(0) < 1.05
        ratio = z[inside][smooth] / around[4][smooth]
        assert inside.mean() > 0.3 and smooth.mean() > 0.6
        assert (ratio > 0.95).all()
        seen_there = ratio[ratio < 1.05]
        assert len(seen_there) > 0.5 * len(ratio)
        assert np.median(np.abs(seen_there - 1)) < 2e-3
