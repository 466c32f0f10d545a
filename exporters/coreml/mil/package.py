"""Reading a saved `.mlpackage`: the model's protobuf, its weight files, and what it says about itself.

Source: `Model.proto` and `FeatureTypes.proto` of coremltools. A package is a folder with `Manifest.json`, which names
the model file; the model's `specificationVersion` is the oldest system that can load it (7: iOS16, 8: iOS17, 9: iOS18).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from depthport.exporters.core.errors import ArtifactError
from depthport.exporters.core.files.atomic import read_json
from depthport.exporters.core.files.paths import is_file
from depthport.exporters.coreml.mil.blob import WeightFile
from depthport.exporters.coreml.mil.program import Function, read_program
from depthport.exporters.coreml.mil.wire import Message

MANIFEST = "Manifest.json"
NEWEST_SPECIFICATION = 10
"""Version of iOS26; newer ones may encode differently."""
OLDEST_SPECIFICATION = 6
"""Version of iOS15, the first with ML Programs."""

MAX_MODEL_BYTES = (1 << 31) - 1
"""Largest size of a protobuf message; weights lie in a separate file."""
MAX_MANIFEST_BYTES = 1 << 20

_ARRAY_DTYPES = {65552: "fp16", 65568: "fp32", 65600: "fp64", 131104: "int32", 131080: "int8"}
_ML_PROGRAM = 502


@dataclass(frozen=True)
class Feature:
    """One input or output of the model as an app sees it."""

    name: str
    kind: str
    """`array`, `image` or `other`."""
    dtype: str
    """Element type of an array; `rgb`, `bgr` or `gray` for an image."""
    shape: tuple[int, ...]
    """Shape of an array; (height, width) of an image."""
    description: str = ""


@dataclass(frozen=True)
class Package:
    """A package that has been read and found whole."""

    path: Path
    specification: int
    functions: dict[str, Function]
    default_function: str
    features: dict[str, tuple[tuple[Feature, ...], tuple[Feature, ...]]]
    """Inputs and outputs of each function."""
    metadata: dict[str, str]
    """Author, licence, version, description and the user-defined entries."""

    def function(self, name: str | None = None) -> Function:
        """The function called `name`; None: the default one.

        Raises:
            ArtifactError: there is no such function.
        """
        key = name or self.default_function
        if key not in self.functions:
            raise ArtifactError(f"{self.path.name} has no function {key!r}: it has {', '.join(self.functions)}")
        return self.functions[key]


def read_package(path: Path) -> Package:
    """Read a package whole.

    Raises:
        ArtifactError: not a package, damaged, truncated, another kind of model, or another version; one line.
    """
    file = _model_file(path)
    # A message can be cut between two fields and still be one: the parser sees most cuts, the checks below the rest.
    model = Message(memoryview(_bytes(file)))
    version = model.integer(1)
    if not OLDEST_SPECIFICATION <= version <= NEWEST_SPECIFICATION:
        raise ArtifactError(
            f"{path.name} has specification version {version}, not {OLDEST_SPECIFICATION} to "
            f"{NEWEST_SPECIFICATION}: export it again"
        )
    if _ML_PROGRAM not in model:
        raise ArtifactError(f"{path.name} is not an ML Program: export it again")
    weights = {w.name: WeightFile(w) for w in sorted((file.parent / "weights").glob("*.bin")) if w.is_file()}
    functions = read_program(model.message(_ML_PROGRAM), weights)
    description = model.message(2)
    declared = {m.text(1): (_features(m, 2), _features(m, 3)) for m in description.messages(20)}
    default = description.text(21) or "main"
    if not declared:
        declared = {default: (_features(description, 1), _features(description, 10))}
    for name, function in functions.items():
        _check_interface(name, function, declared.get(name))
    return Package(path, version, functions, default, declared, _metadata(description.message(100)))


def _model_file(path: Path) -> Path:
    damaged = ArtifactError(f"{path.name} is not a Core ML package ({MANIFEST} is missing or damaged): export it again")
    if not (path / MANIFEST).is_file():
        raise damaged
    try:
        manifest = read_json(path / MANIFEST, MAX_MANIFEST_BYTES)
        item = Path(manifest["itemInfoEntries"][manifest["rootModelIdentifier"]]["path"])
    except (OSError, ValueError, KeyError, TypeError):
        raise damaged from None
    if item.is_absolute() or ".." in item.parts:
        raise ArtifactError(f"{path.name} names a model file outside itself: it is damaged or not to be trusted")
    file = path / "Data" / item
    if not is_file(file):
        raise ArtifactError(f"{path.name} has no model file {item.name}: export it again")
    return file


def _bytes(file: Path) -> bytes:
    try:
        if file.stat().st_size > MAX_MODEL_BYTES:
            raise ArtifactError(f"{file.name} has {file.stat().st_size} bytes, more than protobuf allows: damaged file")
        return file.read_bytes()
    except OSError as error:
        raise ArtifactError(f"{file.name} can't be read ({error.strerror}): export the model again") from None


def _features(message: Message, number: int) -> tuple[Feature, ...]:
    return tuple(_feature(m) for m in message.messages(number))


def _feature(message: Message) -> Feature:
    name, note, type_ = message.text(1), message.text(2), message.message(3)
    if 5 in type_:
        array = type_.message(5)
        dtype = _ARRAY_DTYPES.get(array.integer(2), f"unknown type {array.integer(2)}")
        return Feature(name, "array", dtype, tuple(array.integers(1)), note)
    if 4 in type_:
        image = type_.message(4)
        colour = {10: "gray", 20: "rgb", 30: "bgr", 40: "gray16"}.get(image.integer(3), "unknown")
        return Feature(name, "image", colour, (image.integer(2), image.integer(1)), note)
    return Feature(name, "other", "", (), note)


def _check_interface(
    name: str, function: Function, declared: tuple[tuple[Feature, ...], tuple[Feature, ...]] | None
) -> None:
    """Check that the function's inputs and outputs are those of the model's description."""
    if declared is None:
        raise ArtifactError(f"function {name!r} has no description: the file is damaged")
    inputs, outputs = declared
    types = function.types()
    if [f.name for f in inputs] != [v.name for v in function.inputs]:
        raise ArtifactError(f"function {name!r} has inputs that differ from the model's description: damaged file")
    if sorted(f.name for f in outputs) != sorted(function.outputs):
        raise ArtifactError(f"function {name!r} has outputs that differ from the model's description: damaged file")
    for feature in (*inputs, *outputs):
        type_ = types.get(feature.name)
        if type_ is None:
            raise ArtifactError(f"function {name!r} never computes its output {feature.name!r}: the file is damaged")
        if feature.kind == "array" and (feature.dtype != type_.dtype or feature.shape != type_.shape):
            shape = "×".join(map(str, feature.shape))
            raise ArtifactError(f"{feature.name!r} is described as {feature.dtype}[{shape}] but computed as {type_}")


def _metadata(message: Message) -> dict[str, str]:
    fields = {1: "description", 2: "version", 3: "author", 4: "licence"}
    return {**{name: message.text(n) for n, name in fields.items() if n in message}, **message.text_map(100)}
