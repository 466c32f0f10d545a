"""Known poses into the network: the same function as upstream's, for any pose and any number of views."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("depth_anything_3")

from depthport.exporters.da3.static.camera_encoder import PoseEncoding  # noqa: E402
from depthport.exporters.da3.static.network import build_static  # noqa: E402
from depthport.exporters.da3.upstream import upstream_forward  # noqa: E402
from tests.support.posed import known_poses  # noqa: E402
from tests.support.static_network import ALL_OUTPUTS, FP32, assert_parity, relative_l2  # noqa: E402


def run(source: Any, image: Any, poses: tuple[Any, Any]) -> dict[str, Any]:
    batch, views, _, height, width = image.shape
    net = build_static(source, batch, views, height, width, ALL_OUTPUTS, FP32, pose_input=True)
    with torch.no_grad():
        return dict(zip(net.output_names, net(image, *poses), strict=True))


def tensors(batch: int, views: int, size: tuple[int, int], seed: int = 0) -> tuple[Any, Any]:
    extrinsics, intrinsics = (torch.from_numpy(a) for a in known_poses(batch, views, *size, seed))
    return extrinsics, intrinsics


@pytest.mark.parametrize("views", [1, 2, 5])
@pytest.mark.parametrize("weights", ["synthetic:0", "synthetic:2,outliers"])
def test_equals_upstream(upstream: Any, scene: Any, views: int, weights: str) -> None:
    source, image = upstream("da3-small", weights), scene(1, views, 70, 98, seed=views)
    extrinsics, intrinsics = tensors(1, views, (70, 98), seed=views)
    expected = upstream_forward(source, image, ALL_OUTPUTS, extrinsics=extrinsics, intrinsics=intrinsics)
    found = run(source, image, (extrinsics, intrinsics))
    assert_parity(found, expected)
    assert found["reference_view"].tolist() == [0], "upstream chooses none where poses are known"


def test_the_poses_decide(upstream: Any, scene: Any) -> None:
    image = scene(1, 2, 70, 98)
    one, other = (run(upstream(), image, tensors(1, 2, (70, 98), seed)) for seed in (0, 1))
    assert relative_l2(one["depth"], other["depth"]) > 1e-2


def test_a_batch_equals_its_scenes_one_by_one(upstream: Any, scene: Any) -> None:
    image, poses = scene(3, 2, 70, 98), tensors(3, 2, (70, 98))
    together = run(upstream(), image, poses)
    for index in range(3):
        part = slice(index, index + 1)
        alone = run(upstream(), image[part], (poses[0][part], poses[1][part]))
        assert_parity({name: value[part] for name, value in together.items()}, alone, bound=1e-5)


def test_the_encoding_is_upstreams_for_every_rotation() -> None:
    """All four branches of the quaternion: half turns about each axis, and turns in between."""
    from depth_anything_3.model.utils.transform import extri_intri_to_pose_encoding
    from depth_anything_3.utils.geometry import affine_inverse

    turns = [np.diag(d) for d in ((1, 1, 1), (1, -1, -1), (-1, 1, -1), (-1, -1, 1))]
    rng = np.random.default_rng(0)
    turns += [np.linalg.qr(rng.standard_normal((3, 3)))[0] for _ in range(60)]
    rotations = np.stack([q * np.sign(np.linalg.det(q)) for q in turns])
    extrinsics = torch.eye(4).repeat(1, len(rotations), 1, 1)
    extrinsics[0, :, :3, :3] = torch.from_numpy(rotations)
    extrinsics[0, :, :3, 3] = torch.randn(len(rotations), 3, generator=torch.Generator().manual_seed(0))
    intrinsics = torch.from_numpy(known_poses(1, len(rotations), 70, 98)[1])
    expected = extri_intri_to_pose_encoding(affine_inverse(extrinsics), intrinsics, (70, 98))
    found = PoseEncoding()(extrinsics, intrinsics, torch.tensor([35.0, 49.0]))
    assert len(set(found[0, :, 3:7].abs().argmax(-1).tolist())) == 4
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)
