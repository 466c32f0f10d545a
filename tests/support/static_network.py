"""Comparing outputs with upstream's."""

from __future__ import annotations

from typing import Any

import torch

from depthport.exporters.core.precision import POLICIES
from depthport.exporters.da3.static.network import build_static

ALL_OUTPUTS = ("depth", "depth_conf", "extrinsics", "intrinsics", "reference_view", "ray", "ray_conf")
FP32 = POLICIES["fp32"]
BOUND = 1e-6
"""Relative L2, every output, fp32 on a CPU."""


def relative_l2(actual: Any, expected: Any) -> float:
    return float((actual.double() - expected.double()).norm() / expected.double().norm())


def run_static(source: Any, image: Any, outputs: tuple[str, ...] = ALL_OUTPUTS, policy: Any = FP32) -> dict[str, Any]:
    batch, views, _, height, width = image.shape
    net = build_static(source, batch, views, height, width, outputs, policy)
    with torch.no_grad():
        return dict(zip(net.output_names, net(image), strict=True))


def assert_parity(actual: dict[str, Any], expected: dict[str, Any], bound: float = BOUND) -> None:
    assert list(actual) == list(expected)
    for name, value in expected.items():
        assert actual[name].shape == value.shape, name
        assert actual[name].dtype == value.dtype, name
        if name == "reference_view":
            assert torch.equal(actual[name], value)
        else:
            assert relative_l2(actual[name], value) <= bound, name
