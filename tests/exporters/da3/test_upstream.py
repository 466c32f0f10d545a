"""Upstream as its users run it, with our names."""

from __future__ import annotations

import builtins
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("depth_anything_3")

from depthport.exporters.core.errors import UnavailableError  # noqa: E402
from depthport.exporters.da3.registry import get_model  # noqa: E402
from depthport.exporters.da3.upstream import INSTALL, build_upstream_on_meta, double_arithmetic, upstream_forward  # noqa: E402


def test_outputs_are_upstreams_by_our_names(upstream: Any, scene: Any, capsys: Any) -> None:
    net = upstream()
    image = scene(2, 3, 70, 98)
    outputs = upstream_forward(net, image, ["ray", "depth", "ray_conf", "extrinsics", "reference_view"])
    assert {name: tuple(value.shape) for name, value in outputs.items()} == {
        "depth": (2, 3, 70, 98),
        "extrinsics": (2, 3, 3, 4),
        "reference_view": (2,),
        "ray": (2, 3, 40, 56, 6),
        "ray_conf": (2, 3, 40, 56),
    }
    with torch.no_grad():
        plain = net(image)
    assert torch.equal(outputs["depth"], plain.depth)
    assert torch.equal(outputs["extrinsics"], plain.extrinsics)
    assert capsys.readouterr().out == ""


def test_the_reference_view_is_the_one_upstream_chose(upstream: Any, scene: Any) -> None:
    from depth_anything_3.model.dinov2 import vision_transformer

    before = vision_transformer.select_reference_view
    image = scene(1, 4, 70, 98, "noise", seed=1)
    chosen = int(upstream_forward(upstream(), image, ["reference_view"])["reference_view"])
    assert vision_transformer.select_reference_view is before
    # With the chosen view first, upstream has nothing to reorder.
    order = [chosen, *(view for view in range(4) if view != chosen)]
    assert int(upstream_forward(upstream(), image[:, order], ["reference_view"])["reference_view"]) == 0
    assert upstream_forward(upstream(), image[:, :2], ["reference_view"])["reference_view"].tolist() == [0]


@pytest.mark.parametrize("model", ["da3-small", "da3-base", "da3-large"])
def test_networks_on_meta_have_no_storage(model: str) -> None:
    net = build_upstream_on_meta(get_model(model))
    assert all(p.is_meta for p in net.parameters())
    assert not list(net.buffers())


def test_without_depth_anything_3_the_line_that_installs_it_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.startswith("depth_anything_3"):
            raise ImportError(f"No module named {name!r}")
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UnavailableError) as caught:
        build_upstream_on_meta(get_model("da3-small"))
    assert INSTALL in str(caught.value)


def test_attention_in_fp64_by_blocks_of_queries_is_attention(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("depthport.exporters.da3.upstream._SCORES_BYTES", 8 * 2 * 3 * 11 * 4)  # four queries at a time
    query, key, value = (torch.randn(2, 3, length, 16, dtype=torch.float64) for length in (9, 11, 11))
    expected = (query @ key.mT / 4).softmax(-1) @ value
    with double_arithmetic():
        found = torch.nn.functional.scaled_dot_product_attention(query, key, value)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-14)
