"""Host arithmetic of known poses: against upstream's own, against an independent library, and what is refused."""

from __future__ import annotations

import re

import numpy as np
import pytest

from depthport.exporters.core.errors import InputError
from depthport.exporters.inputs.cameras import check_poses
from depthport.exporters.inputs.poses import RANSAC_VIEWS, align_to_input, as_homogeneous, invert, normalise_extrinsics
from depthport.exporters.inputs.similarity import Similarity, umeyama
from tests.support.posed import cameras, raw_poses


@pytest.mark.parametrize("views", [1, 2, 5, 8])
def test_normalisation_is_upstreams(views: int) -> None:
    torch = pytest.importorskip("torch")
    geometry = pytest.importorskip("depth_anything_3.utils.geometry")
    poses = raw_poses(2, views, seed=views)
    for index in range(2):
        # `api.py::_normalize_extrinsics`, which can't be imported without what `api.py` imports.
        given = torch.from_numpy(poses[index : index + 1])
        theirs = given @ geometry.affine_inverse(given[:, :1])
        distances = geometry.affine_inverse(theirs)[..., :3, 3].norm(dim=-1)
        theirs[..., :3, 3] /= torch.clamp(torch.median(distances), min=1e-1)
        np.testing.assert_allclose(normalise_extrinsics(poses)[index], theirs[0].numpy(), rtol=0, atol=1e-6)


def test_poses_of_maps_lose_nothing() -> None:
    """A scene 5,000 km from the origin, as in map coordinates, is the scene at the origin."""
    near = raw_poses(1, 4)
    world = np.eye(4)
    world[:3, 3] = 5e6, -4e6, 300
    far = near @ invert(world)
    assert np.abs(normalise_extrinsics(far) - normalise_extrinsics(near)).max() < 1e-6


def planted(views: int, seed: int) -> tuple[np.ndarray, np.ndarray, Similarity]:
    """Given poses, predicted ones that are them in another frame, and the similarity between."""
    given = raw_poses(1, views, seed)[0]
    rotation = invert(raw_poses(1, 1, seed + 100)[0])[0, :3, :3]
    truth = Similarity(rotation, np.array([0.3, -2.0, 1.0]), 0.37)
    return given, invert(truth.move(invert(given)))[:, :3], truth


@pytest.mark.parametrize("views", [3, 5, RANSAC_VIEWS, 17])
def test_depth_comes_to_the_scale_of_the_given_poses(views: int) -> None:
    given, predicted, truth = planted(views, views)
    depth = np.full((views, 2, 2), 3.0, np.float32)
    found = align_to_input(depth, predicted, given, cameras(1, views, 70, 98)[0])
    assert found.scale == pytest.approx(truth.scale, rel=1e-9)
    np.testing.assert_allclose(found.depth, depth / truth.scale, rtol=1e-6)
    np.testing.assert_allclose(found.extrinsics, given[:, :3], rtol=1e-6)
    other = align_to_input(depth, predicted, given, cameras(1, views, 70, 98)[0], keep_input_scale=False)
    np.testing.assert_allclose(other.extrinsics, predicted, atol=1e-5)
    np.testing.assert_array_equal(other.depth, depth)


def test_from_ten_views_on_an_outlier_does_not_count() -> None:
    given, predicted, truth = planted(12, 3)
    centres = invert(as_homogeneous(predicted))
    centres[7, :3, 3] += 50
    found = align_to_input(np.ones((12, 1, 1)), invert(centres)[:, :3], given, cameras(1, 12, 70, 98)[0])
    assert found.scale == pytest.approx(truth.scale, rel=1e-6)


def test_umeyama_agrees_with_another_implementation() -> None:
    transform = pytest.importorskip("skimage.transform")
    rng = np.random.default_rng(0)
    source, noise = rng.standard_normal((2, 9, 3))
    target = 2.5 * source[:, [1, 2, 0]] + 0.1 * noise
    found, theirs = umeyama(source=source, target=target), transform.SimilarityTransform(dimensionality=3)
    theirs.estimate(source, target)
    assert found.scale == pytest.approx(float(theirs.scale), rel=1e-9)
    np.testing.assert_allclose(found.rotation * found.scale, theirs.params[:3, :3], atol=1e-9)
    np.testing.assert_allclose(found.translation, theirs.params[:3, 3], atol=1e-9)


@pytest.mark.parametrize("views", [1, 2, 4])
def test_cameras_on_one_line_tell_no_scale(views: int) -> None:
    given = np.tile(np.eye(4), (views, 1, 1))
    given[:, 0, 3] = np.arange(views)
    with pytest.raises(InputError, match="three views or more whose cameras are not on one line"):
        align_to_input(np.ones((views, 1, 1)), given[:, :3], given, cameras(1, views, 70, 98)[0])


def spoiled(which: str) -> tuple[np.ndarray, np.ndarray]:
    """Good cameras, but for one view."""
    extrinsics, intrinsics = raw_poses(2, 3), cameras(2, 3, 70, 98)
    pose, camera = extrinsics[1, 2], intrinsics[1, 2]
    if which == "nan":
        pose[0, 0] = np.nan
    elif which == "infinite camera":
        camera[0, 2] = np.inf
    elif which == "singular":
        pose[:3, :3] = 0
    elif which == "projective":
        pose[3] = 0, 0, 1, 1
    elif which == "transposed pose":
        pose[:] = pose.T.copy()
    elif which == "scaled":
        pose[:3, :3] *= 2
    elif which == "left-handed":
        pose[0] *= -1
    elif which == "sheared":
        pose[:3, :3] = pose[:3, :3] @ (np.eye(3) + 0.3 * np.eye(3, 3, 1))
    elif which == "focal":
        camera[0, 0] = -40
    elif which == "normalised":
        camera[:2] /= np.array([[98], [70]])
    elif which == "transposed camera":
        camera[:] = camera.T.copy()
    elif which == "last row":
        camera[2, 2] = 2
    elif which == "skew":
        camera[0, 1] = 20
    return extrinsics, intrinsics


@pytest.mark.parametrize(
    ("which", "complaint"),
    [
        ("nan", "extrinsics of view 2 of scene 1 is not finite"),
        ("infinite camera", "intrinsics of view 2 of scene 1 is not finite"),
        ("singular", "extrinsics of view 2 of scene 1 is not invertible"),
        ("projective", "its last row must be 0 0 0 1"),
        ("transposed pose", "extrinsics of view 2 of scene 1 is transposed"),
        ("scaled", "is scaled by 2: divide its rotation by that"),
        ("left-handed", "is left-handed"),
        ("sheared", "its rotation is sheared"),
        ("focal", "focal lengths must be above 0"),
        ("normalised", "is not in pixels but normalised by the image's size"),
        ("transposed camera", "intrinsics of view 2 of scene 1 is transposed"),
        ("last row", "its last row must be 0 0 1"),
        ("skew", "it has a skew"),
    ],
)
def test_poses_of_no_camera_are_refused_in_one_line(which: str, complaint: str) -> None:
    with pytest.raises(InputError, match=complaint) as raised:
        check_poses(*spoiled(which))
    assert "\n" not in str(raised.value) and raised.value.exit_code == 2


def test_noise_of_floats_is_taken() -> None:
    extrinsics, intrinsics = raw_poses(2, 3), cameras(2, 3, 70, 98)
    extrinsics[..., 3, :] += 1e-9
    intrinsics[..., 2, :] += np.float32(1e-9)
    check_poses(extrinsics, intrinsics)
    check_poses(np.concatenate((np.round(extrinsics[..., :3], 3), extrinsics[..., 3:]), -1).astype(np.float32), intrinsics)


def test_shapes_that_do_not_fit_are_refused() -> None:
    for extrinsics, intrinsics in ((np.eye(4)[None], np.eye(3)), (np.eye(3)[None], np.eye(3)[None])):
        with pytest.raises(InputError, match=re.escape("give N poses of 4x4 (or 3x4)")):
            check_poses(extrinsics, intrinsics)
    with pytest.raises(InputError, match=r"give \(N, 4, 4\)"):
        normalise_extrinsics(np.eye(4))
