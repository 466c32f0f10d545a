"""Configurations of a user's own: what is taken, what is refused, and that nothing in them ever runs."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from depthport.exporters.core.errors import UsageError
from depthport.exporters.da3.models import MODELS
from depthport.exporters.da3.registry import get_model

yaml = pytest.importorskip("yaml")
pytest.importorskip("omegaconf")
pytest.importorskip("depth_anything_3")

UPSTREAM = Path(next(iter(__import__("depth_anything_3").__path__))) / "configs"


def refused(path: Path, text: str) -> str:
    """The one line with which a configuration is refused."""
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError) as caught:
        get_model(str(path))
    assert "\n" not in str(caught.value) and caught.value.exit_code == 2
    return str(caught.value)


def changed(model: str, **changes: Any) -> str:
    """Upstream's YAML of a model with values replaced: `net__name="vitb"`; None takes a key out."""
    config = yaml.safe_load((UPSTREAM / f"{model}.yaml").read_text())
    for dotted, value in changes.items():
        node = config
        *sections, key = dotted.split("__")
        for section in sections:
            node = node[section]
        if value is None:
            del node[key]
        else:
            node[key] = value
    return str(yaml.safe_dump(config))


@pytest.mark.parametrize("model", list(MODELS))
def test_upstreams_own_configurations_are_taken(model: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text((UPSTREAM / f"{model}.yaml").read_text())
    spec, known = get_model(str(path)), MODELS[model]
    assert spec.name == "mine" and spec.source == str(path)
    assert "mono" if known.family == "metric" else known.family == spec.family
    assert (spec.outputs, spec.feed_forward) == (known.outputs, known.feed_forward)
    assert "gs_head" not in json.dumps(spec.config)


def test_values_may_differ_where_the_structure_is_the_same(tmp_path: Path) -> None:
    from depthport.exporters.da3.upstream import build_upstream_on_meta

    path = tmp_path / "mine.yaml"
    path.write_text(
        changed("da3-small", net__out_layers=[3, 6, 8, 10], net__alt_start=6, net__qknorm_start=-1, head__features=32)
    )
    net: Any = build_upstream_on_meta(get_model(str(path)))
    assert net.backbone.out_layers == [3, 6, 8, 10]
    assert net.head.scratch.refinenet1.out_conv.weight.shape[0] == 32


def test_a_reference_within_the_file_is_resolved(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(changed("da3-small", cam_dec__dim_in="$" + "{head.dim_in}"))
    config: Any = get_model(str(path)).config
    assert config["cam_dec"]["dim_in"] == 768


def test_hugging_faces_config_json_beside_the_weights(tmp_path: Path) -> None:
    folder = tmp_path / "my model"
    folder.mkdir()
    config = yaml.safe_load(changed("da3-small", head__features=32))
    (folder / "config.json").write_text(json.dumps({"model_name": "whatever", "config": config}))
    spec = get_model(str(folder))
    assert (spec.name, spec.family) == ("my-model", "anyview")
    assert get_model(str(folder / "config.json")) is spec
    (folder / "config.json").write_text(json.dumps({"model_name": "da3-base"}))
    assert get_model(str(folder)) is MODELS["da3-base"]


def test_a_file_that_takes_a_models_name_gets_another(tmp_path: Path) -> None:
    path = tmp_path / "da3-small.yaml"
    path.write_text(changed("da3-small"))
    assert get_model(str(path)).name == "custom-da3-small"


@pytest.mark.parametrize(
    "text",
    [
        "__object__: {path: os, name: system, args: as_params}\nnet: {}\nhead: {}",
        changed("da3-small", head__name="evil"),
        changed("da3-small", net={"__object__": {"path": "subprocess", "name": "call", "args": "as_params"}}),
        changed("da3-small", net={"__object__": {"path": "builtins", "name": "eval", "args": "as_config"}}),
        changed("da3-small", head__features="$" + '{eval:\'__import__("os").system("touch evil")\'}'),
        changed("da3-small", head__features="$" + "{oc.env:HOME}"),
        changed("da3-small", head__features="$" + "{a$" + "{b}}"),
        "!!python/object/apply:os.system ['touch evil']",
        "__inherit__: /etc/passwd",
        "__inherit__: depth_anything_3.configs.../../evil",
        "__inherit__: [depth_anything_3.configs.da3-small, other.module]",
        "__inherit__: {a: b}",
        "a: &a {b: *a}",
        "a: $" + "{b}\nb: $" + "{a}",
        "",
        "3",
        "[1, 2]",
        "a: b: c",
        "\ttab: 1",
        "a: 1\na: 2",
        "net: {name: vits}\nhead: {}",
        "__object__: 3",
        "__object__: {path: [1], name: {}, args: as_params}\nnet: {}\nhead: {}",
    ],
)
def test_what_is_no_configuration_of_upstreams_is_refused(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert refused(tmp_path / "mine.yaml", text)
    assert {p.name for p in tmp_path.iterdir()} == {"mine.yaml"}


@pytest.mark.parametrize(
    ("model", "change", "message"),
    [
        ("da3-small", {"net__name": "vith"}, "net.name is 'vith': choose one of vits, vitb, vitl, vitg"),
        ("da3-small", {"net__name": "vitb"}, "cam_enc.dim_out is 384: with this backbone it must be 768"),
        ("da3-small", {"net__out_layers": [5, 7, 9, 12]}, "four rising block numbers from 0 to 11"),
        ("da3-small", {"net__out_layers": [5, 7, 7, 9]}, "four rising block numbers"),
        ("da3-small", {"net__out_layers": 5}, "four rising block numbers"),
        ("da3-small", {"net__out_layers": [True, 2, 3, 4]}, "four rising block numbers"),
        ("da3-small", {"net__alt_start": 1}, "alternates from block 2 or later"),
        ("da3-small", {"net__alt_start": -1}, "alternates from block 2 or later"),
        ("da3-small", {"net__rope_start": -1}, "has rotary embedding"),
        ("da3-small", {"net__rope_start": "4"}, "net.rope_start is '4': give a block number"),
        ("da3-small", {"net__cat_token": False}, "reads both states of a token"),
        ("da3-small", {"net__cat_token": 1}, "give true or false"),
        ("da3-small", {"net__drop_path": 0.1}, "net.drop_path is unknown"),
        ("da3-small", {"head__pos_embed": False}, "head.pos_embed is unknown or has no counterpart"),
        ("da3-small", {"head__features": 12}, "head.features is 12: give a multiple of 8 up to 4096"),
        ("da3-small", {"head__features": 10**9}, "give a multiple of 8 up to 4096"),
        ("da3-small", {"head__out_channels": [48, 96, 192]}, "give four numbers of channels"),
        ("da3-small", {"head__output_dim": 3}, "head.output_dim is 3"),
        ("da3-small", {"cam_dec": None}, "cam_dec is missing"),
        ("da3-small", {"head": None}, "head is missing"),
        ("da3-small", {"teacher": {}}, "teacher is unknown"),
        ("da3mono-large", {"net__alt_start": 8}, "it must be a plain DINOv2"),
        ("da3mono-large", {"cam_dec": {}}, "cam_dec has no camera token to read"),
        ("da3nested-giant-large", {"metric": {"__inherit__": "depth_anything_3.configs.da3-small"}}, "other network"),
        ("da3nested-giant-large", {"metric": None}, "metric is missing"),
    ],
)
def test_structures_that_the_network_does_not_cover_are_refused(
    model: str, change: dict[str, Any], message: str, tmp_path: Path
) -> None:
    assert message in refused(tmp_path / "mine.yaml", changed(model, **change))


def test_parser_bombs_are_refused_at_once(tmp_path: Path) -> None:
    levels = "\n".join(f"l{i}: &l{i} [{', '.join([f'*l{i - 1}'] * 9)}]" for i in range(1, 10))
    assert "more than 16 aliases" in refused(tmp_path / "laughs.yaml", f"l0: &l0 [x, x]\n{levels}")
    assert "12 levels" in refused(tmp_path / "deep.yaml", "[" * 5000)
    assert "is not valid JSON" in refused(tmp_path / "deep.json", "[" * 50_000)
    assert "too large for a configuration" in refused(tmp_path / "long.yaml", "#" * 70_000)


@pytest.mark.parametrize(
    ("text", "message"),
    [("{", "is not valid JSON"), ("[]", "is not a mapping"), ("{}", "names no class"), ('{"config": 3}', "names no class"),
     ('{"model_name": "da3-tiny"}', "names no class"), ('{"config": {"net": "$' + '{eval:1}"}}', "holds an interpolation")],
)  # fmt: skip
def test_json_that_is_none_is_refused(text: str, message: str, tmp_path: Path) -> None:
    assert message in refused(tmp_path / "config.json", text)


def test_what_is_not_there_or_not_readable_is_refused(tmp_path: Path) -> None:
    for name in (tmp_path / "none.yaml", tmp_path):
        with pytest.raises(UsageError, match="neither a known model nor a configuration here"):
            get_model(str(name))
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="can't be read"):
        get_model(str(tmp_path / "bytes.yaml"))


def test_a_folder_is_found_by_its_bare_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, model in (("base", "DA3_BASE"), ("da3-small", "da3-large")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(f'{{"model_name": "{model}"}}')
    assert get_model("base") is MODELS["da3-base"]
    assert get_model("da3-small") is MODELS["da3-small"]  # a name of upstream's is that model
    with pytest.raises(UsageError, match="unknown model 'elsewhere'"):
        get_model("elsewhere")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs a file system with pipes")
@pytest.mark.parametrize("name", ["config.json", "mine.yaml"])
def test_a_pipe_is_refused_and_not_waited_for(name: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / name)
    with pytest.raises(UsageError):
        get_model(str(tmp_path / name))


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_what_windows_tools_write_is_read(encoding: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_name": "da3-small"}', encoding=encoding)
    assert get_model(str(tmp_path)).name == "da3-small"
