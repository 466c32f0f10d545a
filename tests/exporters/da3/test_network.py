"""The static network against upstream: same function, same shapes, for every number of views."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("depth_anything_3")

from depthport.exporters.core.errors import UnsupportedError, UsageError  # noqa: E402
from depthport.exporters.core.precision import POLICIES  # noqa: E402
from depthport.exporters.da3.static.network import build_static  # noqa: E402
from depthport.exporters.da3.upstream import upstream_forward  # noqa: E402
from tests.support.static_network import ALL_OUTPUTS, assert_parity, run_static  # noqa: E402

FP32 = POLICIES["fp32"]


@pytest.mark.parametrize("weights", ["synthetic:0", "synthetic:1", "synthetic:2,outliers"])
@pytest.mark.parametrize("kind", ["photo", "noise"])
@pytest.mark.parametrize("views", [1, 2, 3, 5])
def test_equals_upstream(upstream: Any, scene: Any, views: int, kind: str, weights: str) -> None:
    source = upstream("da3-small", weights)
    image = scene(1, views, 70, 98, kind, seed=views)
    assert_parity(run_static(source, image), upstream_forward(source, image, ALL_OUTPUTS))


def test_the_reference_view_is_not_always_the_first(upstream: Any, scene: Any) -> None:
    source = upstream()
    chosen = set()
    for seed in range(8):
        image = scene(1, 4, 70, 98, "noise", seed)
        expected = upstream_forward(source, image)
        assert_parity(run_static(source, image, tuple(expected)), expected)
        chosen.add(int(expected["reference_view"]))
    assert len(chosen) >= 3


@pytest.mark.parametrize("size", [(14, 14), (14, 42), (518, 14), (28, 56)])
def test_equals_upstream_at_odd_sizes(upstream: Any, scene: Any, size: tuple[int, int]) -> None:
    image = scene(1, 3, *size)
    assert_parity(run_static(upstream(), image), upstream_forward(upstream(), image, ALL_OUTPUTS))


@pytest.mark.parametrize("views", [1, 2, 3, 10])
def test_a_batch_equals_its_scenes_one_by_one(upstream: Any, scene: Any, views: int) -> None:
    image = scene(2, views, 70, 98, seed=7)
    together = run_static(upstream(), image)
    assert_parity(together, upstream_forward(upstream(), image, ALL_OUTPUTS))
    for index in range(2):
        alone = run_static(upstream(), image[index : index + 1])
        # Matrix products of another size may sum in another order.
        assert_parity({name: value[index : index + 1] for name, value in together.items()}, alone, bound=1e-5)


@pytest.mark.parametrize(
    "outputs", [("depth",), ("extrinsics",), ("reference_view",), ("ray", "ray_conf"), ("depth_conf", "intrinsics")]
)
def test_only_what_is_asked_for_is_computed(upstream: Any, scene: Any, outputs: tuple[str, ...]) -> None:
    image = scene(1, 3, 70, 98)
    net = build_static(upstream(), 1, 3, 70, 98, outputs, FP32)
    names = {name.partition(".")[0] for name, _ in net.named_modules()} - {""}
    assert ("head" in names) == any(name in outputs for name in ("depth", "depth_conf", "ray", "ray_conf"))
    assert ("camera" in names) == any(name in outputs for name in ("extrinsics", "intrinsics"))
    if "depth" in outputs:
        assert not any("ray" in name for name, _ in net.named_modules())
    expected = upstream_forward(upstream(), image, outputs)
    assert_parity(dict(zip(net.output_names, net(image), strict=True)), expected)


def test_twenty_runs_give_the_same_bits(upstream: Any, scene: Any) -> None:
    image = scene(1, 3, 70, 98)
    net = build_static(upstream(), 1, 3, 70, 98, ALL_OUTPUTS, FP32)
    with torch.no_grad():
        first = net(image)
        for _ in range(19):
            assert all(torch.equal(a, b) for a, b in zip(net(image), first, strict=True))


def test_parameters_are_shared_with_upstream_in_fp32(upstream: Any) -> None:
    source = upstream()
    net = build_static(source, 1, 3, 70, 98, None, FP32)
    own = {p.untyped_storage().data_ptr() for p in source.parameters()}
    copied = sum(p.nbytes for p in net.parameters() if p.untyped_storage().data_ptr() not in own)
    # The three output layers of the camera decoder are stacked.
    assert copied <= 9 * 769 * 4


def test_moving_the_static_network_leaves_upstream_where_it_is(upstream: Any) -> None:
    source = upstream()
    build_static(source, 1, 1, 14, 14, None, FP32).to("meta")
    assert {p.device.type for p in source.parameters()} == {"cpu"}


@pytest.mark.parametrize(
    ("shape", "message"), [((1, 1, 70, 99), "width must be a multiple of 14"), ((1, 0, 70, 98), "views must be at least 1")]
)
def test_impossible_shapes_are_refused(upstream: Any, shape: tuple[int, int, int, int], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        build_static(upstream(), *shape, None, FP32)


@pytest.mark.parametrize("policy", ["int8", "fp8"])
def test_quantized_policies_are_refused(upstream: Any, policy: str) -> None:
    with pytest.raises(UnsupportedError, match=f"precision '{policy}' is a quantization of an exported graph"):
        build_static(upstream(), 1, 1, 14, 14, None, POLICIES[policy])


@pytest.mark.slow
@pytest.mark.parametrize("size", [(504, 504), (336, 504)])
@pytest.mark.parametrize("views", [1, 2, 3, 5])
@pytest.mark.parametrize("model", ["da3-small", "da3-base"])
def test_equals_upstream_at_full_size(upstream: Any, scene: Any, model: str, views: int, size: tuple[int, int]) -> None:
    source = upstream(model)
    image = scene(1, views, *size, seed=views)
    with torch.no_grad():
        assert_parity(run_static(source, image), upstream_forward(source, image, ALL_OUTPUTS))


@pytest.mark.slow
def test_large_equals_upstream_at_full_size(upstream: Any, scene: Any) -> None:
    source = upstream("da3-large")
    image = scene(1, 3, 504, 504)
    assert_parity(run_static(source, image), upstream_forward(source, image, ALL_OUTPUTS))
