"""Packages of depthport's extras that this environment lacks, and the commands that install them."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata

from packaging.requirements import Requirement

from depthport.exporters.core import install
from depthport.exporters.core.asked import known_name
from depthport.exporters.core.nvidia import cuda_devices
from depthport.runtimes.registry import installed_runtimes

DISTRIBUTION = "depthport"
BASIS = ("da3", "onnx", "openvino", "predict", "report")
"""Extras that a run and a prediction need on any machine."""


@dataclass(frozen=True)
class Missing:
    """Packages that are missing, and how to install them."""

    extras: tuple[str, ...]
    """Extras of depthport that lack something."""
    packages: tuple[str, ...]
    """Requirements that nothing here meets."""
    lines: tuple[install.Install, ...]
    """Commands that install them, in order."""
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, object]:
        return {
            "extras": self.extras, "packages": self.packages, "commands": [str(line) for line in self.lines],
            "notes": self.notes,
        }  # fmt: skip


def missing(wanted: Sequence[str] = ()) -> Missing:
    """Return what to install for some extras, by default for those that this machine can use.

    Raises:
        UsageError: depthport has no such extra.
    """
    known = metadata.metadata(DISTRIBUTION).get_all("Provides-Extra") or []
    asked = [known_name("extra", name, known) for name in wanted] or list(_useful())
    lacking = {extra: tuple(_lacking(extra)) for extra in asked}
    short = tuple(extra for extra, packages in lacking.items() if packages)
    packages = tuple(dict.fromkeys(p for found in lacking.values() for p in found))
    upstream = "da3" in asked and install.UPSTREAM not in _installed()
    # Two builds of ONNX Runtime lie in one folder: the CPU's goes before the GPU's comes.
    plain = [name for name in short if name != "cuda"]
    lines = [install.extras(*plain)] if plain else []
    lines += [install.ONNXRUNTIME_GPU, install.CUDA_BINDINGS] if "cuda" in short else []
    lines += [install.DA3_PACKAGE] if upstream else []
    notes = [f"{name} has no packages for this system and Python" for name in wanted if not any(_requirements(name))]
    if any(p.startswith("torch") for p in packages) and platform.system() == "Linux" and not cuda_devices():
        notes.append(f"on Linux torch brings gigabytes of CUDA libraries; for the CPU build, first: {install.TORCH_CPU}")
    return Missing(short, (*packages, *([install.UPSTREAM] if upstream else [])), tuple(lines), tuple(notes))


def _useful() -> Iterator[str]:
    yield from BASIS
    if platform.system() == "Darwin":
        yield "coreml"
    if cuda_devices():
        yield "cuda"


def _lacking(extra: str) -> Iterator[str]:
    """Requirements of an extra that apply here and are not met."""
    here = _installed()
    # Another build of a runtime is as good as its plain one.
    builds = {runtime.builds[0]: runtime.builds for runtime in installed_runtimes() if runtime.builds}
    for requirement in _requirements(extra):
        names = builds.get(requirement.name, (_normal(requirement.name),))
        found = next((here[name] for name in names if name in here), None)
        if found is None or not requirement.specifier.contains(found, prereleases=True):
            yield f"{requirement.name}{requirement.specifier}"


def _requirements(extra: str) -> Iterable[Requirement]:
    """Yield the requirements of an extra whose markers hold here."""
    every = (Requirement(text) for text in metadata.requires(DISTRIBUTION) or ())
    return (r for r in every if r.marker and r.marker.evaluate({"extra": extra}) and not r.marker.evaluate({"extra": ""}))


def _installed() -> Mapping[str, str]:
    return {_normal(d.metadata["Name"]): d.version for d in metadata.distributions() if d.metadata["Name"]}


def _normal(name: str) -> str:
    return name.lower().replace("_", "-").replace(".", "-")
