"""Sources of parameters: a Hugging Face repository, a local checkpoint, or a seed.

Checkpoints are read as safetensors only: a pickle can run code when it is read. Where their files lie and what wraps
their keys is found out (:mod:`depthport.exporters.da3.checkpoint`); keys and shapes decide what they are of.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from depthport.exporters.core.errors import UnavailableError, WeightsError, one_line
from depthport.exporters.core.files.atomic import read_json
from depthport.exporters.core.files.paths import user_path
from depthport.exporters.core.provenance import canonical_sha256, file_sha256
from depthport.exporters.da3 import checkpoint
from depthport.exporters.da3.checkpoint import WEIGHTS_FILE, normalised, read_layout
from depthport.exporters.da3.hub import fetch
from depthport.exporters.da3.models import ModelSpec
from depthport.exporters.da3.synthetic import RECIPE, synthetic_arrays
from depthport.exporters.da3.weights_ref import WeightsRef

if TYPE_CHECKING:
    from torch import Tensor, nn

CONFIG_FILE = "config.json"
MAX_CONFIG_BYTES = 1 << 20

_SYNTHETIC = re.compile(r"synthetic:(?P<seed>\d{1,9})(?P<outliers>,outliers)?")
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+(@[\w./-]+)?")


def resolve_weights(spec: str | None, model: ModelSpec) -> WeightsRef:
    """Find weights without loading them.

    Args:
        spec: a Hugging Face id (`owner/name`, optionally `@revision`), a local file or folder, `synthetic:SEED` or
            `synthetic:SEED,outliers`. None: the model's own checkpoint, cached or downloaded.
        model: the model they must be for.

    Raises:
        WeightsError: malformed, not found, not downloadable, a pickle, or a checkpoint of another model. Random weights
            are never taken unless they are named.
    """
    if spec is None:
        try:
            return _own(model)
        except (_NoCheckpoint, UnavailableError) as error:
            raise WeightsError(
                f"no weights for {model.name}: {error}; or name a checkpoint with --weights, or pass --weights synthetic:0 "
                "(random weights: depth values are not valid)"
            ) from None
    if spec.startswith("synthetic"):
        match = _SYNTHETIC.fullmatch(spec)
        if match is None:
            raise WeightsError(f"weights {spec!r} are malformed: write synthetic:SEED or synthetic:SEED,outliers")
        return synthetic_ref(model, int(match["seed"]), match["outliers"] is not None)
    path = user_path(spec)
    if path.exists():
        return _named_by_place(path, model)
    if _HUB_ID.fullmatch(spec) is None:
        raise WeightsError(
            f"weights {spec!r} are neither a file or folder here nor a Hugging Face id like "
            f"{model.hub_id or 'depth-anything/DA3-SMALL'}"
        )
    licence = model.licence if spec == model.hub_id else f"as of {spec}"
    return _local(fetch(spec), model, id=spec, licence=licence)


def weights_to_measure(spec: str | WeightsRef | None, model: ModelSpec) -> WeightsRef:
    """The same for measurements alone: speed and parity hold for any weights.

    Where none are named and the model's own are missing, `synthetic:0`, whose note says so and belongs before everything
    else that is printed. Raises as :func:`resolve_weights` for weights that are named or damaged.
    """
    if spec is not None:
        return spec if isinstance(spec, WeightsRef) else resolve_weights(spec, model)
    try:
        return _own(model)
    except (_NoCheckpoint, UnavailableError) as error:
        return replace(synthetic_ref(model, 0), note=f"random weights (depth values are not valid): {error}")


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


def _structure(model: ModelSpec) -> dict[str, object]:
    """Return what distinguishes one network from another: the name, or the configuration of the user's own."""
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


class _NoCheckpoint(WeightsError):
    """The model's own checkpoint is missing and can't be fetched; a damaged one is another error."""


def _own(spec: ModelSpec) -> WeightsRef:
    """The model's own checkpoint."""
    if not spec.hub_id:
        beside = Path(spec.source).with_name(WEIGHTS_FILE)
        if not beside.is_file():
            raise _NoCheckpoint(f"there is no {WEIGHTS_FILE} beside {spec.source}")
        return _local(beside, spec, id=spec.name, licence=spec.licence)
    try:
        folder = fetch(spec.hub_id)
    except WeightsError as error:
        raise _NoCheckpoint(str(error)) from None
    return _local(folder, spec, id=spec.hub_id, licence=spec.licence)


def _named_by_place(path: Path, spec: ModelSpec) -> WeightsRef:
    """A local checkpoint, by the repository whose snapshot it is, else by its own name."""
    found = checkpoint.snapshot(path) if path.is_dir() else path
    hub_id = checkpoint.hub_id(found)
    name = hub_id or path.resolve().name
    licence = spec.licence if hub_id and hub_id.partition("@")[0] == spec.hub_id else f"as of {name}"
    return _local(found, spec, id=name, licence=licence)


def _local(path: Path, spec: ModelSpec, *, id: str, licence: str) -> WeightsRef:
    """Reference to a checkpoint file or folder on this machine."""
    found = checkpoint.candidates(path)
    if spec.config is None:
        said = _model_name(found[0].with_name(CONFIG_FILE))
        chosen, layout = checkpoint.choose(found, spec.name, path)
        if len(layout.models) > 1:
            _check_name(said, spec, chosen)
    else:  # the user's own configuration: whether it fits is seen when it is loaded
        if len(found) > 1 and found[0].name != WEIGHTS_FILE:
            raise WeightsError(f"{path} holds several checkpoints: name one of {', '.join(f.name for f in found[:5])}")
        chosen, layout = found[0], read_layout(found[0])
    stamp = _stamp(chosen)
    hashes = {file.name: file_sha256(file) for file in checkpoint.files_of(chosen)}
    sha256 = next(iter(hashes.values())) if len(hashes) == 1 else canonical_sha256(hashes)
    return WeightsRef(
        id=id, sha256=sha256, synthetic=False, licence=licence, path=str(chosen.absolute()), stamp=stamp, note=layout.note
    )


def _stamp(chosen: Path) -> tuple[int, int] | None:
    """Return a stamp that changes when one of the files does; None where one is gone."""
    try:
        stats = [file.stat() for file in checkpoint.files_of(chosen)]
    except (OSError, WeightsError):
        return None
    return max(stat.st_mtime_ns for stat in stats), sum(stat.st_size for stat in stats)


def _model_name(path: Path) -> str | None:
    """Return the model that `config.json` names; None if it names none."""
    try:
        config = read_json(path, MAX_CONFIG_BYTES)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise WeightsError(f"{path} is not valid JSON ({one_line(error)}): download the checkpoint again") from None
    name = config.get("model_name") if isinstance(config, dict) else None
    return None if name is None else normalised(name)


def _check_name(said: str | None, spec: ModelSpec, chosen: Path) -> None:
    """Let the name decide between models of one structure: the monocular and the metric one.

    Raises:
        WeightsError: it names another one, or none.
    """
    config = chosen.with_name(CONFIG_FILE)
    if said is None:
        raise WeightsError(
            f'{chosen} fits several models: put {{"model_name": "{spec.name}"}} into {config} if it is for that one'
        )
    if said != spec.name:
        raise WeightsError(f"{config} is for {said[:80]!r}, not for {spec.name!r}: choose that model or other weights")


def _read_safetensors(path: Path, spec: ModelSpec) -> dict[str, Tensor]:
    import torch
    from safetensors import SafetensorError, safe_open

    names = read_layout(path).names
    tensors: dict[str, Tensor] = {}
    try:
        for shard in checkpoint.files_of(path):
            with safe_open(shard, framework="pt") as file:
                for key in file.keys():  # noqa: SIM118 - not a mapping
                    name = names.get(key)
                    if name is not None and not name.startswith(spec.ignored_prefixes):
                        tensors[name] = file.get_tensor(key).to(torch.float32)
    except (SafetensorError, OSError) as error:
        raise WeightsError(
            f"{path} is truncated or not a safetensors file ({one_line(error)}): download it again"
        ) from None
    return tensors


def _check_fit(
    found: Mapping[str, Tensor], expected: Mapping[str, tuple[int, ...]], ref: WeightsRef, spec: ModelSpec
) -> None:
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
