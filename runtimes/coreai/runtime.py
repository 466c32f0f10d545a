"""Runtime `coreai`: Core AI assets on a Mac's CPU, GPU and Neural Engine, and for their numbers on Linux.

On macOS 27 the system's runtime loads the asset and specialises it for the compute unit that is the mode; it prefers that
unit and may use others. Everywhere else the runtime inside the wheel executes the asset's compiled form on the CPU,
operation by operation: its outputs are the asset's, its time is nobody's (`Device.numerics_only`). The compiled form is
kept in `LoadOptions.cache_dir`, else in the artifact's folder, bound to coreai-core's version.

Compiling and specialising are phases of `load` and stand in the placement; neither is part of a call. No options of its
own (`LoadOptions.extra`).
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import ClassVar

import numpy as np

from depthport.exporters.core.artifact import Artifact
from depthport.exporters.core.errors import LoadError, RunError, one_line
from depthport.exporters.core.options import Options, read_options
from depthport.exporters.coreai.executable import COMPILED_SUFFIX, Program, check_signature
from depthport.runtimes.base import Arrays, Device, LoadOptions, Mode, Placement, Runtime, Session
from depthport.runtimes.coreai.platform import WHEEL_ONLY, CoreAI, Platform
from depthport.runtimes.host.cache import cache_folder, kept
from depthport.runtimes.host.cpu import cpu_description

WHEEL = Mode("wheel", "the runtime inside the wheel, one operation after the other on the CPU: for outputs, not for timing")
CPU = Mode("cpu", "the CPU alone")
GPU = Mode("gpu", "the GPU where it can, other units for what it does not take")
NEURAL_ENGINE = Mode("neural-engine", "the Neural Engine where it can, other units for what it does not take")

UNITS = {
    "cpu": ("cpu", "Apple CPU through Core AI", CPU, ("fp32", "fp16")),
    "mps": ("gpu", "Apple GPU through Core AI", GPU, ("fp16", "fp32")),
    "ane": ("neural_engine", "Apple Neural Engine through Core AI", NEURAL_ENGINE, ("fp16",)),
}
"""Device of this package: Core AI's name for it, description, mode, precisions."""


class CoreAIRuntime(Runtime):
    """Core AI through coreai-core."""

    name: ClassVar[str] = "coreai"
    formats: ClassVar[tuple[str, ...]] = ("coreai",)
    title: ClassVar[str] = "Core AI"
    licence: ClassVar[str | None] = "BSD-3-Clause"
    packages: ClassVar[tuple[str, ...]] = ("coreai-core",)

    def __init__(self, platform: Platform | None = None) -> None:
        self.platform: Platform = platform or CoreAI()

    def probe(self) -> list[Device]:
        missing = self.platform.unavailable()
        if missing is None and self.platform.native():
            here = self.platform.units()
            return [
                _device(name) if unit in here
                else _device(name, (f"this Mac has no {unit.replace('_', ' ')} for Core AI", "use another device"))
                for name, (unit, *_) in UNITS.items()
            ]  # fmt: skip
        if missing is not None:
            return [_device(name, missing) for name in UNITS]
        cpu = Device("cpu", cpu_description(), (WHEEL,), ("fp32",), numerics_only=WHEEL_ONLY)
        return [cpu, *(_device(name, self.platform.no_units()) for name in UNITS if name != "cpu")]

    def _load(self, artifact: Artifact, device: str, options: LoadOptions) -> Session:
        mode = self.mode(self.device(device), options.mode)
        read_options(Options, options.extra, self.name)
        return CoreAISession(artifact, device, options, self.platform, mode)


class CoreAISession(Session):
    """A loaded asset; `run` starts a call, `synchronize` waits for it."""

    def __init__(self, artifact: Artifact, device: str, options: LoadOptions, platform: Platform, mode: Mode) -> None:
        super().__init__(artifact, device, options)
        # What a compiler makes of a damaged file is not for it to say: coreai-core's reads some as an empty program.
        artifact.verify()
        asset = artifact.path / str(artifact.manifest.extra["asset"])
        self._call: Future[Arrays] | None = None
        self._inputs: dict[str, np.ndarray] = {}
        self._raw: Arrays = {}
        begun = time.perf_counter()
        path, from_cache = (asset, False) if platform.native() else self._compile(asset, platform)
        compiled = time.perf_counter()
        self._program: Program = platform.load(path, UNITS[device][0])
        self._details = {
            "unit": mode.name,
            "executed_by": "the system" if platform.native() else "the wheel",
            "compiled_asset": "kept from an earlier load" if from_cache else "compiled by this load",
            "compile_s": compiled - begun,
            "specialise_s": time.perf_counter() - compiled,
        }
        natives = [tuple(spec.native_name for spec in specs) for specs in (self.input_specs, self.output_specs)]
        if (difference := check_signature(self._program, *natives)) is not None:
            self._program.close()
            raise LoadError(difference)

    def _compile(self, asset: Path, platform: Platform) -> tuple[Path, bool]:
        folder = (
            cache_folder(self.artifact, self.options) / "coreai" / f"{self.artifact.manifest.key[:12]}-{platform.system()}"
        )
        try:
            return kept(folder, f"{asset.stem}{COMPILED_SUFFIX}", lambda destination: platform.compile(asset, destination))
        except OSError as error:
            raise LoadError(f"the compiled form of {asset.name} can't be cached: {one_line(error)}") from error

    def _bind(self, inputs: Mapping[str, np.ndarray]) -> None:
        self._wait()
        self._inputs = {spec.native_name: np.array(inputs[spec.name], order="C") for spec in self.input_specs}

    def _run(self) -> None:
        self._wait()
        self._call = self._program.start(self._inputs)

    def _synchronize(self) -> None:
        self._wait()

    def _outputs(self) -> Arrays:
        self._wait()
        return {spec.name: self._raw[spec.native_name].astype(spec.dtype) for spec in self.output_specs}

    def _wait(self) -> None:
        """Wait until the call in flight is done."""
        call, self._call = self._call, None
        if call is None:
            return
        try:
            self._raw = call.result()
        except (RuntimeError, ValueError, TypeError) as error:
            raise RunError(f"Core AI failed on {self.device}: {one_line(error)}") from error

    def placement(self) -> Placement:
        return Placement(self.device, dict(self._details))

    def _close(self) -> None:
        if self._call is not None:
            self._call.cancel()
        self._program.close()
        self._inputs, self._raw, self._call = {}, {}, None


def _device(name: str, missing: tuple[str, str] | None = None) -> Device:
    _, description, mode, precisions = UNITS[name]
    shown = f"{cpu_description()}, Core AI" if name == "cpu" else description
    if missing is None:
        return Device(name, shown, (mode,), precisions)
    reason, remedy = missing
    return Device(name, description, (mode,), precisions, unavailable=reason, remedy=remedy)


__all__ = ["CPU", "GPU", "NEURAL_ENGINE", "UNITS", "WHEEL", "CoreAIRuntime", "CoreAISession"]
