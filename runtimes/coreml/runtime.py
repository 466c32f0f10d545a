"""Runtime `coreml`: ML Program packages on a Mac's CPU, GPU and Neural Engine.

Compute units are modes: Core ML is told which units it *may* use and then decides operation by operation; what it
decided is in the placement, from `MLComputePlan`. `load` compiles the package (or finds the `.mlmodelc` an earlier load
kept), then has Core ML specialise it for the unit; neither is part of any prediction. A compiled model is bound to the
system's version and kept in `LoadOptions.cache_dir`, else in the user's cache folder.

Every session of the benchmark has its own process, so each compute unit has its own.

Options (`LoadOptions.extra`): `function` names the function of a package that has several (default: the main one).
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import ClassVar

import numpy as np
from PIL import Image

from depthport.exporters.core.artifact import Artifact
from depthport.exporters.core.errors import LoadError, RunError, UnsupportedError, UsageError, one_line
from depthport.runtimes.base import Arrays, Device, LoadOptions, Mode, Placement, Runtime, Session
from depthport.runtimes.coreml.host import complete
from depthport.runtimes.coreml.platform import CoreMLTools, Model, PlannedOperation, Platform
from depthport.runtimes.host.cache import cache_folder, kept
from depthport.runtimes.host.cpu import cpu_description

CPU_ONLY = Mode("CPU_ONLY", "the CPU alone", ("cpu-only",))
CPU_AND_GPU = Mode("CPU_AND_GPU", "the GPU, and the CPU for what it does not take", ("cpu-and-gpu",))
CPU_AND_NE = Mode(
    "CPU_AND_NE",
    "the Neural Engine, and the CPU for what it does not take",
    ("cpu-and-ane",),
    export_options=(("ane", True),),
)
ALL = Mode("ALL", "whatever unit Core ML prefers for each operation", ("all",))
ALL_NE = replace(ALL, export_options=CPU_AND_NE.export_options)
"""The same on a package rewritten for the Neural Engine."""

UNITS = {
    "cpu": ("cpu", "Apple CPU through Core ML", (CPU_ONLY,), ("fp32", "fp16")),
    "mps": ("gpu", "Apple GPU through Core ML", (CPU_AND_GPU, ALL), ("fp16", "fp32")),
    "ane": ("ane", "Apple Neural Engine through Core ML", (CPU_AND_NE, ALL_NE), ("fp16",)),
}
"""Device of this package: Core ML's name for it, description, modes, precisions."""


class CoreMLRuntime(Runtime):
    """Core ML through coremltools."""

    name: ClassVar[str] = "coreml"
    formats: ClassVar[tuple[str, ...]] = ("coreml",)
    title: ClassVar[str] = "Core ML"
    licence: ClassVar[str | None] = "Apple SLA"
    packages: ClassVar[tuple[str, ...]] = ("coremltools",)

    def __init__(self, platform: Platform | None = None) -> None:
        self.platform: Platform = platform or CoreMLTools()

    def probe(self) -> list[Device]:
        missing = self.platform.unavailable()
        if missing is not None:
            reason, remedy = missing
            return [
                Device(name, description, modes, precisions, unavailable=reason, remedy=remedy)
                for name, (_, description, modes, precisions) in UNITS.items()
            ]
        here = self.platform.devices()
        return [
            Device(name, _describe(name, description), modes, precisions)
            if kind in here
            else Device(
                name, description, modes, precisions,
                unavailable=f"this Mac has no {kind} that Core ML can use", remedy="use another device",
            )
            for name, (kind, description, modes, precisions) in UNITS.items()
        ]  # fmt: skip

    def _load(self, artifact: Artifact, device: str, options: LoadOptions) -> Session:
        unit = self.mode(self.device(device), options.mode).name
        unknown = sorted(set(options.extra) - {"function"})
        if unknown:
            raise UsageError(f"coreml has no option {unknown[0]!r}: its only option is function")
        if artifact.manifest.dynamic:
            raise UnsupportedError("a Core ML session has one shape: export a static artifact")
        return CoreMLSession(artifact, device, options, self.platform, unit)


class CoreMLSession(Session):
    """One function of a compiled model, loaded for one compute unit."""

    def __init__(self, artifact: Artifact, device: str, options: LoadOptions, platform: Platform, unit: str) -> None:
        super().__init__(artifact, device, options)
        self._platform = platform
        self._unit = unit
        extra = artifact.manifest.extra
        self._function = self._known_function(options.extra.get("function"))
        self._images = tuple(extra["interface"]["images"])
        self._half_input = bool(artifact.manifest.options.get("ane")) and not self._images
        begun = time.perf_counter()
        self._compiled, self._kept = self._compile(package_of(artifact))
        compiled = time.perf_counter()
        try:
            # Core ML's default function is asked for by naming none.
            self._model: Model | None = platform.load(self._compiled, unit, self._function)
        except (RuntimeError, ValueError, OSError) as error:
            raise LoadError(f"Core ML can't load {self._compiled.name} for {unit}: {one_line(error)}") from error
        self._phases = {"compile_s": compiled - begun, "specialise_s": time.perf_counter() - compiled}
        self._inputs: dict[str, object] = {}
        self._raw: dict[str, np.ndarray] = {}

    def _known_function(self, name: object) -> str | None:
        known = self.artifact.manifest.extra.get("functions", {"main": ""})
        if name is not None and name not in known:
            raise UsageError(f"the package has no function {name!r}: choose one of {', '.join(known)}")
        if name not in (None, "main"):
            raise UnsupportedError(
                f"function {name!r} has another shape than the artifact: run it from an app, or export that shape"
            )
        return "main" if len(known) > 1 else None

    def _compile(self, package: Path) -> tuple[Path, bool]:
        """The compiled model, and whether an earlier load had kept it."""
        name = f"{self.artifact.manifest.key[:12]}-{self._platform.system()}"
        folder = cache_folder(self.artifact, self.options) / "coreml" / name

        def compile_package(destination: Path) -> None:
            # What Core ML makes of a damaged package is not for it to say.
            self.artifact.verify()
            self._platform.compile(package, destination)

        try:
            return kept(folder, f"{package.stem}.mlmodelc", compile_package)
        except (RuntimeError, ValueError, OSError) as error:
            raise LoadError(f"Core ML can't compile {package.name}: {one_line(error)}") from error

    def _bind(self, inputs: Mapping[str, np.ndarray]) -> None:
        image = inputs["image"]
        if self._images:
            self._inputs = _views(image, self._images)
        else:
            self._inputs = {"image": np.array(image, np.float16 if self._half_input else np.float32)}

    def _run(self) -> None:
        assert self._model is not None
        try:
            raw = self._model.predict(self._inputs)
        except (RuntimeError, ValueError, TypeError) as error:
            raise RunError(f"Core ML failed on {self._unit}: {one_line(error)}") from error
        shape = self.artifact.manifest.shape
        # The host's share belongs to the inference: without it there are no poses.
        self._raw = complete(raw, self.output_specs, (shape.height, shape.width))

    def _synchronize(self) -> None:
        """Nothing to wait for: a prediction returns when its outputs are there."""

    def _outputs(self) -> Arrays:
        return {name: array.copy() for name, array in self._raw.items()}

    def placement(self) -> Placement:
        """Return the placement by `MLComputePlan`; operations on another unit than the device are the fallback."""
        kind = UNITS[self.device][0]
        details: dict[str, object] = {
            "compute_unit": self._unit,
            "compiled_model": "kept from an earlier load" if self._kept else "compiled by this load",
            **self._phases,
        }
        try:
            plan = self._platform.plan(self._compiled, self._unit, self._function or "main")
        except (RuntimeError, ValueError, AttributeError) as error:
            details["plan"] = f"not available: {one_line(error)} (MLComputePlan needs macOS 14.4)"
            return Placement(self.device, details)
        return Placement(self.device, {**details, **_summary(plan)}, *_elsewhere(plan, kind))

    def _close(self) -> None:
        self._model, self._inputs, self._raw = None, {}, {}


def package_of(artifact: Artifact) -> Path:
    """The `.mlpackage` of an artifact."""
    return artifact.path / str(artifact.manifest.extra["package"])


def _views(image: np.ndarray, names: tuple[str, ...]) -> dict[str, object]:
    """(B, N, H, W, 3) uint8 as one PIL image a view, which is what Core ML takes for an image input."""
    views = image.reshape(-1, *image.shape[2:])
    return {name: Image.fromarray(view.copy(), "RGB") for name, view in zip(names, views, strict=True)}


def _summary(plan: list[PlannedOperation]) -> dict[str, object]:
    placed = [op for op in plan if op.device != "none"]
    cost: Counter[str] = Counter()
    for operation in placed:
        cost[operation.device] += operation.cost  # type: ignore[assignment]
    return {
        "operations": dict(Counter(op.device for op in placed)),
        "estimated_cost": {device: round(share, 4) for device, share in cost.items()},
        "switches": sum(a.device != b.device for a, b in pairwise(placed)),
        "plan": {op.name: op.device for op in placed},
    }


def _elsewhere(plan: list[PlannedOperation], kind: str) -> tuple[tuple[str, ...], float | None]:
    """Operations on another unit than `kind`, by type with their number, and the share on `kind`."""
    placed = [op for op in plan if op.device != "none"]
    if not placed:
        return (), None
    other = Counter(f"{op.operator.rpartition('.')[2]} on {op.device}" for op in placed if op.device != kind)
    share = sum(op.device == kind for op in placed) / len(placed)
    return tuple(f"{count} {what}" for what, count in other.most_common()), share


def _describe(name: str, description: str) -> str:
    return f"{cpu_description()}, Core ML" if name == "cpu" else description
