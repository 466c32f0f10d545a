"""Parts of the network by the names that the converter gives, and the choice among them by real errors."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from depthport.exporters.core.errors import ExportError
from depthport.exporters.litert.quantize import choose_recipe, worst
from depthport.exporters.litert.recipes import dynamic, group, half, pattern, weights_only

ROOT = "depthport.exporters.da3.static.network.StaticDA3/"
BLOCK = ROOT + "depthport.exporters.da3.static.backbone.Backbone_backbone/depthport.exporters.da3.static.blocks.Block_{}/"
SCOPES = {
    "backbone": ROOT
    + "depthport.exporters.da3.static.backbone.Backbone_backbone/torch.nn.modules.conv.Conv2d_patch_embed;3",
    "backbone.1.attn": BLOCK.format(1) + "depthport.exporters.da3.static.blocks.Attention_attn/torch.nn.Linear_qkv;1",
    "backbone.11.attn": BLOCK.format(11) + "depthport.exporters.da3.static.blocks.Attention_attn;19",
    "backbone.1.mlp": BLOCK.format(1)
    + "depthport.exporters.da3.static.blocks.Mlp_mlp/torch.nn.modules.linear.Linear_fc1;1",
    "head": ROOT + "depthport.exporters.da3.static.head.DualHead_head/x.Stage_0/torch.nn.modules.conv.Conv2d_project;3",
    "camera": ROOT + "depthport.exporters.da3.static.camera.CameraDecoder_camera;5",
}


@pytest.mark.parametrize("name", SCOPES)
def test_a_group_is_found_by_its_pattern_alone(name: str) -> None:
    assert group(SCOPES[name]) == name
    assert [other for other, scope in SCOPES.items() if re.search(pattern(name), scope)] == [name]


def test_a_fused_operator_belongs_to_the_block_that_it_names() -> None:
    assert group(BLOCK.format(3) + "x.LayerNorm_norm1;;" + SCOPES["backbone.1.mlp"]) == "backbone.1.mlp"


def test_what_is_nowhere_is_in_no_group() -> None:
    assert group("serving_default_image:0") is None


def test_recipes_differ_in_what_they_compute_in() -> None:
    def computed(recipe: list[dict[str, Any]]) -> set[Any]:
        return {
            (entry["op_config"]["compute_precision"], entry["op_config"]["weight_tensor_config"]["dtype"])
            for entry in recipe
        }

    assert computed(dynamic()) == {("INTEGER", "INT")}
    assert computed(weights_only()) == {("FLOAT", "INT")}
    assert computed(half()) == {("FLOAT", "FLOAT")}


# --- the choice, with a quantizer whose losses are known

RIGHT = {f"scene{i}/{name}": np.ones(shape) for i in range(2) for name, shape in {"depth": (1, 1, 4, 4)}.items()}
LOSS = {"backbone.0.mlp": 1e-3, "backbone.1.mlp": 2e-3, "head": 5e-2}
GFLOP = {"backbone.0.mlp": 4.0, "backbone.1.mlp": 4.0, "head": 1.0}


def quantizer(tried: list[list[str]], together: float = 1.0) -> Any:
    """Each part adds its loss to depth, in quadrature; several at once cost `together` times as much."""

    def try_(recipes: Any, outputs: Any) -> Any:
        found = []
        for recipe in recipes:
            parts = [name for name in LOSS if any(entry["regex"] in (".*", pattern(name)) for entry in recipe)]
            tried.append(parts)
            error = sum(LOSS[name] ** 2 for name in parts) ** 0.5 * (together if len(parts) > 1 else 1.0)
            found.append({name: value * (1 + error) for name, value in RIGHT.items()})
        return found

    return try_


def context(**options: Any) -> Any:
    request = SimpleNamespace(format="litert", options=options, outputs=("depth", "extrinsics"))
    return SimpleNamespace(request=request, progress=lambda step: None)


def test_parts_that_the_budget_allows_are_quantized_together() -> None:
    tried: list[list[str]] = []
    chosen = choose_recipe(context(), GFLOP, quantizer(tried))
    assert chosen.report["parts"] == ["backbone.0.mlp", "backbone.1.mlp"]
    assert tried == [[], ["backbone.0.mlp"], ["backbone.1.mlp"], ["head"], ["backbone.0.mlp", "backbone.1.mlp"]]
    assert chosen.report["share_of_gflop"] == pytest.approx(8 / 9, abs=1e-4)
    held_out: Any = chosen.report["held_out"]
    assert held_out["depth"] == pytest.approx(5**0.5 * 1e-3)


def test_what_is_too_much_together_is_given_back() -> None:
    chosen = choose_recipe(context(), GFLOP, quantizer([], together=5.0))
    assert chosen.report["parts"] == ["backbone.0.mlp"]


def test_without_any_part_within_the_budget_there_is_no_file() -> None:
    with pytest.raises(ExportError, match=r"int8 can't keep depth within 0.0001 .* or export fp16"):
        choose_recipe(context(max_depth_error=1e-4), GFLOP, quantizer([]))


def test_all_asks_no_budget() -> None:
    chosen = choose_recipe(context(mix="all"), GFLOP, quantizer([]))
    held_out: Any = chosen.report["held_out"]
    assert chosen.report["parts"] == list(GFLOP) and held_out["depth"] > 8e-3


def test_the_worst_scene_counts_for_depth_and_for_rotation() -> None:
    pose = np.broadcast_to(np.eye(3, 4), (1, 1, 3, 4))
    turned = pose.copy()
    angle = np.radians(2.0)
    turned[..., :2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    expected = {"a/depth": np.ones(4), "a/extrinsics": pose, "b/depth": np.ones(4), "b/extrinsics": pose}
    found = {"a/depth": np.full(4, 1.1), "a/extrinsics": pose, "b/depth": np.ones(4), "b/extrinsics": turned}
    assert worst(found, expected) == pytest.approx((0.1, 2.0))
