"""Synthetic weights: reproducible to the bit, and well enough conditioned that a comparison means something."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pytest

from depthport.exporters.da3.synthetic import synthetic_arrays

SHAPES = {
    "backbone.pretrained.patch_embed.proj.weight": (8, 3, 14, 14),
    "backbone.pretrained.blocks.0.ls1.gamma": (8,),
    "head.resize_layers.0.weight": (4, 4, 4, 4),
    "cam_dec.fc_qvec.bias": (4,),
}


def digest(arrays: dict[str, Any]) -> str:
    state = hashlib.sha256()
    for array in arrays.values():
        state.update(np.ascontiguousarray(array, "<f4").tobytes())
    return state.hexdigest()


def test_values_are_the_same_bits_everywhere_and_always() -> None:
    assert digest(synthetic_arrays(SHAPES, 0)) == "fd1daa28f4181cd0f78a75c5ea3202b03d2a3756e7e787e011639665becfcbf2"
    assert digest(synthetic_arrays(SHAPES, 12345)) == "15e59a3bec5f8c6d6f7123a5ff5385b2ad148b6e746a1daf883ae506b4c893d0"


def test_a_parameter_depends_on_seed_and_key_alone() -> None:
    alone = synthetic_arrays({"a.weight": (33, 7)}, 5)["a.weight"]
    assert np.array_equal(alone, synthetic_arrays({"b.weight": (9, 9), "a.weight": (33, 7)}, 5)["a.weight"])
    assert not np.array_equal(alone, synthetic_arrays({"a.weight": (33, 7)}, 6)["a.weight"])


def test_weights_keep_unit_scale() -> None:
    weight = synthetic_arrays({"some.weight": (500, 800)}, 0)["some.weight"]
    assert weight.dtype == np.float32
    assert abs(weight.mean()) < 1e-3
    assert weight.std() == pytest.approx(1 / np.sqrt(800), rel=0.01)


@pytest.mark.parametrize("outliers", ["", ",outliers"])
@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("kind", ["photo", "noise"])
def test_the_network_is_well_conditioned(upstream: Any, scene: Any, kind: str, seed: int, outliers: str) -> None:
    torch = pytest.importorskip("torch")
    from depthport.exporters.da3.upstream import upstream_forward

    net = upstream("da3-small", f"synthetic:{seed}{outliers}")
    found = upstream_forward(net, scene(1, 3, 140, 196, kind))
    other = upstream_forward(net, scene(1, 3, 140, 196, kind, seed=1))
    for view in range(3):
        depth = found["depth"][0, view]
        assert depth.max() / depth.min() > 10
        assert 0.01 < depth.median() < 100
        assert found["depth_conf"][0, view].min() > 1
        assert found["depth_conf"][0, view].median() < 10
    focal = torch.stack((found["intrinsics"][..., 0, 0] / 196, found["intrinsics"][..., 1, 1] / 140), dim=-1)
    field_of_view = torch.rad2deg(2 * torch.atan(0.5 / focal))
    assert field_of_view.min() > 30 and field_of_view.max() < 90
    rotation = found["extrinsics"][..., :3]
    assert torch.allclose(rotation @ rotation.mT, torch.eye(3), atol=1e-5)
    for name in ("depth", "extrinsics", "intrinsics"):
        change = (found[name] - other[name]).norm() / found[name].norm()
        assert change > 0.01, f"{name} does not depend on the image"


@pytest.mark.parametrize("size", [(70, 98), (140, 196)])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_outliers_are_massive_activations_of_few_tokens(
    upstream: Any, scene: Any, seed: int, size: tuple[int, int]
) -> None:
    torch = pytest.importorskip("torch")
    states: list[Any] = []
    net = upstream("da3-small", f"synthetic:{seed},outliers")
    blocks = net.backbone.pretrained.blocks
    hook = blocks[len(blocks) // 3].register_forward_hook(lambda _module, _args, output: states.append(output))
    try:
        with torch.no_grad():
            for kind in ("photo", "noise"):
                net(scene(1, 2, *size, kind))
    finally:
        hook.remove()
    for state in states:
        peaks = state.abs().flatten(0, -2).amax(dim=-1)
        typical = state.abs().median()
        assert peaks.max() > (100 if size == (70, 98) else 500) * typical
        assert 0 < (peaks > 100 * typical).float().mean() < 0.05
        assert size == (70, 98) or peaks.max() ** 2 > torch.finfo(torch.float16).max


@pytest.mark.slow
@pytest.mark.parametrize("model", ["da3-base", "da3-large"])
def test_larger_networks_are_well_conditioned(upstream: Any, scene: Any, model: str) -> None:
    from depthport.exporters.da3.upstream import upstream_forward

    found = upstream_forward(upstream(model), scene(1, 2, 336, 504))
    for depth in found["depth"][0]:
        assert depth.max() / depth.min() > 10
        assert 0.01 < depth.median() < 100
