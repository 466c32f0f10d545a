"""Each constant and layer against the upstream code it stands for."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("depth_anything_3")

from depthport.exporters.da3.static import reference_view  # noqa: E402
from depthport.exporters.da3.static.camera import CameraDecoder, PoseMatrices  # noqa: E402
from depthport.exporters.da3.static.layers import adopt  # noqa: E402
from depthport.exporters.da3.static.positions import position_embedding  # noqa: E402
from depthport.exporters.da3.static.rope import apply_rope, global_table, local_table  # noqa: E402
from depthport.exporters.da3.static.uv import uv_embedding  # noqa: E402


@pytest.mark.parametrize("grid", [(1, 1), (5, 7), (36, 24)])
@pytest.mark.parametrize("across", [False, True])
def test_rope_equals_upstreams_bit_for_bit(grid: tuple[int, int], across: bool) -> None:
    from depth_anything_3.model.dinov2.layers.rope import RotaryPositionEmbedding2D

    rows, columns = grid
    patches = torch.cartesian_prod(torch.arange(rows), torch.arange(columns)).view(-1, 2)
    patches = torch.ones_like(patches) if across else patches + 1
    positions = torch.cat((torch.zeros(1, 2, dtype=torch.int64), patches))[None]
    tokens = torch.randn(2, 6, 1 + rows * columns, 64, generator=torch.Generator().manual_seed(0))
    expected = RotaryPositionEmbedding2D(frequency=100.0)(tokens, positions)
    table = (global_table if across else local_table)(grid, 64, 100.0)
    assert torch.equal(apply_rope(tokens.transpose(1, 2), table).transpose(1, 2), expected)


@pytest.mark.parametrize("grid", [(1, 1), (5, 7), (36, 36), (37, 37), (24, 36), (72, 40)])
def test_positions_are_what_upstream_adds(upstream: Any, grid: tuple[int, int]) -> None:
    backbone = upstream().backbone.pretrained
    rows, columns = grid
    image = torch.randn(1, 2, 3, rows * 14, columns * 14, generator=torch.Generator().manual_seed(1))
    tokens = backbone.prepare_tokens_with_masks(image)[0]
    patches = backbone.patch_embed(image[0])
    added = position_embedding(backbone, grid)
    assert added.shape == (1, 1 + rows * columns, 384)
    assert torch.equal(tokens[:, 1:], patches + added[:, 1:])
    assert torch.equal(tokens[:, :1], (backbone.cls_token + added[:, :1]).expand(2, -1, -1))


@pytest.mark.parametrize(("channels", "size", "aspect"), [(48, (5, 7), 1.4), (32, (70, 98), 1.4), (64, (9, 9), 1.0)])
def test_uv_embedding_is_upstreams_in_two_parts(channels: int, size: tuple[int, int], aspect: float) -> None:
    from depth_anything_3.model.utils.head_utils import create_uv_grid, position_grid_to_embed

    height, width = size
    expected = position_grid_to_embed(create_uv_grid(width, height, aspect_ratio=aspect), channels) * 0.1
    by_column, by_row = uv_embedding(channels, size, aspect)
    assert by_column.shape == (channels, width)
    assert by_row.shape == (channels, height)
    assert torch.equal(by_column[:, None, :] + by_row[:, :, None], expected.permute(2, 0, 1))


@pytest.mark.parametrize("views", [3, 5, 8, 32])
def test_the_reference_view_is_upstreams_unless_two_are_as_good(views: int) -> None:
    from depth_anything_3.model.reference_view_selector import select_reference_view

    generator = torch.Generator().manual_seed(views)
    tokens = torch.randn(500, views, 1, 384, generator=generator) + 2 * torch.randn(500, 1, 1, 384, generator=generator)
    ours, upstreams = reference_view.select_reference_view(tokens[:, :, 0]), select_reference_view(tokens)
    exact = reference_view.select_reference_view(tokens[:, :, 0].double())
    assert torch.equal(ours, exact)
    assert (ours == upstreams).float().mean() > 0.99


def test_among_equal_views_the_first_is_chosen() -> None:
    tokens = torch.randn(1, 1, 384, generator=torch.Generator().manual_seed(0)).expand(2, 4, -1)
    assert reference_view.select_reference_view(tokens).tolist() == [0, 0]


def test_views_are_reordered_and_restored_as_upstream_does() -> None:
    from depth_anything_3.model.reference_view_selector import reorder_by_reference, restore_original_order

    x = torch.arange(20.0).view(4, 5, 1, 1)
    chosen = torch.tensor([0, 2, 4, 1])
    forward = reference_view.reference_first(chosen, 5)
    backward = reference_view.original_order(chosen, 5)
    flat = x.flatten(0, 1)
    reordered = flat.index_select(0, forward)
    assert torch.equal(reordered.unflatten(0, (4, 5)), reorder_by_reference(x, chosen))
    assert torch.equal(reordered.index_select(0, backward), flat)
    assert torch.equal(restore_original_order(reorder_by_reference(x, chosen), chosen), x)


def test_camera_equals_upstreams(upstream: Any) -> None:
    from depth_anything_3.model.utils.transform import pose_encoding_to_extri_intri
    from depth_anything_3.utils.geometry import affine_inverse

    source = upstream().cam_dec
    tokens = torch.randn(2, 3, 768, generator=torch.Generator().manual_seed(0))
    encoding = source(tokens)
    torch.testing.assert_close(CameraDecoder(source)(tokens), encoding, rtol=1e-6, atol=1e-6)
    extrinsics, intrinsics = PoseMatrices((70, 98))(encoding)
    pose, expected_intrinsics = pose_encoding_to_extri_intri(encoding, (70, 98))
    torch.testing.assert_close(extrinsics, affine_inverse(pose), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(intrinsics, expected_intrinsics, rtol=1e-6, atol=0)


def test_a_field_of_view_of_zero_gives_upstreams_focal_length() -> None:
    encoding = torch.tensor([[[0.0, 0, 0, 0, 0, 0, 1, 0, 0]]])
    _, intrinsics = PoseMatrices((70, 98))(encoding)
    assert torch.isfinite(intrinsics).all()
    torch.testing.assert_close(intrinsics[0, 0, 0, 0], torch.tensor(49 / 1e-6))


def test_extrinsics_of_an_unnormalised_quaternion_are_a_rotation_and_invert_the_pose() -> None:
    half_turn_about_z = torch.tensor([[[1.0, 2.0, 3.0, 0.0, 0.0, 5.0, 0.0, 1.0, 1.0]]])
    extrinsics, _ = PoseMatrices((14, 14))(half_turn_about_z)
    expected = torch.tensor([[-1.0, 0, 0, 1], [0, -1, 0, 2], [0, 0, 1, -3]])
    torch.testing.assert_close(extrinsics[0, 0], expected)


def test_adopted_layers_share_storage_in_their_own_dtype_and_copy_in_another() -> None:
    source = torch.nn.Linear(3, 2)
    shared, rounded = adopt(source), adopt(source, torch.bfloat16)
    assert shared is not source and shared.weight is not source.weight
    assert shared.weight.data_ptr() == source.weight.data_ptr()
    assert rounded.weight.dtype == torch.bfloat16 and source.weight.dtype == torch.float32
    assert not shared.weight.requires_grad and source.weight.requires_grad
    assert not isinstance(shared.bias, type(None))
