"""Models of users' configurations: upstream's YAML or the `config.json` beside a checkpoint, read without running anything.

Upstream's configurations name the Python objects to make (`__object__: {path, name}`) and may hold interpolations that
it gives to `eval` (`depth_anything_3/cfg.py`): read as upstream reads them, a configuration is a program. Here only the
classes, keys and values are taken whose structure the static network covers; everything else is refused in one line.
Read with omegaconf; imports no torch.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from depthport.exporters.core import install
from depthport.exporters.core.errors import UnavailableError, UsageError, one_line
from depthport.exporters.core.files.atomic import read_bytes, read_json
from depthport.exporters.core.files.paths import user_path
from depthport.exporters.core.json_types import JsonObject
from depthport.exporters.da3.checkpoint import normalised
from depthport.exporters.da3.config_check import family_of
from depthport.exporters.da3.models import MODELS, ModelSpec

CONFIG_FILE = "config.json"
MAX_BYTES = 1 << 16
MAX_ALIASES = 16
MAX_DEPTH = 12
"""Upstream's largest configuration has 1.7 kB, three aliases and a depth of four; more is an attack on the parser."""

_REFERENCE = re.compile(r"\$\{[\w.]+\}")
_PARENT = re.compile(r"depth_anything_3\.configs\.([\w-]+)")
_INTERPOLATION = "$" + "{"


def load_model(source: str) -> ModelSpec:
    """The model that a configuration describes.

    Args:
        source: a YAML or JSON file, or a folder with `config.json`. JSON is the configuration itself, or Hugging Face's:
            `config` holds it, or `model_name` names one of upstream's.

    Raises:
        UsageError: not found, unreadable, or of a structure that the static network does not cover; one line.
        UnavailableError: omegaconf is not installed.
    """
    path = user_path(source)
    file = path / CONFIG_FILE if path.is_dir() else path
    try:
        stamp = file.stat()
    except OSError as error:
        reason = error.strerror or error
        raise UsageError(f"model {source!r} is neither a known model nor a configuration here ({reason})") from None
    return _load(file.resolve(), stamp.st_mtime_ns, stamp.st_size)


@lru_cache(maxsize=16)
def _load(file: Path, _modified_ns: int, size: int) -> ModelSpec:
    if size > MAX_BYTES:
        raise UsageError(f"{file} has {size} bytes, too large for a configuration (upstream's have about 1000)")
    parsed = _json(file) if file.suffix == ".json" else _yaml(file, _text(file))
    if (
        "config" not in parsed
        and "__object__" not in parsed
        and (known := MODELS.get(normalised(parsed.get("model_name"))))
    ):
        return known
    config = _inherit(parsed.get("config", parsed), file)
    family, config = family_of(config, file)
    net = config.get("anyview", config)["net"]
    return ModelSpec(
        _name(file, MODELS), "", f"as of {file.name}", family, "swiglu" if net["name"] == "vitg" else "mlp",
        config=config, source=str(file),
    )  # fmt: skip


def _text(file: Path) -> str:
    try:
        return read_bytes(file, MAX_BYTES).decode("utf-8-sig")
    except (OSError, ValueError) as error:
        raise UsageError(f"{file} can't be read ({one_line(error)})") from None


def _json(file: Path) -> Mapping[str, Any]:
    try:
        parsed = read_json(file, MAX_BYTES)
    except OSError as error:
        raise UsageError(f"{file} can't be read ({error.strerror})") from None
    except ValueError as error:
        raise UsageError(f"{file} is not valid JSON ({error})") from None
    if not isinstance(parsed, dict):
        raise UsageError(f"{file} is not a mapping: give upstream's configuration")
    if any(_INTERPOLATION in value for value in _strings(parsed)):
        raise UsageError(f"{file} holds an interpolation: write the value itself")
    return parsed


def _yaml(file: Path, text: str) -> JsonObject:
    """The YAML's mapping with plain references resolved.

    Raises:
        UsageError: no YAML, no mapping, more aliases or deeper than a configuration is, or a reference that calls code.
    """
    if find_spec("omegaconf") is None:
        raise UnavailableError(f"omegaconf is not installed: {install.DA3}")
    import yaml
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        # Before anything is built: a dozen nested aliases make a billion nodes.
        _refuse_bombs(file, yaml.parse(text))
        config = OmegaConf.create(text)
        for value in _strings(OmegaConf.to_container(config, resolve=False)):
            if _INTERPOLATION in _REFERENCE.sub("", value):
                raise UsageError(f"{file} holds {value!r}, which would run code: write the value itself")
        parsed = OmegaConf.to_container(config, resolve=True)
    except (yaml.YAMLError, OmegaConfBaseException, AssertionError, RecursionError, ValueError, TypeError) as error:
        line = " ".join(str(error).split())[:160] or "no mapping"  # omegaconf asserts that it is one
        raise UsageError(f"{file} is not a valid configuration ({line})") from None
    if not isinstance(parsed, dict) or not parsed:
        raise UsageError(f"{file} is not a mapping: give upstream's configuration")
    return {str(key): value for key, value in parsed.items()}


def _refuse_bombs(file: Path, events: Iterable[Any]) -> None:
    import yaml

    aliases = depth = 0
    for event in events:
        aliases += isinstance(event, yaml.AliasEvent)
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if aliases > MAX_ALIASES or depth > MAX_DEPTH:
            raise UsageError(
                f"{file} has more than {MAX_ALIASES} aliases or {MAX_DEPTH} levels: upstream's configurations have"
                " three and four"
            )


def _strings(node: object) -> Iterable[str]:
    if isinstance(node, str):
        yield node
    elif isinstance(node, Mapping):
        for key, value in node.items():
            yield from (*_strings(key), *_strings(value))
    elif isinstance(node, list):
        for value in node:
            yield from _strings(value)


def _inherit(node: Any, file: Path) -> Any:
    """`node` laid over the configurations of upstream's own that its `__inherit__` names, at every level."""
    if isinstance(node, list):
        return [_inherit(value, file) for value in node]
    if not isinstance(node, Mapping):
        return node
    own = {str(key): _inherit(value, file) for key, value in node.items() if key != "__inherit__"}
    named = node.get("__inherit__")
    merged: JsonObject = {}
    for parent in named if isinstance(named, list) else [named] if named is not None else []:
        merged = _over(merged, upstream_config(parent, file))
    return _over(merged, own)


def _over(base: JsonObject, top: Mapping[str, Any]) -> JsonObject:
    """`top` over `base`; mappings are merged, everything else is replaced, as omegaconf does."""
    merged = dict(base)
    for key, value in top.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = _over(merged[key], value) if both else value
    return merged


def upstream_config(name: Any, file: Path) -> JsonObject:
    """One of upstream's packaged configurations, from its `__inherit__` name (`depth_anything_3.configs.da3-large`).

    Raises:
        UsageError: another name; upstream would load any file.
        UnavailableError: depth-anything-3 is not installed.
    """
    match = _PARENT.fullmatch(name) if isinstance(name, str) else None
    if match is None or match[1] not in MODELS:
        known = ", ".join(f"depth_anything_3.configs.{model}" for model in MODELS)
        raise UsageError(f"{file} inherits {name!r}: it may inherit {known}")
    package = find_spec("depth_anything_3")
    folders = list(package.submodule_search_locations or ()) if package is not None else []
    found = next((p for f in folders if (p := Path(f) / "configs" / f"{match[1]}.yaml").is_file()), None)
    if found is None:
        raise UnavailableError(f"{file} inherits {name!r} and depth-anything-3 is not installed")
    inherited: JsonObject = _inherit(_yaml(found, found.read_text(encoding="utf-8")), found)
    return inherited


def _name(file: Path, taken: Collection[str]) -> str:
    """A name for artifacts and reports: the file's, the folder's for `config.json`."""
    stem = file.parent.name if file.name == CONFIG_FILE else file.stem
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip(".-")[:48] or "model"
    return f"custom-{name}" if name in taken else name
