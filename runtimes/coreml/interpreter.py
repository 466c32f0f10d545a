"""Runtime `coreml-interpreter`: Core ML packages read by our own code and computed in torch, on any machine.

It shows what a package computes, and nothing of Apple's kernels or of speed: no time of it is kept
(`Device.numerics_only`). Beside Core ML on a Mac it tells whose fault a wrong answer is: if both are wrong the package is,
if one is, the runtime or our reading of it. Every operation computes in fp32 and rounds to the type that the file declares.
No options of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from depthport.exporters.core import install
from depthport.exporters.core.artifact import Artifact
from depthport.exporters.core.errors import ArtifactError, RunError, UnsupportedError, UsageError
from depthport.exporters.coreml.mil.package import read_package
from depthport.runtimes.base import Arrays, Device, LoadOptions, Mode, Placement, Runtime, Session
from depthport.runtimes.coreml.host import complete, package_inputs
from depthport.runtimes.coreml.runtime import package_of
from depthport.runtimes.host.cpu import cpu_description

if TYPE_CHECKING:
    from depthport.exporters.coreml.mil.interpreter import Interpreter

PLAIN = Mode("plain", "the package as it is made for every unit", precisions=("fp32", "fp16"))
ANE = Mode("ane", "the package rewritten for the Neural Engine", precisions=("fp16",), export_options=(("ane", True),))
NUMERICS_ONLY = "depthport's interpreter of the saved package, without Core ML: for outputs, not for timing"


class CoreMLInterpreterRuntime(Runtime):
    """Our reading of Core ML packages."""

    name: ClassVar[str] = "coreml-interpreter"
    formats: ClassVar[tuple[str, ...]] = ("coreml",)
    title: ClassVar[str] = "Core ML interpreter"
    licence: ClassVar[str | None] = "Apache-2.0"
    packages: ClassVar[tuple[str, ...]] = ("torch",)

    def probe(self) -> list[Device]:
        missing = find_spec("torch") is None
        return [
            Device(
                "cpu", f"{cpu_description()}, torch", (PLAIN, ANE), ("fp32", "fp16"), numerics_only=NUMERICS_ONLY,
                unavailable="torch is not installed" if missing else None, remedy=str(install.DA3) if missing else None,
            )
        ]  # fmt: skip

    def _load(self, artifact: Artifact, device: str, options: LoadOptions) -> Session:
        self.mode(self.device(device), options.mode)
        if options.extra:
            raise UsageError(f"coreml-interpreter has no option {next(iter(options.extra))!r}: it has none")
        if artifact.manifest.dynamic:
            raise UnsupportedError("a package has one shape: export a static artifact")
        return InterpreterSession(artifact, device, options)


class InterpreterSession(Session):
    """The default function of a package."""

    def __init__(self, artifact: Artifact, device: str, options: LoadOptions) -> None:
        super().__init__(artifact, device, options)
        from depthport.exporters.coreml.mil.interpreter import Interpreter

        artifact.verify()
        function = read_package(package_of(artifact)).function()
        self._interpreter: Interpreter | None = Interpreter(function, "declared")
        self._details = {"executed_by": "depthport's interpreter, in torch", "operations": len(function.operations)}
        self._inputs: Arrays = {}
        self._raw: Arrays = {}

    def _bind(self, inputs: Mapping[str, np.ndarray]) -> None:
        images = self.artifact.manifest.extra["interface"]["images"]
        self._inputs = package_inputs(np.array(inputs["image"]), images)

    def _run(self) -> None:
        assert self._interpreter is not None
        try:
            found = self._interpreter.run(self._inputs)
        except ArtifactError as error:
            raise RunError(f"the interpreter can't compute the package: {error}") from error
        shape = self.artifact.manifest.shape
        raw = {name: value.numpy() for name, value in found.items()}
        self._raw = complete(raw, self.output_specs, (shape.height, shape.width))

    def _synchronize(self) -> None:
        """Nothing to wait for: an operation returns when its result is there."""

    def _outputs(self) -> Arrays:
        return {name: array.copy() for name, array in self._raw.items()}

    def placement(self) -> Placement:
        return Placement(self.device, dict(self._details))

    def _close(self) -> None:
        self._interpreter, self._inputs, self._raw = None, {}, {}
