"""Where weights come from, and every way in which they can be wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from depthport.exporters.core.errors import WeightsError
from depthport.exporters.core.provenance import file_sha256
from depthport.exporters.da3.checkpoint import WEIGHTS_FILE
from depthport.exporters.da3.models import MODELS
from depthport.exporters.da3.registry import get_model
from depthport.exporters.da3.weights import CONFIG_FILE, load_state_dict, resolve_weights, weights_to_measure

SMALL = MODELS["da3-small"]

torch = pytest.importorskip("torch")
safetensors = pytest.importorskip("safetensors.torch")
pytest.importorskip("depth_anything_3")


@pytest.fixture(scope="module")
def tensors() -> dict[str, Any]:
    state = load_state_dict(resolve_weights("synthetic:3", SMALL), SMALL)
    return {f"model.{key}": value for key, value in state.items()}


@pytest.fixture(scope="module")
def checkpoint(tensors: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in Hugging Face layout."""
    return write_checkpoint(tmp_path_factory.mktemp("checkpoint"), tensors)


def write_checkpoint(folder: Path, tensors: dict[str, Any], model: str = "da3-small") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CONFIG_FILE).write_text(json.dumps({"model_name": model}))
    safetensors.save_file(tensors, folder / WEIGHTS_FILE)
    return folder


def refused(spec: str, model: str = "da3-small") -> str:
    """The one line with which weights are refused when they are resolved or loaded."""
    with pytest.raises(WeightsError) as caught:
        load_state_dict(resolve_weights(spec, get_model(model)), get_model(model))
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize(("spec", "seed", "outliers"), [("synthetic:0", 0, False), ("synthetic:41,outliers", 41, True)])
def test_synthetic_weights_have_a_hash_before_they_are_made(spec: str, seed: int, outliers: bool) -> None:
    ref = resolve_weights(spec, SMALL)
    assert (ref.id, ref.synthetic, ref.seed, ref.outliers) == (spec, True, seed, outliers)
    assert len(ref.sha256) == 64
    others = [resolve_weights(spec, get_model("da3-base")), resolve_weights("synthetic:7", SMALL)]
    assert ref.sha256 not in {other.sha256 for other in others}


@pytest.mark.parametrize("spec", ["synthetic", "synthetic:", "synthetic:x", "synthetic:-1", "synthetic:1,spikes"])
def test_malformed_synthetic_weights_are_refused(spec: str) -> None:
    assert "write synthetic:SEED or synthetic:SEED,outliers" in refused(spec)


@pytest.mark.parametrize("part", ["", WEIGHTS_FILE])
def test_a_folder_or_its_file_is_read(checkpoint: Path, tensors: dict[str, Any], part: str) -> None:
    ref = resolve_weights(str(checkpoint / part), SMALL)
    assert ref.path == str(checkpoint / WEIGHTS_FILE)
    assert ref.sha256 == file_sha256(checkpoint / WEIGHTS_FILE)
    assert not ref.synthetic
    state = load_state_dict(ref, SMALL)
    assert all(torch.equal(value, tensors[f"model.{key}"]) for key, value in state.items())


def test_half_precision_checkpoints_are_loaded_in_fp32(tensors: dict[str, Any], tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "half", {key: value.half() for key, value in tensors.items()})
    state = load_state_dict(resolve_weights(str(folder), SMALL), SMALL)
    assert {value.dtype for value in state.values()} == {torch.float32}


def test_the_hub_cache_is_used_without_the_network(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    constants = pytest.importorskip("huggingface_hub.constants")
    revision = "0123456789abcdef0123456789abcdef01234567"
    repository = tmp_path / "models--depth-anything--DA3-SMALL"
    snapshot = repository / "snapshots" / revision
    snapshot.parent.mkdir(parents=True)
    snapshot.symlink_to(checkpoint)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(revision)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("depthport.exporters.da3.hub._reachable", lambda url: pytest.fail("the network was asked"))
    for spec in (None, "depth-anything/DA3-SMALL", f"depth-anything/DA3-SMALL@{revision}"):
        ref = resolve_weights(spec, SMALL)
        assert (ref.synthetic, ref.note) == (False, None)
        assert ref.id == (spec or "depth-anything/DA3-SMALL")
        assert ref.sha256 == file_sha256(checkpoint / WEIGHTS_FILE)
    assert resolve_weights(None, SMALL).licence == "Apache-2.0"


def test_without_checkpoint_and_network_nothing_random_is_exported_and_what_is_measured_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("depthport.exporters.da3.hub._reachable", lambda url: False)
    missing = "depth-anything/DA3-SMALL is not cached"
    with pytest.raises(WeightsError, match=f"{missing}.*pass --weights synthetic:0") as refusal:
        resolve_weights(None, SMALL)
    assert "\n" not in str(refusal.value) and refusal.value.exit_code == 2
    ref = weights_to_measure(None, SMALL)
    assert ref.id == "synthetic:0" and ref.synthetic
    assert ref.note is not None and "\n" not in ref.note and missing in ref.note
    assert "can't be reached" in refused("depth-anything/DA3-SMALL")


def test_a_damaged_checkpoint_is_never_replaced_by_random_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / WEIGHTS_FILE).write_bytes(b"\x00" * 32)
    monkeypatch.setattr("depthport.exporters.da3.weights.fetch", lambda hub_id: tmp_path)
    for resolve in (resolve_weights, weights_to_measure):
        with pytest.raises(WeightsError, match=r"^(?!.*synthetic)"):
            resolve(None, SMALL)


def test_offline_mode_is_respected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr("depthport.exporters.da3.hub._reachable", lambda url: pytest.fail("the network was asked"))
    assert "HF_HUB_OFFLINE is set" in refused("depth-anything/DA3-SMALL")


def test_what_is_no_path_and_no_hub_id_is_refused() -> None:
    assert "neither a file or folder here nor a Hugging Face id" in refused("./no/such/folder")


def test_a_checkpoint_of_another_model_is_refused(checkpoint: Path) -> None:
    assert "is for 'da3-small', not for 'da3-base'" in refused(str(checkpoint), "da3-base")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, None),
        ("{", "is not valid JSON"),
        ("[]", None),
        ("{}", None),
        ('{"model_name": 3}', None),
        ('{"model_name": "DA3_SMALL"}', None),
    ],
)
def test_keys_and_shapes_decide_not_the_config(
    checkpoint: Path, tmp_path: Path, text: str | None, message: str | None
) -> None:
    (tmp_path / WEIGHTS_FILE).symlink_to(checkpoint / WEIGHTS_FILE)
    if text is not None:
        (tmp_path / CONFIG_FILE).write_text(text)
    if message is not None:
        assert message in refused(str(tmp_path))
    else:
        assert resolve_weights(str(tmp_path), SMALL).note is None


@pytest.mark.parametrize("name", ["pytorch_model.bin", "da3.pt", "da3.pth", "da3.ckpt", "da3.pkl"])
def test_pickles_are_refused_and_never_opened(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"cos\nsystem\n(S'exit 1'\ntR.")
    assert "is a pickle, which can run code" in refused(str(tmp_path / name))
    assert f"only {name}, a pickle" in refused(str(tmp_path))


def test_other_files_and_empty_folders_are_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("none")
    assert "is not a safetensors file" in refused(str(tmp_path / "notes.txt"))
    assert f"has no {WEIGHTS_FILE}" in refused(str(tmp_path))


@pytest.mark.parametrize("size", [0, 7, 5_000, 1_000_000])
def test_truncated_files_are_refused(checkpoint: Path, tmp_path: Path, size: int) -> None:
    (tmp_path / CONFIG_FILE).write_text((checkpoint / CONFIG_FILE).read_text())
    with (checkpoint / WEIGHTS_FILE).open("rb") as whole:
        (tmp_path / WEIGHTS_FILE).write_bytes(whole.read(size))
    assert "is truncated or not a safetensors file" in refused(str(tmp_path))


def test_the_first_three_keys_that_do_not_fit_are_named(tensors: dict[str, Any], tmp_path: Path) -> None:
    changed = dict(tensors)
    del changed["model.backbone.pretrained.cls_token"], changed["model.head.norm.weight"]
    changed["model.cam_dec.fc_t.bias"] = torch.zeros(4)
    changed["model.extra.weight"] = torch.zeros(1)
    message = refused(str(write_checkpoint(tmp_path, changed)))
    assert "backbone.pretrained.cls_token is missing; head.norm.weight is missing; extra.weight is unknown" in message
    assert message.endswith("and 1 more")


def test_a_shape_that_does_not_fit_is_named(tensors: dict[str, Any], tmp_path: Path) -> None:
    changed = {**tensors, "model.cam_dec.fc_t.bias": torch.zeros(4)}
    assert "cam_dec.fc_t.bias is 4, not 3" in refused(str(write_checkpoint(tmp_path, changed)))


def loads(path: Path, tensors: dict[str, Any]) -> str | None:
    """The note of weights that load as `tensors`."""
    ref = resolve_weights(str(path), SMALL)
    state = load_state_dict(ref, SMALL)
    assert all(torch.equal(value, tensors[f"model.{key}"]) for key, value in state.items())
    return ref.note


@pytest.mark.parametrize("prefix", ["", "module.", "net.", "api_model.model.", "module.model."])
def test_wrapped_keys_are_read_and_said(tensors: dict[str, Any], tmp_path: Path, prefix: str) -> None:
    wrapped = {prefix + key.removeprefix("model."): value for key, value in tensors.items()}
    note = loads(write_checkpoint(tmp_path, {**wrapped, "epoch": torch.tensor(7)}), tensors)
    assert note is not None and "epoch in the checkpoint is ignored" in note and "\n" not in note
    assert (f"{prefix!r} was stripped" in note) == bool(prefix)


def test_several_networks_in_one_file(tensors: dict[str, Any], tmp_path: Path) -> None:
    bare = {key.removeprefix("model."): value for key, value in tensors.items()}
    student = {f"student.{key}": value for key, value in bare.items()}
    teacher = {f"teacher.{key}": value.clone() for key, value in bare.items()}
    message = refused(str(write_checkpoint(tmp_path, {**student, **teacher})))
    assert "holds several networks ('student.', 'teacher.')" in message


def test_shards_are_one_checkpoint(tensors: dict[str, Any], tmp_path: Path) -> None:
    keys = sorted(tensors)
    shards = {"a-1.safetensors": keys[:100], "a-2.safetensors": keys[100:]}
    for name, held in shards.items():
        safetensors.save_file({key: tensors[key] for key in held}, tmp_path / name)
    index = tmp_path / "model.safetensors.index.json"
    where = {key: name for name, held in shards.items() for key in held}
    index.write_text(json.dumps({"weight_map": where}))
    assert loads(tmp_path, tensors) is None and loads(index, tensors) is None
    ref = resolve_weights(str(tmp_path), SMALL)
    (tmp_path / "a-2.safetensors").touch()
    with pytest.raises(WeightsError, match="is being changed"):
        load_state_dict(ref, SMALL)
    (tmp_path / "a-2.safetensors").unlink()
    assert "a-2.safetensors is missing" in refused(str(tmp_path))
    index.write_text(json.dumps({"weight_map": {"x": "../a-1.safetensors"}}))
    assert "is not a safetensors file beside it" in refused(str(tmp_path))


def test_one_file_of_any_name_and_the_right_one_of_two_models(
    checkpoint: Path, tensors: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "finetuned.safetensors").symlink_to(checkpoint / WEIGHTS_FILE)
    assert loads(tmp_path, tensors) is None
    wide = {"model.backbone.pretrained.cls_token": torch.zeros(1, 1, 768), "model.cam_dec.fc_t.bias": torch.zeros(3)}
    safetensors.save_file(wide, tmp_path / "base.safetensors")
    assert loads(tmp_path, tensors) is None
    assert resolve_weights(str(tmp_path), get_model("da3-base")).path == str(tmp_path / "base.safetensors")
    (tmp_path / "again.safetensors").symlink_to(checkpoint / WEIGHTS_FILE)
    assert "several checkpoints of da3-small: name one of again" in refused(str(tmp_path))


def test_monocular_models_are_told_apart_by_their_name(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, {"model.backbone.pretrained.cls_token": torch.zeros(1, 1, 1024)}, "DA3METRIC_LARGE")
    assert resolve_weights(str(tmp_path), get_model("da3metric-large")).note is None
    with pytest.raises(WeightsError, match="is for 'da3metric-large', not for 'da3mono-large'"):
        resolve_weights(str(tmp_path), get_model("da3mono-large"))
    (tmp_path / CONFIG_FILE).unlink()
    with pytest.raises(WeightsError, match="fits several models"):
        resolve_weights(str(tmp_path), get_model("da3mono-large"))


def test_a_folder_of_the_hub_cache_has_the_repositorys_name_and_licence(checkpoint: Path, tmp_path: Path) -> None:
    repository = tmp_path / "models--depth-anything--DA3-SMALL"
    (repository / "snapshots").mkdir(parents=True)
    (repository / "snapshots" / "abc123").symlink_to(checkpoint)
    for path in (repository, repository / "snapshots" / "abc123", repository / "snapshots" / "abc123" / WEIGHTS_FILE):
        ref = resolve_weights(str(path), SMALL)
        assert (ref.id, ref.licence) == ("depth-anything/DA3-SMALL@abc123", "Apache-2.0")


def test_what_is_no_checkpoint_of_da3(tmp_path: Path) -> None:
    assert "is not a DA3 checkpoint" in refused(str(write_checkpoint(tmp_path, {"bert.embeddings": torch.zeros(3)})))


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "x" * 5000 + ".safetensors", "a\0.safetensors", ".x.safetensors"])
def test_an_index_names_files_beside_it(name: str, tmp_path: Path) -> None:
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": f"{name}.safetensors"}}))
    with pytest.raises(WeightsError, match="not a safetensors file beside it"):
        resolve_weights(str(tmp_path), MODELS["da3-small"])


@pytest.mark.parametrize("commit", ["../../../etc", "x" * 100_000, "a\0b", ""])
def test_a_reference_of_the_hubs_cache_names_a_snapshot(commit: str, tmp_path: Path) -> None:
    for part in ("snapshots", "refs"):
        (tmp_path / "models--a--b" / part).mkdir(parents=True)
    (tmp_path / "models--a--b" / "refs" / "main").write_text(commit)
    with pytest.raises(WeightsError, match="has no snapshot"):
        resolve_weights(str(tmp_path / "models--a--b"), MODELS["da3-small"])


def test_a_name_that_the_hub_does_not_allow_is_one_line() -> None:
    with pytest.raises(WeightsError, match="is not a Hugging Face id"):
        resolve_weights("-/-", MODELS["da3-small"])
