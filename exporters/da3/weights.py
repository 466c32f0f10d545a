"""Where parameters come from: a Hugging Face repository, a local checkpoint, or a seed.

Checkpoints are read in Hugging Face layout only, `config.json` with `model_name` beside `model.safetensors` with
upstream's keys prefixed `model.`, and as safetensors only: a pickle can run code when it is read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from depthport.exporters.core.atomic import read_json
from depthport.exporters.core.errors import UnavailableError, WeightsError, one_line
from depthport.exporters.core.provenance import canonical_sha256, file_sha256
from depthport.exporters.da3.hub import fetch
from depthport.exporters.da3.models import ModelSpec
from depthport.exporters.da3.synthetic import RECIPE, synthetic_arrays
from depthport.exporters.da3.weights_ref import WeightsRef

if TYPE_CHECKING:
    from torch import Tensor, nn

CONFIG_FILE = "config.json"
MAX_CONFIG_BYTES = 1 << 20
WEIGHTS_FILE = "model.safetensors"
KEY_PREFIX = "model."
PICKLE_SUFFIXES = frozenset({".bin", ".ckpt", ".pickle", ".pkl", ".pt", ".pth"})

_SYNTHETIC = re.compile(r"synthetic:(?P<seed>\d{1,9})(?P<outliers>,outliers)?")
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+(@[\w./-]+)?")


def resolve_weights(spec: str | None, model: ModelSpec) -> WeightsRef:
    """Find weights without loading them.

    Args:
        spec: a Hugging Face id (`owner/name`, optionally `@revision`), a local file or folder, `synthetic:SEED` or
            `synthetic:SEED,outliers`. None: the model's own checkpoint if it is cached or can be downloaded, else
            `synthetic:0` with a note that says so.
        model: the model they must be for.

    Raises:
        WeightsError: malformed, not found, not downloadable, a pickle, or a checkpoint of another model.
    """
    if spec is None:
        return _default(model)
    if spec.startswith("synthetic"):
        match = _SYNTHETIC.fullmatch(spec)
        if match is None:
            raise WeightsError(f"weights {spec!r} are malformed: write synthetic:SEED or synthetic:SEED,outliers")
        return synthetic_ref(model, int(match["seed"]), match["outliers"] is not None)
    path = Path(spec).expanduser()
    if path.exists():
        return _local(path, model, id=path.resolve().name, licence=f"as of {path.resolve().name}")
    if _HUB_ID.fullmatch(spec) is None:
        raise WeightsError(
            f"weights {spec!r} are neither a file or folder here nor a Hugging Face id like "
            f"{model.hub_id or 'depth-anything/DA3-SMALL'}"
        )
    licence = model.licence if spec == model.hub_id else f"as of {spec}"
    return _local(fetch(spec), model, id=spec, licence=licence)


def synthetic_ref(model: ModelSpec, seed: int, outliers: bool = False) -> WeightsRef:
    """The reference to synthetic weights; their hash is that of the recipe, which decides every bit."""
    return WeightsRef(
        id=f"synthetic:{seed}{',outliers' if outliers else ''}",
        sha256=canonical_sha256({"recipe": RECIPE, "seed": seed, "outliers": outliers, **_structure(model)}),
        synthetic=True,
        licence="none (synthetic)",
        seed=seed,
        outliers=outliers,
    )


def _structure(model: ModelSpec) -> dict[str, Any]:
    """What tells one network from another: the name, or the configuration of the user's own."""
    return {"model": model.name} if model.config is None else {"config": model.config}


def load_state_dict(ref: WeightsRef, spec: ModelSpec) -> dict[str, Tensor]:
    """The parameters in fp32 by upstream's keys, without the `model.` prefix, checked against upstream's network.

    Raises:
        WeightsError: truncated or damaged file, or keys or shapes that do not fit (the first three are named).
        UnavailableError: depth-anything-3 is not installed.
    """
    from depthport.exporters.da3.upstream import build_upstream_on_meta

    net = build_upstream_on_meta(spec)
    expected = {key: tuple(value.shape) for key, value in net.state_dict().items()}
    if ref.synthetic:
        import torch

        arrays = synthetic_arrays(expected, ref.seed or 0, ref.outliers)
        found = {key: torch.from_numpy(array) for key, array in arrays.items()}
        for keys in tied_keys(net):
            found |= {key: found[keys[-1]].clone() for key in keys[:-1]}
        return found
    assert ref.path is not None
    path = Path(ref.path)
    found = _read_safetensors(path, spec)
    if _stamp(path) != ref.stamp:
        raise WeightsError(f"{path} is being changed: run the same command again when it is complete")
    for keys in tied_keys(net):
        known = [key for key in keys if key in found]
        found |= {key: found[known[-1]].clone() for key in keys if known and key not in found}
    _check_fit(found, expected, ref, spec)
    return found


def tied_keys(net: nn.Module) -> list[list[str]]:
    """Keys that name one parameter, in the order of the network: groups of two or more.

    Upstream's four auxiliary output heads share one LayerNorm (`dualdpt.py` builds it once and puts it in each), and
    Hugging Face's `save_model` writes such a parameter under one of its names only, so a checkpoint may lack the others.
    """
    names: dict[int, list[str]] = {}
    for key, parameter in net.named_parameters(remove_duplicate=False):
        names.setdefault(id(parameter), []).append(key)
    return [keys for keys in names.values() if len(keys) > 1]


def _default(spec: ModelSpec) -> WeightsRef:
    if not spec.hub_id:
        beside = Path(spec.source).with_name(WEIGHTS_FILE)
        if beside.is_file():
            return _local(beside, spec, id=spec.name, licence=spec.licence)
        return replace(synthetic_ref(spec, 0), note=f"synthetic weights: there is no {WEIGHTS_FILE} beside {spec.source}")
    try:
        folder = fetch(spec.hub_id)
    except (WeightsError, UnavailableError) as error:
        note = f"synthetic weights: {error}"
        return replace(synthetic_ref(spec, 0), note=note)
    return _local(folder, spec, id=spec.hub_id, licence=spec.licence)


def _local(path: Path, spec: ModelSpec, *, id: str, licence: str) -> WeightsRef:
    """Reference to a checkpoint file or folder on this machine."""
    file = path / WEIGHTS_FILE if path.is_dir() else path
    if file.suffix in PICKLE_SUFFIXES:
        raise WeightsError(
            f"{file} is a pickle, which can run code when it is read: convert it to {WEIGHTS_FILE} (safetensors)"
        )
    if file.suffix != ".safetensors":
        raise WeightsError(f"{file} is not a safetensors file: give {WEIGHTS_FILE} or the folder it is in")
    if not file.is_file():
        pickles = sorted(p.name for p in path.iterdir() if p.suffix in PICKLE_SUFFIXES)
        found = f" (only {pickles[0]}, a pickle, which is not read)" if pickles else ""
        raise WeightsError(f"{path} has no {WEIGHTS_FILE}{found}: a checkpoint is {CONFIG_FILE} and {WEIGHTS_FILE}")
    if spec.config is None:  # else the keys and shapes decide
        _check_config(file.with_name(CONFIG_FILE), spec)
    stamp = _stamp(file)
    return WeightsRef(
        id=id, sha256=file_sha256(file), synthetic=False, licence=licence, path=str(file.absolute()), stamp=stamp
    )


def _stamp(file: Path) -> tuple[int, int] | None:
    """What changes when the file does; None where it is gone."""
    try:
        stat = file.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size


def _check_config(path: Path, spec: ModelSpec) -> None:
    try:
        config = read_json(path, MAX_CONFIG_BYTES)
    except FileNotFoundError:
        raise WeightsError(
            f'{path} is missing: put {{"model_name": "{spec.name}"}} there if the checkpoint is of that model'
        ) from None
    except (OSError, ValueError) as error:
        raise WeightsError(f"{path} is not valid JSON ({one_line(error)}): download the checkpoint again") from None
    name = config.get("model_name") if isinstance(config, dict) else None
    if name is None:
        raise WeightsError(f"{path} has no model_name: it should say {spec.name!r}")
    if name != spec.name:
        raise WeightsError(f"{path} is of {name!r}, not of {spec.name!r}: choose that model or other weights")


def _read_safetensors(path: Path, spec: ModelSpec) -> dict[str, Tensor]:
    import torch
    from safetensors import SafetensorError, safe_open

    tensors: dict[str, Tensor] = {}
    try:
        with safe_open(path, framework="pt") as file:
            for key in file.keys():  # noqa: SIM118 - not a mapping
                name = key.removeprefix(KEY_PREFIX)
                if name == key:
                    raise WeightsError(f"{path}: key {key!r} does not start with {KEY_PREFIX!r}: not a DA3 checkpoint")
                if not name.startswith(spec.ignored_prefixes):
                    tensors[name] = file.get_tensor(key).to(torch.float32)
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path} is truncated or no safetensors file ({error}): download it again") from None
    return tensors


def _check_fit(found: Mapping[str, Any], expected: Mapping[str, tuple[int, ...]], ref: WeightsRef, spec: ModelSpec) -> None:
    problems = [f"{key} is missing" for key in expected if key not in found]
    problems += [f"{key} is unknown" for key in found if key not in expected]
    problems += [
        f"{key} is {_dims(found[key].shape)}, not {_dims(shape)}"
        for key, shape in expected.items()
        if key in found and tuple(found[key].shape) != shape
    ]
    if problems:
        more = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise WeightsError(f"{ref.id} does not fit {spec.name}: {'; '.join(problems[:3])}{more}")


def _dims(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape)) or "scalar"
