"""Camera tokens kept apart from the patches: the same function, and fp32 where the patches are not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("depth_anything_3")

from depthport.exporters.core.precision import POLICIES  # noqa: E402
from depthport.exporters.da3.static.camera_row import SplitBackbone  # noqa: E402
from depthport.exporters.da3.static.network import build_static  # noqa: E402
from depthport.exporters.da3.upstream import upstream_forward  # noqa: E402
from tests.support.static_network import assert_parity, relative_l2, run_static  # noqa: E402

APART = replace(POLICIES["fp32"], camera_token="float32")


@pytest.mark.parametrize(("batch", "views"), [(1, 1), (1, 3), (2, 4)])
def test_in_fp32_it_is_upstream(upstream: Any, scene: Any, batch: int, views: int) -> None:
    source, image = upstream(), scene(batch, views, 70, 98)
    exact = upstream_forward(source, image)
    # Sums run in another order than upstream's.
    assert_parity(run_static(source, image, tuple(exact), APART), exact, bound=4e-6)


def test_known_poses_take_the_learned_tokens_place(upstream: Any, scene: Any) -> None:
    image = scene(1, 3, 70, 98)
    poses = torch.eye(4).expand(1, 3, 4, 4), torch.tensor([[90.0, 0, 49], [0, 90, 35], [0, 0, 1]]).expand(1, 3, 3, 3)
    outputs = [
        build_static(upstream(), 1, 3, 70, 98, None, policy, pose_input=True)(image, *poses)
        for policy in (POLICIES["fp32"], APART)
    ]
    for found, expected in zip(*(values[:4] for values in outputs), strict=True):
        assert relative_l2(found, expected) <= 4e-6


@pytest.mark.parametrize(("views", "first"), [(2, 4), (3, 0)])
def test_parameters_in_fp32_are_upstreams_own_and_no_more_than_poses_need(upstream: Any, views: int, first: int) -> None:
    source = upstream()
    backbone: Any = build_static(source, 1, views, 28, 28, None, POLICIES["bf16-poses"]).backbone
    assert isinstance(backbone, SplitBackbone)
    blocks: Any = zip(backbone.blocks, source.backbone.pretrained.blocks, strict=True)
    for index, (ours, theirs) in enumerate(blocks):
        assert ours.attn.qkv.weight.dtype == torch.bfloat16
        assert (ours.camera is None) == (index < first)
        if ours.camera is not None:
            assert ours.camera.attn.qkv.weight.data_ptr() == theirs.attn.qkv.weight.data_ptr()


def test_what_the_camera_loses_is_what_patches_lose(upstream: Any, scene: Any) -> None:
    """The state that poses are read from, over four scenes, before weights are rounded together."""
    lost = {"bf16": 0.0, "bf16-poses": 0.0}
    for seed in range(4):
        image = scene(1, 1, 70, 98, seed=seed)
        nets: dict[str, Any] = {
            name: build_static(upstream(), 1, 1, 70, 98, None, POLICIES[name]) for name in ("fp32", *lost)
        }
        found = {name: net.backbone(image).camera for name, net in nets.items()}
        for name in lost:
            lost[name] += relative_l2(found[name], found["fp32"])
    assert lost["bf16-poses"] < 0.85 * lost["bf16"]
