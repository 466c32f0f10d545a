"""Windows over a rendered sequence of exact depth and poses, each predicted in a frame and a scale of its own."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pytest

from depthport.bench.inputs.inputs import Scene
from depthport.bench.inputs.scenes import render_scene
from depthport.exporters.core.artifact import Shape
from depthport.exporters.core.errors import InputError, UsageError
from depthport.exporters.inputs.chaining import CONFIDENCE_SHARE, HUBER, align_overlap
from depthport.exporters.inputs.poses import as_homogeneous, invert
from depthport.exporters.inputs.similarity import Similarity
from depthport.predict.cloud import unproject
from depthport.predict.prediction import Prediction
from depthport.predict.windows import Chain, Frame, windows

FRAMES, VIEWS, OVERLAP = 26, 8, 3


@pytest.fixture(scope="module")
def truth() -> Scene:
    return render_scene(Shape(1, FRAMES, 42, 56), seed=3)


def random_similarity(generator: np.random.Generator) -> Similarity:
    rotation = np.linalg.qr(generator.standard_normal((3, 3)))[0]
    rotation *= np.sign(np.linalg.det(rotation))
    return Similarity(rotation, generator.standard_normal(3), float(np.exp(generator.uniform(-1, 1))))


def predicted(truth: Scene, first: int, noise: float, seed: int) -> Prediction:
    """What a network would give of a window: the truth in a frame of its own, noisy, one pixel in twenty far off."""
    generator = np.random.default_rng([seed, first])
    own = random_similarity(generator)
    part = slice(first, first + VIEWS)
    assert truth.depth is not None
    depth = truth.depth[0, part].astype(np.float64)
    depth *= np.exp(noise * generator.standard_normal(depth.shape))
    wrong = generator.random(depth.shape) < (0.05 if noise else 0.0)
    depth[wrong] *= generator.uniform(0.3, 3, int(wrong.sum()))
    cameras = own.move(invert(truth.extrinsics[0, part]))
    return Prediction(
        depth=(depth * own.scale).astype(np.float32),
        is_metric=0,
        conf=generator.uniform(1, 3, depth.shape).astype(np.float32),
        extrinsics=invert(cameras)[:, :3].astype(np.float32),
        intrinsics=truth.intrinsics[0, part].astype(np.float32),
        names=tuple(f"frame-{index}" for index in range(first, first + VIEWS)),
    )


def chained(truth: Scene, noise: float, seed: int = 0) -> list[Frame]:
    chain = Chain()
    found = []
    for first, window in windows(range(FRAMES), VIEWS, OVERLAP):
        assert list(window) == list(range(first, first + VIEWS))
        found += chain.add(first, predicted(truth, first, noise, seed))
    return found


def in_first_frame(truth: Scene, seed: int = 0) -> tuple[np.ndarray, float]:
    """The true cameras to world in the frame of the first window, and its scale."""
    own = random_similarity(np.random.default_rng([seed, 0]))
    return own.move(invert(truth.extrinsics[0])), own.scale


def test_exact_windows_chain_to_the_exact_sequence(truth: Scene) -> None:
    found = chained(truth, noise=0.0)
    assert [frame.index for frame in found] == list(range(FRAMES))
    cameras, scale = in_first_frame(truth)
    for frame, camera in zip(found, cameras, strict=True):
        np.testing.assert_allclose(frame.extrinsics, invert(camera[None])[0, :3], atol=2e-5)
        assert truth.depth is not None
        np.testing.assert_allclose(frame.depth, truth.depth[0, frame.index] * scale, rtol=2e-5)
    assert found[0].fit is None and found[-1].fit is not None and found[-1].fit.error < 1e-5


def test_noise_and_outliers_move_the_chain_little(truth: Scene) -> None:
    """Three tenths of a per cent after four links, for 2 % of noise in depth; three per cent with least squares' scale."""
    centres = np.stack([centre_of(frame.extrinsics) for frame in chained(truth, noise=0.02)])
    theirs = np.stack(second_chain(truth, symmetric=False))
    assert trajectory_error(truth, centres, range(FRAMES)) < 5e-3
    ends = [first + VIEWS - 1 for first, _ in windows(range(FRAMES), VIEWS, OVERLAP)]
    assert trajectory_error(truth, theirs, ends) > 5 * trajectory_error(truth, centres[ends], ends)


def centre_of(extrinsics: np.ndarray) -> np.ndarray:
    found: np.ndarray = invert(as_homogeneous(extrinsics[None].astype(np.float64)))[0, :3, 3]
    return found


def trajectory_error(truth: Scene, centres: np.ndarray, frames: Sequence[int]) -> float:
    """Root mean square distance of camera centres over the extent of the path."""
    true = in_first_frame(truth)[0][:, :3, 3]
    apart = centres - true[list(frames)]
    return float(np.sqrt((apart**2).sum(-1).mean()) / np.linalg.norm(true.max(0) - true.min(0)))


# -- a second implementation, written from the paper: rotations by Horn's quaternion, chains as matrices


@dataclass
class Link:
    matrix: np.ndarray
    """(4, 4): scale · rotation, translation."""


def horn(a: np.ndarray, b: np.ndarray, w: np.ndarray, symmetric: bool) -> Link:
    w = w / w.sum()
    ca, cb = (w[:, None] * a).sum(0), (w[:, None] * b).sum(0)
    s = ((a - ca) * w[:, None]).T @ (b - cb)
    n = np.array(
        [
            [s[0, 0] + s[1, 1] + s[2, 2], s[1, 2] - s[2, 1], s[2, 0] - s[0, 2], s[0, 1] - s[1, 0]],
            [s[1, 2] - s[2, 1], s[0, 0] - s[1, 1] - s[2, 2], s[0, 1] + s[1, 0], s[2, 0] + s[0, 2]],
            [s[2, 0] - s[0, 2], s[0, 1] + s[1, 0], -s[0, 0] + s[1, 1] - s[2, 2], s[1, 2] + s[2, 1]],
            [s[0, 1] - s[1, 0], s[2, 0] + s[0, 2], s[1, 2] + s[2, 1], -s[0, 0] - s[1, 1] + s[2, 2]],
        ]
    )
    q0, q1, q2, q3 = np.linalg.eigh(n)[1][:, -1]
    r = np.array(
        [
            [q0 * q0 + q1 * q1 - q2 * q2 - q3 * q3, 2 * (q1 * q2 - q0 * q3), 2 * (q1 * q3 + q0 * q2)],
            [2 * (q1 * q2 + q0 * q3), q0 * q0 - q1 * q1 + q2 * q2 - q3 * q3, 2 * (q2 * q3 - q0 * q1)],
            [2 * (q1 * q3 - q0 * q2), 2 * (q2 * q3 + q0 * q1), q0 * q0 - q1 * q1 - q2 * q2 + q3 * q3],
        ]
    )
    spread = (w * ((a - ca) ** 2).sum(-1)).sum()
    scale = np.sqrt((w * ((b - cb) ** 2).sum(-1)).sum() / spread) if symmetric else np.trace(r @ s) / spread
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = scale * r, cb - scale * r @ ca
    return Link(matrix)


def second_opinion(later: Prediction, earlier: Prediction, shared: int, symmetric: bool) -> Link:
    def points(of: Prediction, part: slice) -> tuple[np.ndarray, np.ndarray]:
        assert of.extrinsics is not None and of.intrinsics is not None and of.conf is not None
        world = unproject(of.depth[part], of.intrinsics[part], of.extrinsics[part])
        return world.reshape(-1, 3), of.conf[part].reshape(-1).astype(np.float64)

    (a, ca), (b, cb) = points(later, slice(0, shared)), points(earlier, slice(VIEWS - shared, VIEWS))
    sure = (ca >= CONFIDENCE_SHARE * np.median(ca)) & (cb >= CONFIDENCE_SHARE * np.median(cb))
    a, b, w = a[sure], b[sure], np.sqrt(ca * cb)[sure]
    delta = HUBER * np.median(np.linalg.norm(b - np.median(b, 0), axis=-1))
    link = horn(a, b, w, symmetric)
    for _ in range(60):
        off = np.linalg.norm(a @ link.matrix[:3, :3].T + link.matrix[:3, 3] - b, axis=-1)
        link = horn(a, b, w * np.minimum(1, delta / np.maximum(off, 1e-12)), symmetric)
    return link


def second_chain(truth: Scene, *, symmetric: bool) -> list[np.ndarray]:
    """The centre of each window's last camera."""
    total, found = np.eye(4), []
    earlier: Prediction | None = None
    last = 0
    for first, _ in windows(range(FRAMES), VIEWS, OVERLAP):
        prediction = predicted(truth, first, 0.02, 0)
        assert prediction.extrinsics is not None
        if earlier is not None:
            total = total @ second_opinion(prediction, earlier, last + VIEWS - first, symmetric).matrix
        found.append(total[:3, :3] @ centre_of(prediction.extrinsics[-1]) + total[:3, 3])
        earlier, last = prediction, first
    return found


def test_the_chain_is_what_a_second_implementation_gives(truth: Scene) -> None:
    ours = {frame.index: frame for frame in chained(truth, noise=0.02)}
    ends = [first + VIEWS - 1 for first, _ in windows(range(FRAMES), VIEWS, OVERLAP)]
    for end, centre in zip(ends, second_chain(truth, symmetric=True), strict=True):
        np.testing.assert_allclose(centre_of(ours[end].extrinsics), centre, atol=1e-3)


# -- which frames make a window


@pytest.mark.parametrize("count", [8, 9, 13, 14, 26, 40])
def test_windows_cover_every_frame_and_overlap(count: int) -> None:
    found = list(windows(range(count), VIEWS, OVERLAP))
    assert all(frames == list(range(first, first + VIEWS)) for first, frames in found)
    assert {frame for _, frames in found for frame in frames} == set(range(count))
    steps = [later - earlier for (earlier, _), (later, _) in itertools.pairwise(found)]
    assert all(step == VIEWS - OVERLAP for step in steps[:-1]) and all(0 < step <= VIEWS - OVERLAP for step in steps)


def test_an_endless_sequence_holds_one_window(truth: Scene) -> None:
    taken = 0

    def endless() -> Iterator[int]:
        nonlocal taken
        while True:
            taken += 1
            yield taken

    for number, _ in zip(range(1000), windows(endless(), VIEWS, OVERLAP), strict=False):
        assert taken <= VIEWS + (number + 1) * (VIEWS - OVERLAP)


@pytest.mark.parametrize("overlap", [0, VIEWS, VIEWS + 1])
def test_an_overlap_has_to_leave_new_frames(overlap: int) -> None:
    with pytest.raises(UsageError, match="overlap by 1 to 7"):
        list(windows(range(20), VIEWS, overlap))


def test_too_short_a_sequence_is_refused() -> None:
    with pytest.raises(InputError, match="5 frames for windows of 8"):
        list(windows(range(5), VIEWS, OVERLAP))


def test_windows_that_are_sure_of_nothing_in_common_are_refused() -> None:
    nothing = np.full((2, 4, 4, 3), np.nan)
    sure = np.ones((2, 4, 4))
    with pytest.raises(InputError, match="larger overlap"):
        align_overlap(nothing, nothing, sure, sure)
