"""One similarity for judging poses and for scaling depth to given ones."""

from __future__ import annotations

import numpy as np
import pytest

from depthport.exporters.inputs.similarity import Similarity, umeyama


def test_it_carries_the_source_onto_the_target() -> None:
    # Of a noisy fit the inverse is not the fit the other way: arguments turned round are another answer.
    rng = np.random.default_rng(3)
    source, noise = rng.normal(size=(2, 8, 3))
    target = 4 * source[:, [2, 0, 1]] + noise
    there, back = umeyama(source=source, target=target), umeyama(source=target, target=source)
    assert there.scale == pytest.approx(4, rel=0.2) and back.scale == pytest.approx(0.25, rel=0.2)
    assert there.scale * back.scale < 0.99
    assert np.linalg.norm(there.apply(source) - target) < 1.01 * np.linalg.norm(noise)


def test_arguments_have_names() -> None:
    with pytest.raises(TypeError):
        umeyama(np.eye(3), np.eye(3))  # type: ignore[call-arg]


@pytest.mark.parametrize(("spread", "rank"), [([1, 0, 0], 1), ([1, 1, 0], 2), ([1, 1, 1], 3)])
def test_the_rank_tells_whether_the_rotation_is_the_only_one(spread: list[int], rank: int) -> None:
    points = np.random.default_rng(0).normal(size=(5, 3)) * spread
    found = umeyama(source=points, target=2 * points)
    assert found.rank == rank and found.scale == pytest.approx(2)
    np.testing.assert_allclose(found.apply(points), 2 * points, atol=1e-12)


def test_poses_move_with_their_centres() -> None:
    turn = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    similarity = Similarity(turn, np.array([1.0, 2, 3]), 2.0)
    poses = np.tile(np.eye(4), (2, 1, 1))
    poses[1, :3, 3] = 1, 0, 0
    moved = similarity.move(poses)
    np.testing.assert_allclose(moved[:, :3, 3], similarity.apply(poses[:, :3, 3]))
    np.testing.assert_allclose(moved[1], [[0, -1, 0, 1], [1, 0, 0, 4], [0, 0, 1, 3], [0, 0, 0, 1]])
