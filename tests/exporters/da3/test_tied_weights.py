"""A checkpoint as Hugging Face writes it: a shared parameter under one of its names only."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_model

from depthport.exporters.da3.models import MODELS
from depthport.exporters.da3.registry import get_model
from depthport.exporters.da3.upstream import build_upstream, build_upstream_on_meta
from depthport.exporters.da3.weights import load_state_dict, resolve_weights, tied_keys

SMALL = MODELS["da3-small"]


def test_the_shared_norm_is_one_group() -> None:
    groups = tied_keys(build_upstream_on_meta(get_model("da3-small")))
    assert sorted(len(group) for group in groups) == [4, 4]
    assert all("output_conv2_aux" in key for group in groups for key in group)


def test_a_checkpoint_saved_by_hugging_face_loads(tmp_path: Path) -> None:
    state = load_state_dict(resolve_weights("synthetic:3", SMALL), SMALL)
    whole = torch.nn.Module()
    whole.model = build_upstream(SMALL, state)
    save_model(whole, str(tmp_path / "model.safetensors"))
    (tmp_path / "config.json").write_text(json.dumps({"model_name": "da3-small"}))
    assert len(load_file(tmp_path / "model.safetensors")) == len(state) - 6
    loaded = load_state_dict(resolve_weights(str(tmp_path), SMALL), SMALL)
    assert loaded.keys() == state.keys()
    assert all(torch.equal(loaded[key], state[key]) for key in state)
