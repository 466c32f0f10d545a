"""The fused network computes the static network's function."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")
import torch

pytest.importorskip("depth_anything_3")

from depthport.exporters.core.errors import UnsupportedError
from depthport.exporters.core.precision import POLICIES
from depthport.exporters.da3.build import named_upstream
from depthport.exporters.da3.fused.network import FusedDA3, build_fused
from depthport.exporters.da3.kernels.upsampled import inside, upsampled_convolution
from depthport.exporters.da3.static.folding import constant_response, fold_pointwise, tap_matrices
from depthport.exporters.da3.static.network import StaticDA3, build_static
from tests.support.kernels.cases import relative_error

MODEL = "da3-small"


@pytest.fixture(scope="module")
def upstream() -> torch.nn.Module:
    return named_upstream(MODEL, "synthetic:0")


@pytest.mark.parametrize("shape", [(1, 1, 70, 98), (1, 2, 84, 42), (2, 4, 70, 70), (1, 9, 28, 42)])
def test_in_fp32_it_is_the_static_network(upstream: torch.nn.Module, shape: tuple[int, int, int, int]) -> None:
    batch, views, height, width = shape
    image = torch.randn(batch, views, 3, height, width, generator=torch.Generator().manual_seed(3))
    static = build_static(upstream, *shape, None, POLICIES["fp32"])
    assert isinstance(static, StaticDA3)
    with torch.no_grad():
        expected = static(image)
        found = FusedDA3(static, POLICIES["fp32"]).eval()(image)
    for name, a, b in zip(static.output_names, found, expected, strict=True):
        if name == "reference_view":
            assert torch.equal(a, b)
        else:
            assert relative_error(a, b) < 1e-5, name


@pytest.mark.parametrize("policy", ["bf16-fp16", "fp16"])
def test_it_is_as_near_to_fp32_as_upstreams_autocast(upstream: torch.nn.Module, policy: str) -> None:
    from depthport.exporters.da3.upstream import upstream_forward

    image = torch.randn(1, 3, 3, 70, 98, generator=torch.Generator().manual_seed(4))
    with torch.no_grad():
        exact = upstream_forward(upstream, image)
        with torch.autocast("cpu", torch.bfloat16):
            official = upstream_forward(upstream, image)
        fused = build_fused(upstream, 1, 3, 70, 98, None, POLICIES[policy])
        found = dict(zip(fused.output_names, fused(image), strict=True))
    assert torch.equal(found["reference_view"], exact["reference_view"])
    for name in ("depth", "depth_conf", "extrinsics"):
        assert relative_error(found[name], exact[name]) < 1.5 * relative_error(official[name], exact[name]), name


def test_it_exports_and_the_program_computes_the_same(upstream: torch.nn.Module) -> None:
    image = torch.randn(1, 3, 3, 28, 42, generator=torch.Generator().manual_seed(5))
    fused = build_fused(upstream, 1, 3, 28, 42, None, POLICIES["bf16-fp16"])
    with torch.no_grad():
        program = torch.export.export(fused, (image,), strict=False)
        for a, b in zip(program.module()(image), fused(image), strict=True):
            assert torch.equal(a, b)
    operators = {str(node.target) for node in program.graph.nodes if "depthport" in str(node.target)}
    assert "depthport.attention.default" in operators and "depthport.upsampled_depth.default" in operators


@pytest.mark.parametrize("policy", ["fp32", "bf16-mixed", "int8"])
def test_it_refuses_a_policy_it_has_no_kernels_for(upstream: torch.nn.Module, policy: str) -> None:
    with pytest.raises(UnsupportedError, match="bf16"):
        build_fused(upstream, 1, 1, 28, 28, None, POLICIES[policy])


def test_it_refuses_the_ray_head(upstream: torch.nn.Module) -> None:
    with pytest.raises(UnsupportedError, match="ray"):
        build_fused(upstream, 1, 1, 28, 28, ["depth", "ray"], POLICIES["fp16"])


def test_taps_of_a_small_map_are_the_convolution_of_the_upsampled_one() -> None:
    make = torch.Generator().manual_seed(0)
    x, weight, bias = (torch.randn(*s, generator=make).double() for s in ((2, 6, 4, 5), (7, 8, 3, 3), (7,)))
    before, offset = torch.randn(8, 6, 1, 1, generator=make).double(), torch.randn(8, generator=make).double()
    resized = torch.nn.functional.interpolate(
        torch.nn.functional.conv2d(x, before, offset), size=(9, 11), mode="bilinear", align_corners=True
    )
    expected = torch.nn.functional.conv2d(resized, weight, bias, padding=1).permute(0, 2, 3, 1)
    matrix, shift = fold_pointwise(tap_matrices(weight), before, offset)
    taps = x.permute(0, 2, 3, 1).float() @ matrix.T + shift
    assert relative_error(upsampled_convolution(taps, bias.float(), 9, 11), expected) < 1e-5


def test_the_response_to_a_constant_is_split_by_row_and_by_column() -> None:
    make = torch.Generator().manual_seed(0)
    weight = torch.randn(4, 6, 3, 3, generator=make)
    by_row, by_column = torch.randn(6, 5, generator=make), torch.randn(6, 7, generator=make)
    constant = by_row[:, :, None] + by_column[:, None, :]
    expected = torch.nn.functional.conv2d(constant[None], weight, padding=1)[0].permute(1, 2, 0)
    rows, columns = constant_response(weight, by_row, by_column)
    whole = torch.einsum("yh,ywo->hwo", inside(5, rows), columns) + torch.einsum("xw,xho->hwo", inside(7, rows), rows)
    assert relative_error(whole, expected) < 1e-5
