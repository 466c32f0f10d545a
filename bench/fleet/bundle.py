"""The frozen bundle: jobs, inputs, weights and versions with one content hash, which every result of the fleet carries.

A folder: `bundle.json`, the user's photographs below `inputs/` and the local checkpoints below `weights/`. What the hash
covers (:class:`Contents`) is what two machines must agree on for their figures to stand side by side; which machine does
what, and under which conditions, is beside it (:class:`Share`) and may change without making another suite of it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

import msgspec
from msgspec import Struct, field
from packaging.specifiers import InvalidSpecifier, SpecifierSet

from depthport.bench.fleet.description import NAME, Conditions
from depthport.bench.inputs.photographs import OWN, SINGLE
from depthport.bench.measure.deciding import MEASURING
from depthport.bench.results.model import BundleRef
from depthport.exporters.core.declared import fault
from depthport.exporters.core.errors import UsageError
from depthport.exporters.core.files.atomic import read_json
from depthport.exporters.core.json_types import Json, JsonObject
from depthport.exporters.core.provenance import canonical_sha256, file_sha256, package_version
from depthport.exporters.core.source import source_digest
from depthport.exporters.core.text import clean_json, clean_text, quoted
from depthport.exporters.quantization.images import shipped_photograph

SCHEMA = "depthport.bundle/1"
FILE = "bundle.json"
INPUTS, WEIGHTS = "inputs", "weights"
MAX_BYTES = 1 << 24
SHIPPED = ("motorcycle_left.png", "motorcycle_right.png", "motorcycle_disp.npz", *SINGLE.values())
"""Files of scikit-image's wheel that are the input of runs without the user's photographs."""
SOURCE = "depthport source"
"""Key among the versions: the digest of all source that takes part in measuring."""
_SHA256 = re.compile(r"[0-9a-f]{64}")


class Weights(Struct, frozen=True, forbid_unknown_fields=True):
    """Weights of one model; they must be the same bytes on every machine."""

    id: str
    sha256: str
    synthetic: bool
    files: dict[str, str] = {}
    """Path below `weights/` -> sha256, of a local checkpoint that is carried; empty: the id says where they come from."""
    spec: str = ""
    """Their name: the id, or the carried file's or folder's path below `weights/`."""


class Job(Struct, frozen=True, forbid_unknown_fields=True):
    """One command: `depthport bench` or `depthport export`, for one model and shape."""

    kind: str
    model: str
    batch: int
    views: int
    height: int
    width: int
    weights: str
    """A key of :attr:`Contents.weights`."""
    asked: JsonObject = {}
    """Options: as :class:`~depthport.bench.fleet.description.Bench`, or format, precision and target of `export`."""


class Contents(Struct, frozen=True, forbid_unknown_fields=True):
    """Contents that the hash covers."""

    name: str
    jobs: dict[str, Job]
    inputs: dict[str, str]
    """Photograph -> sha256: of the user's below `inputs/`, or of :data:`SHIPPED`."""
    weights: dict[str, Weights]
    versions: dict[str, str]
    """depthport's version and :data:`SOURCE`, exactly; of packages that the description names, what they must be."""
    schema: str = SCHEMA


class Share(Struct, frozen=True, forbid_unknown_fields=True):
    """One machine's share of the suite."""

    jobs: tuple[str, ...]
    devices: tuple[str, ...] = ()
    runtimes: tuple[str, ...] = ()
    conditions: Conditions = field(default_factory=Conditions)


class Bundle(Struct, frozen=True, forbid_unknown_fields=True):
    """A bundle, as `bundle.json` has it."""

    sha256: str
    contents: Contents
    machines: dict[str, Share]

    def ref(self, machine: str, job: str) -> BundleRef:
        """Reference that a result keeps to it."""
        return BundleRef(sha256=self.sha256, machine=machine, job=job, contents=msgspec.to_builtins(self.contents))

    def files(self) -> dict[str, str]:
        """Every file of the folder beside `bundle.json`: path -> sha256."""
        own = {f"{INPUTS}/{name}": digest for name, digest in self.contents.inputs.items() if name not in SHIPPED}
        carried = (w.files for w in self.contents.weights.values())
        return own | {f"{WEIGHTS}/{name}": digest for files in carried for name, digest in files.items()}

    def share(self, machine: str) -> Share:
        """Return a machine's share.

        Raises:
            UsageError: the bundle does not name it.
        """
        if machine not in self.machines:
            raise UsageError(f"the bundle has no machine {quoted(machine)}: choose from {', '.join(self.machines)}")
        return self.machines[machine]

    def to_json(self) -> dict[str, object]:
        plain: dict[str, object] = msgspec.to_builtins(self)
        return plain


def sha256_of(contents: Contents | Mapping[str, object]) -> str:
    """Hash of a bundle's contents, as canonical JSON."""
    return canonical_sha256(msgspec.to_builtins(contents))


def parse_bundle(data: Json) -> Bundle:
    """A bundle from decoded JSON, which may come from anyone.

    Raises:
        UsageError: it is not one, or its hash is not that of its contents.
    """
    try:
        bundle = msgspec.convert(clean_json(data), Bundle)
    except msgspec.ValidationError as error:
        raise UsageError(f"it is not a bundle ({fault(error)}): make one with `depthport fleet freeze`") from None
    if bundle.contents.schema != SCHEMA:
        raise UsageError(f"it has schema {quoted(bundle.contents.schema)}, this version reads {SCHEMA!r}: freeze it again")
    if bundle.sha256 != sha256_of(bundle.contents):
        raise UsageError("its hash does not match its contents: freeze it again, and don't edit it by hand")
    digests = {**bundle.files(), **bundle.contents.inputs}
    wrong = next((n for n, d in digests.items() if not is_inside(n) or _SHA256.fullmatch(d) is None), None)
    if wrong is not None:
        raise UsageError(f"it names an unexpected file ({quoted(wrong)}): don't use it")
    wrong = next((n for n in (*bundle.machines, *bundle.contents.jobs) if NAME.fullmatch(n) is None), None)
    if wrong is not None:
        raise UsageError(f"it has an invalid machine or job name ({quoted(wrong)}): don't use it")
    return bundle


def load_bundle(folder: Path) -> Bundle:
    """The bundle in a folder; its files are not looked at (:func:`verify_files`).

    Raises:
        UsageError: it is missing, or can't be used.
    """
    path = folder / FILE
    shown = clean_text(str(path))
    try:
        return parse_bundle(read_json(path, MAX_BYTES))
    except FileNotFoundError:
        raise UsageError(f"{shown} does not exist: make a bundle with `depthport fleet freeze`") from None
    except OSError as error:
        raise UsageError(f"{shown} can't be read ({error.strerror}): name a folder that you may read") from None
    except UsageError as error:
        raise UsageError(f"{shown}: {error}") from None
    except ValueError as error:
        raise UsageError(f"{shown} is not valid JSON ({error}): it may be cut short") from None


def is_inside(name: str) -> bool:
    """Return whether a relative path from another machine stays below the folder it is joined to, on any system."""
    parts = PurePosixPath(name).parts
    return bool(parts) and not any(c in name for c in "\\:\0") and parts[0] != "/" and ".." not in parts


def verify_files(bundle: Bundle, folder: Path) -> None:
    """Raise UsageError where a carried or shipped file is missing or not the frozen one."""
    for name, digest in bundle.files().items():
        path = folder / name
        if not path.is_file() or file_sha256(path) != digest:
            raise UsageError(f"{name} of the bundle is missing or damaged: freeze it again, or copy it again")
    for name in SHIPPED:
        wanted = bundle.contents.inputs.get(name)
        if wanted is not None and file_sha256(shipped_photograph(name, OWN)) != wanted:
            raise UsageError(f"scikit-image's {name} differs from the bundle's: install the same scikit-image")


def versions_here() -> dict[str, str]:
    """Depthport's own, as every bundle has them."""
    return {"depthport": package_version("depthport") or "unknown", SOURCE: source_digest(*MEASURING)}


def version_problem(bundle: Bundle) -> str | None:
    """Return why this environment can't measure the bundle; None: it can."""
    here = versions_here()
    for name, wanted in bundle.contents.versions.items():
        if name in here:
            if here[name] != wanted:
                return f"{name} is {here[name][:12]}, but {wanted[:12]} in the bundle: install the same version"
            continue
        found = package_version(name)
        if found is None or not requirement(name, wanted).contains(found, prereleases=True):
            return f"{name} is {found or 'not installed'} here, the bundle wants {wanted}: install that"
    return None


def requirement(name: str, wanted: str) -> SpecifierSet:
    """Parse a version requirement: `1.32.0` is `==1.32.0`.

    Raises:
        UsageError: it says nothing of the kind.
    """
    try:
        return SpecifierSet(f"=={wanted}" if wanted[:1].isdigit() else wanted)
    except InvalidSpecifier:
        raise UsageError(
            f"versions: {quoted(wanted)} of {quoted(name)} is not a version: write >=1.30, for example"
        ) from None
