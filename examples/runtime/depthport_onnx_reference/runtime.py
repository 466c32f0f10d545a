"""ONNX's reference evaluator: every operator as the standard defines it, in numpy. Slow, and the last word on an ONNX file.

All that a runtime is: a class that says where it runs and loads artifacts, and a session of five short methods. It is held
to the same contract as the built-in ones (`depthport.runtimes.contract`).
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any, ClassVar

from numpy.typing import NDArray

from depthport.exporters.core.artifact import Artifact
from depthport.exporters.core.errors import LoadError, RunError
from depthport.runtimes.base import Arrays, Device, LoadOptions, Mode, Runtime, Session

_EVALUATE = Mode("evaluate", "operator by operator, in numpy")


class OnnxReferenceRuntime(Runtime):
    """Takes portable ONNX artifacts; its times are of no interest to who deploys."""

    name: ClassVar[str] = "onnx-reference"
    formats: ClassVar[tuple[str, ...]] = ("onnx",)
    title: ClassVar[str] = "ONNX reference evaluator"
    licence: ClassVar[str | None] = "Apache-2.0"
    packages: ClassVar[tuple[str, ...]] = ("onnx",)

    def probe(self) -> list[Device]:
        missing = find_spec("onnx") is None
        return [
            Device(
                "cpu", "numpy on the CPU", (_EVALUATE,), ("fp32",),
                unavailable="onnx is not installed" if missing else None,
                remedy="pip install onnx" if missing else None,
                numerics_only="numpy computes it operator by operator",
            )
        ]  # fmt: skip

    def _load(self, artifact: Artifact, device: str, options: LoadOptions) -> Session:
        self.mode(self.device(device), options.mode)
        return OnnxReferenceSession(artifact, device, options)


class OnnxReferenceSession(Session):
    """One model, evaluated when `run` is called."""

    def __init__(self, artifact: Artifact, device: str, options: LoadOptions) -> None:
        super().__init__(artifact, device, options)
        from onnx.reference import ReferenceEvaluator

        try:
            self._evaluator = ReferenceEvaluator(str(artifact.file("model.onnx")))
        except Exception as error:
            raise LoadError(f"ONNX's reference evaluator can't load it: {error}") from error
        self._feeds: dict[str, NDArray[Any]] = {}
        self._results: list[Any] = []

    def _bind(self, inputs: Mapping[str, NDArray[Any]]) -> None:
        self._feeds = {spec.native_name: inputs[spec.name].copy() for spec in self.input_specs}

    def _run(self) -> None:
        try:
            self._results = list(self._evaluator.run([spec.native_name for spec in self.output_specs], self._feeds))
        except Exception as error:
            raise RunError(f"ONNX's reference evaluator failed: {error}") from error

    def _synchronize(self) -> None:
        """Nothing is left to wait for."""

    def _outputs(self) -> Arrays:
        specs = zip(self.output_specs, self._results, strict=True)
        return {spec.name: result.astype(spec.dtype, copy=False) for spec, result in specs}

    def _close(self) -> None:
        self._feeds, self._results = {}, []
        del self._evaluator
