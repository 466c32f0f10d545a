"""A session on a plug-in execution provider, and the proof that it ran there and in which precision."""

from __future__ import annotations

import tempfile
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime as ort

from depthport.exporters.core.artifact import Artifact
from depthport.exporters.core.errors import ExportError, LoadError, PlacementError, UnsupportedError
from depthport.exporters.core.isolation import call_isolated
from depthport.runtimes.base import LoadOptions, Placement
from depthport.runtimes.onnxruntime.plugins import Offer, reference
from depthport.runtimes.onnxruntime.providers import Provider, ProviderOptions
from depthport.runtimes.onnxruntime.session import ORT_ERRORS, OrtOptions, OrtSession, nodes_by_provider

FP32_LIMIT = 1e-5
"""Relative L2 of an fp32 policy's outputs to the CPU provider's: sums in another order are at 1e-6, fp16 weights at 4e-5 on
a network of two products, bf16 at 1e-2."""


class PluginSession(OrtSession):
    """Inputs and outputs are in host memory: only some plug-ins have an allocator of their own."""

    def __init__(
        self, artifact: Artifact, device: str, options: LoadOptions, model: Path, provider: Provider, extra: OrtOptions,
        offer: Offer, native: object,
    ) -> None:  # fmt: skip
        self._offer, self._native, self._model = offer, native, model
        super().__init__(artifact, device, options, model, provider, extra)
        self._refuse_nothing(self._session)

    def _create(self, model: Path, extra: OrtOptions) -> ort.InferenceSession:
        try:
            return super()._create(model, extra)
        except PlacementError:
            # Of a provider that takes some of the nodes it is a failure, which names the others.
            with suppress(*ORT_ERRORS):
                self._refuse_nothing(self._native_session(model, extra, strict=False))
            raise

    def _refuse_nothing(self, session: ort.InferenceSession) -> None:
        """A plug-in shows whether it supports a model only when it is asked: none is no failure of what runs here.

        Raises:
            UnsupportedError: the provider took no node.
        """
        counts = nodes_by_provider(session)
        if counts and not counts[self._offer.provider]:
            raise UnsupportedError(
                f"{self._offer.provider} takes none of {self._model.name}'s {counts.total()} nodes: it runs nothing of it"
            )

    def _start(self, model: Path, native: ort.SessionOptions, options: ProviderOptions) -> ort.InferenceSession:
        native.add_provider_for_devices([self._native], options)
        return ort.InferenceSession(str(model), native, enable_fallback=0)

    def placement(self) -> Placement:
        """Return where each node ran, and how far the outputs are from the CPU provider's.

        Raises:
            PlacementError: the provider ran nothing, or an fp32 policy was computed in less.
        """
        found = super().placement()
        errors, equal = self._errors()
        name, policy = self._offer.provider, self.artifact.manifest.precision
        if equal and not found.details["nodes"]:
            raise PlacementError(f"{name} ran nothing: its outputs are those of the CPU provider to the bit")
        worst = max(errors, key=errors.__getitem__)
        exact = policy.get("backbone") == "float32" and not policy.get("quantization") and not policy.get("tf32")
        if exact and not errors[worst] <= FP32_LIMIT:
            raise PlacementError(
                f"{name} computes in less than float32: its {worst} is {errors[worst]:.1e} off the CPU provider's "
                f"(relative L2, at most {FP32_LIMIT:g})"
            )
        plugin = self._offer.plugin
        details = {"plugin": f"{plugin.package} {plugin.version}", "cpu_provider_error": errors, "bit_equal": equal}
        return replace(found, details={**found.details, **details})

    def _errors(self) -> tuple[dict[str, float], bool]:
        """Relative L2 of each float output to the CPU provider's for what is bound, and whether all outputs are equal."""
        with tempfile.TemporaryDirectory(prefix="depthport-reference-") as name:
            folder = Path(name)
            natives = {spec.native_name: self._inputs[spec.name].numpy() for spec in self.input_specs}
            np.savez(folder / "inputs.npz", **natives)
            try:
                call_isolated(
                    reference,
                    {"model": str(self._model), "inputs": "inputs.npz", "outputs": "outputs.npz", "threads": self._threads},
                    folder,
                )
            except ExportError as error:
                raise LoadError(f"the CPU provider can't run {self._model.name} to compare with: {error}") from error
            with np.load(folder / "outputs.npz") as arrays:
                expected = {spec.name: arrays[spec.native_name] for spec in self.output_specs}
        self._run()
        mine = self._outputs()
        equal = all(np.array_equal(mine[name], array) for name, array in expected.items())
        floats = {name: array.astype(np.float64) for name, array in expected.items() if array.dtype.kind == "f"}
        return {
            name: float(np.linalg.norm(mine[name] - array) / np.linalg.norm(array)) for name, array in floats.items()
        }, equal


__all__ = ["FP32_LIMIT", "PluginSession"]
