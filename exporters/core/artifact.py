"""Artifacts: what an exporter wrote, the manifest that describes it, and the store that keeps it.

One folder an artifact: the exporter's files plus `artifact.json` (schema `depthport.artifact/1`). The manifest is
written last, into a temporary folder that is renamed when complete, so a killed export leaves nothing that looks
finished. Its key is a hash of everything that went in (request, weights, policy, options, versions, the exporter's own
source), so a second export is a cache hit and a changed version is not. Every file has a sha256: damage is detected
and the artifact rebuilt.

Imports no framework: a runtime, a report or `doctor` can read an artifact on a machine that could not have made it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Annotated, Literal, TypedDict

import msgspec
from msgspec import Meta

from depthport.exporters.core.declared import fault
from depthport.exporters.core.errors import ArtifactError, one_line
from depthport.exporters.core.files.atomic import read_json
from depthport.exporters.core.files.paths import is_file
from depthport.exporters.core.json_types import JsonObject
from depthport.exporters.core.provenance import canonical_sha256, file_sha256
from depthport.exporters.core.tensors import Preprocessing, input_shapes, misshapen, output_shapes
from depthport.exporters.core.text import clean_json, clean_text, quoted

SCHEMA = "depthport.artifact/1"
MANIFEST = "artifact.json"
MAX_BYTES = 1 << 26
"""Largest manifest read."""
MAX_TEXT = 1 << 16
"""Longest text in a manifest, in characters."""
Origin = Literal["built", "cached", "rebuilt"]
"""Origin of an artifact: made now, found, or rebuilt because it was damaged."""

LARGEST = 2**63 - 1
"""No count or size of a file is larger, and arithmetic with larger ones overflows where it meets C."""
Count = Annotated[int, Meta(ge=1, le=LARGEST)]
Finite = Annotated[float, Meta(ge=-1e300, le=1e300)]
OpenDimension = Annotated[str, Meta(pattern=r"^[a-z]{1,20}(\*[1-9][0-9]{0,5}(/[1-9][0-9]{0,5})?)?$")]
"""A name (`views`), or a multiple of one."""
TensorDType = Literal["float32", "float16", "bfloat16", "float64", "uint8", "int32", "int64", "bool"]
DType = Literal["float32", "float16", "bfloat16"]
Quantization = Literal["int8", "fp8"]


class _Named(TypedDict):
    name: str


class PolicyFacts(_Named, total=False):
    """A :class:`~depthport.exporters.core.precision.PrecisionPolicy` as JSON: its name, and the fields its writer knew."""

    backbone: DType
    head: DType
    camera: DType
    reference: DType
    camera_token: DType | None
    tf32: bool
    quantization: Quantization | None
    note: str


@dataclass(frozen=True)
class Shape:
    """A scene batch: B scenes of N views of H×W pixels; the input `image` is (B, N, 3, H, W)."""

    batch: Count
    views: Count
    height: Count
    width: Count

    def __str__(self) -> str:
        return "x".join(map(str, self.sizes))

    @property
    def sizes(self) -> tuple[int, int, int, int]:
        """B, N, H and W."""
        return self.batch, self.views, self.height, self.width

    @property
    def images(self) -> int:
        """Images in one call, B·N: the numerator of every throughput."""
        return self.batch * self.views


@dataclass(frozen=True)
class TensorSpec:
    """Name, shape and numpy dtype of one input or output as a session takes and gives it.

    A dimension that a dynamic artifact leaves open is a string (`"views"`), as in ONNX.
    """

    name: str
    shape: tuple[Count | OpenDimension, ...]
    dtype: TensorDType
    file_name: str | None = None
    """Its name inside the artifact's files where that is another: ONNX has one name space for inputs and outputs, and
    poses go in and out."""

    @property
    def native_name(self) -> str:
        """Name in the artifact's files."""
        return self.file_name or self.name


@dataclass(frozen=True)
class WeightsInfo:
    """Origin of the parameters."""

    id: str
    """Hugging Face id, file name, or `synthetic:SEED[,outliers]`."""
    sha256: str
    synthetic: bool
    licence: str


@dataclass(frozen=True)
class HostStep:
    """Arithmetic that the graph leaves to the host: a pure function over the outputs (:mod:`depthport.exporters.da3.host`).

    It changes values, never names, shapes or dtypes: `outputs` of the manifest hold before it and after it.
    """

    name: str
    """`sky_fill`, `metric_scale` or `pose_from_rays`."""
    reads: tuple[str, ...]
    """Outputs it needs; those it writes are among them where it changes rather than replaces."""
    writes: tuple[str, ...]
    """Outputs it changes, those of them that the artifact has."""
    parameters: dict[str, int | float] = field(default_factory=dict)
    """Keyword arguments of the function."""
    description: str = ""


@dataclass(frozen=True)
class FileInfo:
    """One file of an artifact."""

    path: str
    """Relative to the artifact's folder, with forward slashes."""
    size_bytes: Annotated[int, Meta(ge=0, le=LARGEST)]
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """Everything known about an artifact; `artifact.json` is its JSON form, field by field."""

    key: str
    model: str
    weights: WeightsInfo
    format: str
    precision: PolicyFacts
    """The policy (exporters/core/precision.py), spelled out: name, dtype of each part, note."""
    shape: Shape
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    options: dict[str, object]
    """The exporter's options with defaults filled in, among them `target`."""
    versions: dict[str, str]
    files: tuple[FileInfo, ...] = ()
    dynamic: tuple[str, ...] = ()
    """Dimensions left open: any of `views`, `size`, `batch`; the shape is then the one asked for first, among many."""
    limits: dict[str, tuple[Count, Count, Count]] = field(default_factory=dict)
    """Smallest size, largest size and step of an open dimension (`views`, `height`, `width`) that has them."""
    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    target: dict[str, object] = field(default_factory=dict)
    """Hardware the artifact is bound to, where it is (TensorRT); empty where it runs anywhere."""
    host_steps: tuple[HostStep, ...] = ()
    """Steps on the outputs of the graph, in this order, that make them those of the model. Our sessions do
    it (:meth:`depthport.runtimes.base.Session.outputs`); other ways of running the file call
    :func:`depthport.exporters.da3.host.apply`."""
    model_config: dict[str, object] | None = None
    """Upstream's configuration of a model of the user's own; None for the models that `model` names."""
    extra: JsonObject = field(default_factory=dict)
    """Facts that only this format has (opset, node counts, engine inspector file, eligibility tables, ...)."""
    export_s: Finite | None = None
    export_peak_mib: Finite | None = None
    """Peak resident memory of the exporting process."""
    created: str = ""
    """UTC, ISO 8601."""
    schema: str = SCHEMA

    @property
    def size_bytes(self) -> int:
        return sum(f.size_bytes for f in self.files)

    def to_json(self) -> dict[str, object]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: object) -> Manifest:
        """Parse a manifest, which may come from anyone: nothing that it names is imported, its text is cleaned.

        A field that this version does not know is left out: later ones may add some.

        Raises:
            ArtifactError: another schema, fields missing or of another type, values out of range, or files outside of the
                folder.
        """
        schema = data.get("schema") if isinstance(data, Mapping) else None
        if schema != SCHEMA:
            raise ArtifactError(f"{MANIFEST} has schema {quoted(schema)}, this version reads {SCHEMA!r}: export it again")
        try:
            manifest = msgspec.convert(clean_json(data, longest=MAX_TEXT), cls)
        except msgspec.ValidationError as error:
            raise ArtifactError(f"{MANIFEST} is damaged ({fault(error)}): delete the folder and export it again") from None
        for info in manifest.files:
            if _leaves(info.path):
                raise ArtifactError(
                    f"{MANIFEST} names a file outside its folder ({quoted(info.path)}): don't use this artifact"
                )
        if contradiction := _contradiction(manifest):
            raise ArtifactError(f"{MANIFEST} contradicts itself ({contradiction}): export it again")
        return manifest


def _contradiction(manifest: Manifest) -> str | None:
    """The first input or output whose shape is not that of the manifest's scene; None where all are."""
    dtypes = {spec.name: spec.dtype for spec in manifest.inputs}
    if "image" not in dtypes:
        return "it has no input image"
    known = partial(input_shapes, source=manifest.preprocessing.get("source_size"), pixels=dtypes["image"] == "uint8")
    for specs, shapes in ((manifest.inputs, known), (manifest.outputs, output_shapes)):
        if found := misshapen({s.name: s.shape for s in specs}, shapes, manifest.shape.sizes, manifest.dynamic):
            return found
    return None


def _leaves(path: str) -> bool:
    """Return whether a file's path, read on any system, leads out of the artifact's folder."""
    posix, windows = PurePosixPath(path), PureWindowsPath(path)
    return not path or posix.is_absolute() or bool(windows.anchor) or ".." in {*posix.parts, *windows.parts}


@dataclass(frozen=True)
class Artifact:
    """A folder and its manifest."""

    path: Path
    manifest: Manifest

    def file(self, name: str) -> Path:
        """Absolute path of one of the artifact's files.

        Raises:
            ArtifactError: the manifest lists no such file.
        """
        if name not in {f.path for f in self.manifest.files}:
            raise ArtifactError(f"artifact {self.path.name} has no file {name!r}: export it again")
        return self.path / name

    def verify(self) -> None:
        """Check every file's size and sha256.

        Raises:
            ArtifactError: a file is missing or differs; the message names the first one.
        """
        for info in self.manifest.files:
            path = self.path / info.path
            if not is_file(path) or not _same(path, info):
                what = "damaged" if is_file(path) else "missing"
                raise ArtifactError(f"artifact {self.path.name}: {info.path} is {what}: export it again")


def load_artifact(path: Path | str) -> Artifact:
    """Open an artifact folder (file hashes are not checked: see :meth:`Artifact.verify`).

    Raises:
        ArtifactError: no folder, no manifest, or a manifest that can't be read.
    """
    folder, shown = Path(path), clean_text(str(path))
    try:
        data = read_json(folder / MANIFEST, MAX_BYTES)
    except (FileNotFoundError, NotADirectoryError):
        problem = f"{shown} is not an artifact (it has no {MANIFEST}): make one with `depthport export`"
    except (OSError, ValueError) as error:
        problem = f"{shown}/{MANIFEST} can't be read ({one_line(error)}): delete the folder and export it again"
    else:
        return Artifact(folder, Manifest.from_json(data))
    raise ArtifactError(problem)


def _same(path: Path, info: FileInfo) -> bool:
    """Return whether a file is what the manifest says; one that the disk can't read is not."""
    try:
        return path.stat().st_size == info.size_bytes and file_sha256(path) == info.sha256
    except OSError:
        return False


def artifact_key(inputs: Mapping[str, object]) -> str:
    """Hex sha256 of the canonical JSON of everything that determines an artifact's content."""
    return canonical_sha256({"schema": SCHEMA, **inputs})
