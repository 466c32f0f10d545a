"""Users' checkpoints: their files, the prefix of their keys, and their model.

Keys and shapes decide what a checkpoint is; a file's name and `config.json` are hints. Only headers are read here
(safetensors has keys and shapes before the numbers).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from depthport.exporters.core import install
from depthport.exporters.core.errors import UnavailableError, WeightsError, one_line
from depthport.exporters.core.files.atomic import read_json
from depthport.exporters.core.files.paths import is_file
from depthport.exporters.core.text import quoted

WEIGHTS_FILE = "model.safetensors"
SUFFIX, INDEX_SUFFIX = ".safetensors", ".safetensors.index.json"
PICKLE_SUFFIXES = frozenset({".bin", ".ckpt", ".pickle", ".pkl", ".pt", ".pth"})
USUAL_PREFIX = "model."
"""Prefix of upstream's own checkpoints."""
MAX_INDEX_BYTES = 1 << 24
_BACKBONE = re.compile(r"(?P<prefix>(?:.*?\.)?)(?:da3\.|da3_metric\.)?backbone\.pretrained\.")
_LONGEST_NAME = 200
_NAME = re.compile(rf"(?!\.)[\w. +-]{{1,{_LONGEST_NAME}}}", re.ASCII)
"""Pattern of a file or folder name, without a path, that another file gives."""
_PARTS = frozenset({"backbone", "head", "cam_enc", "cam_dec", "gs_head", "gs_adapter", "da3", "da3_metric"})
_WIDTHS = {384: "da3-small", 768: "da3-base", 1024: "da3-large", 1536: "da3-giant"}
_MONOCULAR = ("da3mono-large", "da3metric-large")
_SHOWN = 3

Shape = tuple[int, ...]


class Layout(NamedTuple):
    """Location of the network's parameters among a checkpoint's tensors."""

    names: dict[str, str]
    """Key in the checkpoint to upstream's key."""
    shapes: dict[str, Shape]
    """Shapes by upstream's key."""
    prefix: str
    ignored: tuple[str, ...]
    """Keys that are not parameters of the network: an optimizer's step, an epoch."""

    @property
    def models(self) -> tuple[str, ...]:
        """Names of upstream's models that have this structure; it does not distinguish monocular ones."""
        if any(key.startswith("da3_metric.") for key in self.shapes):
            return ("da3nested-giant-large",)
        found = [self.shapes.get(f"backbone.pretrained.{name}") for name in ("cls_token", "pos_embed", "norm.weight")]
        width = next((shape[-1] for shape in found if shape), 0)
        if width == 1024 and not any(key.startswith("cam_dec.") for key in self.shapes):
            return _MONOCULAR
        return (_WIDTHS[width],) if width in _WIDTHS else ()

    @property
    def note(self) -> str | None:
        """Keys that were stripped or ignored, in one line; None where none were."""
        said = []
        if self.prefix not in ("", USUAL_PREFIX):
            said.append(f"{self.prefix!r} was stripped from the keys of the checkpoint")
        if self.ignored:
            more = f" and {len(self.ignored) - _SHOWN} more" if len(self.ignored) > _SHOWN else ""
            said.append(f"{', '.join(self.ignored[:_SHOWN])}{more} in the checkpoint is ignored")
        return "; ".join(said) or None


def normalised(name: object) -> str:
    """A model's name however it is spelt: `DA3_Small` is `da3-small`."""
    return str(name).strip().lower().replace("_", "-")


def candidates(path: Path) -> list[Path]:
    """The checkpoints that a path names: a file, or those of a folder, upstream's own name first.

    A folder of the hub's cache (`models--OWNER--NAME`) stands for its snapshot. Shards count as one checkpoint, by their
    index.

    Raises:
        WeightsError: a pickle, another kind of file, or a folder without any.
    """
    if not path.is_dir():
        if path.suffix in PICKLE_SUFFIXES:
            raise WeightsError(
                f"{path} is a pickle, which can run code when it is read: convert it to {WEIGHTS_FILE} (safetensors)"
            )
        if not path.name.endswith((SUFFIX, INDEX_SUFFIX)):
            raise WeightsError(f"{path} is not a safetensors file: give {WEIGHTS_FILE} or the folder it is in")
        return [path]
    folder = snapshot(path)
    indices = sorted(file for file in folder.glob(f"*{INDEX_SUFFIX}") if file.is_file())
    sharded = {shard for index in indices for shard in files_of(index)}
    single = sorted(file for file in folder.glob(f"*{SUFFIX}") if file.is_file() and file not in sharded)
    found = sorted((*single, *indices), key=lambda file: file.name != WEIGHTS_FILE)
    if not found:
        pickles = sorted(p.name for p in folder.iterdir() if p.suffix in PICKLE_SUFFIXES)
        only = f" (only {pickles[0]}, a pickle, which is not accepted)" if pickles else ""
        raise WeightsError(f"{path} has no {WEIGHTS_FILE}{only}: a checkpoint is config.json and {WEIGHTS_FILE}")
    return found


def snapshot(folder: Path) -> Path:
    """The folder itself or, of a repository in the hub's cache, its `main` snapshot, else the newest.

    Raises:
        WeightsError: the repository has no snapshot.
    """
    if not (folder / "snapshots").is_dir():
        return folder
    main = folder / "refs" / "main"
    commit = main.read_bytes()[:_LONGEST_NAME].decode(errors="replace").strip() if main.is_file() else ""
    if _NAME.fullmatch(commit) and (named := folder / "snapshots" / commit).is_dir():
        return named
    found = sorted((p for p in (folder / "snapshots").iterdir() if p.is_dir()), key=lambda p: p.stat().st_mtime)
    if not found:
        raise WeightsError(f"{folder} has no snapshot: download the repository again")
    return found[-1]


def hub_id(path: Path) -> str | None:
    """`owner/name@revision` of a file or folder within a snapshot of the hub's cache; None elsewhere."""
    parts = path.absolute().parts
    for at, part in enumerate(parts[:-2]):
        owner, _, name = part.removeprefix("models--").partition("--")
        if part.startswith("models--") and name and parts[at + 1] == "snapshots":
            return f"{owner}/{name}@{parts[at + 2]}"
    return None


def files_of(checkpoint: Path) -> list[Path]:
    """The safetensors files of a checkpoint: itself, or the shards that an index names.

    Raises:
        WeightsError: an index that is damaged, names files elsewhere, or whose shards are not all there.
    """
    if not checkpoint.name.endswith(INDEX_SUFFIX):
        return [checkpoint]
    try:
        index = read_json(checkpoint, MAX_INDEX_BYTES)
    except (OSError, ValueError) as error:
        raise WeightsError(f"{checkpoint} is not valid JSON ({one_line(error)}): download it again") from None
    names = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(names, dict) or not names:
        raise WeightsError(f"{checkpoint} has no weight_map: download it again")
    shards = sorted({str(name) for name in names.values()})
    wrong = next((name for name in shards if not (_NAME.fullmatch(name) and name.endswith(SUFFIX))), None)
    if wrong is not None:
        raise WeightsError(f"{checkpoint} names {quoted(wrong)}, which is not a safetensors file beside it")
    missing = [name for name in shards if not is_file(checkpoint.with_name(name))]
    if missing:
        raise WeightsError(f"{checkpoint.with_name(missing[0])} is missing, which {checkpoint.name} names: download it")
    return [checkpoint.with_name(name) for name in shards]


def read_layout(checkpoint: Path) -> Layout:
    """Keys and shapes of a checkpoint.

    Raises:
        WeightsError: damaged, or no DA3 network in it, or several.
        UnavailableError: safetensors is not installed.
    """
    shapes: dict[str, Shape] = {}
    for file in files_of(checkpoint):
        shapes |= _shapes(file)
    return layout(shapes, checkpoint)


def layout(shapes: Mapping[str, Shape], source: Path) -> Layout:
    """The network among tensors of these keys and shapes; raises as :func:`read_layout` does."""
    prefixes = sorted({match["prefix"] for key in shapes if (match := _BACKBONE.match(key))})
    if not prefixes:
        raise WeightsError(f"{source} is not a DA3 checkpoint: it has no keys of a backbone (backbone.pretrained.…)")
    if len(prefixes) > 1:
        prefixes = [USUAL_PREFIX] if USUAL_PREFIX in prefixes else prefixes
    if len(prefixes) > 1:
        shown = ", ".join(repr(prefix) for prefix in prefixes[:_SHOWN])
        raise WeightsError(f"{source} holds several networks ({shown}): save one of them by itself")
    prefix = prefixes[0]
    names, ignored = {}, []
    for key, shape in shapes.items():
        name = key.removeprefix(prefix)
        stray = not key.startswith(prefix) or (name.partition(".")[0] not in _PARTS and _size(shape) <= 1 and not prefix)
        if stray:
            ignored.append(key)
        else:
            names[key] = name
    return Layout(names, {name: shapes[key] for key, name in names.items()}, prefix, tuple(sorted(ignored)))


def choose(found: Sequence[Path], model: str, path: Path) -> tuple[Path, Layout]:
    """The one of several checkpoints that is of `model`.

    Raises:
        WeightsError: none is, or several are.
    """
    layouts = {checkpoint: read_layout(checkpoint) for checkpoint in found}
    fitting = [checkpoint for checkpoint in found if model in layouts[checkpoint].models]
    if not fitting:
        known = next((c for c in found if layouts[c].models), found[0])
        of = " or ".join(repr(name) for name in layouts[known].models) or "no upstream model"
        raise WeightsError(f"{known} is for {of}, not for {model!r}: choose that model or other weights")
    if len(fitting) > 1 and fitting[0].name != WEIGHTS_FILE:
        raise WeightsError(
            f"{path} holds several checkpoints of {model}: name one of {', '.join(f.name for f in fitting[:5])}"
        )
    return fitting[0], layouts[fitting[0]]


def _shapes(file: Path) -> dict[str, Shape]:
    try:
        from safetensors import SafetensorError, safe_open
    except ImportError:
        raise UnavailableError(f"safetensors is not installed: {install.DA3}") from None
    try:
        with safe_open(file, framework="numpy") as opened:
            return {key: tuple(opened.get_slice(key).get_shape()) for key in opened.keys()}  # noqa: SIM118 - not a mapping
    except (SafetensorError, OSError) as error:
        raise WeightsError(
            f"{file} is truncated or not a safetensors file ({one_line(error)}): download it again"
        ) from None


def _size(shape: Shape) -> int:
    size = 1
    for edge in shape:
        size *= edge
    return size
