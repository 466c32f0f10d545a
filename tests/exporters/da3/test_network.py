"""The static network against upstream."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from exporters.da3.network import build_static  # noqa: E402
from exporters.da3.upstream import build_upstream, upstream_forward  # noqa: E402
from exporters.da3.weights import load_state_dict, resolve_weights  # noqa: E402
from exporters.precision import POLICIES  # noqa: E402

OUTPUTS = ("depth", "depth_conf", "extrinsics", "intrinsics", "reference_view", "ray", "ray_conf")


@pytest.fixture(scope="module")
def upstream():
    return build_upstream("da3-small", load_state_dict(resolve_weights("synthetic:0", "da3-small"), "da3-small"))


@pytest.mark.parametrize("views", [1, 2, 3, 5])
def test_static_network_equals_upstream(upstream, views):
    image = torch.randn(1, views, 3, 70, 98, generator=torch.Generator().manual_seed(views))
    expected = upstream_forward(upstream, image, OUTPUTS)
    net = build_static(upstream, 1, views, 70, 98, OUTPUTS, POLICIES["fp32"])
    for name, actual in zip(net.output_names, net(image), strict=True):
        assert actual.shape == expected[name].shape
        if name == "reference_view":
            assert torch.equal(actual, expected[name])
        else:
            assert (actual - expected[name]).norm() / expected[name].norm() < 5e-6
