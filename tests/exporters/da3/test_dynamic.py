"""The dynamic network: one module for every shape, equal to upstream at shapes nothing was built for."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("depth_anything_3")

from depthport.exporters.da3.dynamic.network import build_dynamic  # noqa: E402
from depthport.exporters.da3.dynamic.positions import MAX_PATCHES, PositionEmbedding  # noqa: E402
from depthport.exporters.da3.static.positions import position_embedding  # noqa: E402
from depthport.exporters.da3.upstream import upstream_forward  # noqa: E402
from tests.support.posed import known_poses  # noqa: E402
from tests.support.static_network import ALL_OUTPUTS, FP32, assert_parity, relative_l2  # noqa: E402

BOUND = 5e-6
"""Relative L2: sums run in another order than upstream's, whose own fp32 is as far from exact arithmetic."""


@pytest.fixture(scope="module")
def networks(upstream: Any) -> Any:
    """`networks(pose_input)`: one network each for all shapes below."""
    return {poses: build_dynamic(upstream(), ALL_OUTPUTS, FP32, pose_input=poses) for poses in (False, True)}


@pytest.mark.parametrize(
    "shape",
    [
        (1, 1, 70, 98),
        (1, 2, 98, 70),
        (2, 3, 28, 56),
        (1, 4, 42, 42),
        (2, 7, 14, 28),
        (1, 9, 28, 14),
        (3, 1, 14, 14),
        (1, 1, 14, 1008),
        (1, 32, 14, 14),
    ],
    ids=str,
)
def test_equals_upstream_at_every_shape(networks: Any, upstream: Any, scene: Any, shape: tuple[int, ...]) -> None:
    image = scene(*shape, seed=sum(shape))
    with torch.no_grad():
        found = dict(zip(ALL_OUTPUTS, networks[False](image), strict=True))
    assert_parity(found, upstream_forward(upstream(), image, ALL_OUTPUTS), BOUND)


def test_the_reference_view_is_chosen_from_three_views_on(networks: Any, upstream: Any, scene: Any) -> None:
    chosen: dict[int, set[int]] = {views: set() for views in (1, 2, 3, 5)}
    for views, found in chosen.items():
        for seed in range(2 if views < 3 else 4):
            image = scene(3, views, 14, 28, "noise", seed)
            reference = networks[False](image)[ALL_OUTPUTS.index("reference_view")]
            assert torch.equal(reference, upstream_forward(upstream(), image, ["reference_view"])["reference_view"])
            found |= set(reference.tolist())
    assert chosen[1] == chosen[2] == {0} and len(chosen[3]) >= 2 and len(chosen[5]) >= 3


@pytest.mark.parametrize("views", [1, 2, 5])
def test_known_poses(networks: Any, upstream: Any, scene: Any, views: int) -> None:
    image = scene(2, views, 56, 28)
    extrinsics, intrinsics = (torch.from_numpy(a) for a in known_poses(2, views, 56, 28))
    with torch.no_grad():
        found = dict(zip(ALL_OUTPUTS, networks[True](image, extrinsics, intrinsics), strict=True))
    expected = upstream_forward(upstream(), image, ALL_OUTPUTS, extrinsics=extrinsics, intrinsics=intrinsics)
    assert_parity(found, expected, BOUND)


def test_position_embeddings_at_every_number_of_patches(upstream: Any) -> None:
    source = upstream().backbone.pretrained
    embedding = PositionEmbedding(source)
    for rows in range(1, MAX_PATCHES + 1):
        # A grid of 37x37 is left alone, one of 37 rows and other columns is not.
        for columns in {rows * 7 % 23 + 1, 37} if rows == 37 else {rows * 7 % 23 + 1}:
            found = embedding(torch.arange(rows), torch.arange(columns))
            assert relative_l2(found, position_embedding(source, (rows, columns))[0, 1:]) < 2e-7, (rows, columns)


def test_a_grid_beyond_the_table_fails(networks: Any) -> None:
    with pytest.raises((IndexError, RuntimeError)):
        networks[False](torch.zeros(1, 1, 3, 14, 14 * (MAX_PATCHES + 1)))
