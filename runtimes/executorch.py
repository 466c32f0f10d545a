"""Runtime `executorch`: `.pte` programs lowered to XNNPACK, in the runtime that comes with ExecuTorch's package.

What ExecuTorch would decide by itself is decided here: its thread pool has as many threads as the machine has cores,
which in a container is too many; here what the cgroup allows (:mod:`depthport.runtimes.host.threads`). The pool belongs
to the process: two sessions with other numbers of threads get the last one's.

A program has no names: inputs and outputs are the manifest's, in its order, and are held to its shapes and dtypes when
it is loaded. What XNNPACK took over was counted when the program was lowered; the placement shows it.
"""

from __future__ import annotations

import gc
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from depthport.exporters.core import install
from depthport.exporters.core.artifact import Artifact, TensorSpec
from depthport.exporters.core.errors import LoadError, PlacementError, RunError, one_line
from depthport.exporters.core.options import Options, read_options
from depthport.exporters.core.usable import unusable
from depthport.runtimes.base import Arrays, Device, LoadOptions, Mode, Placement, Runtime, Session
from depthport.runtimes.host.cpu import cpu_description
from depthport.runtimes.host.threads import allowed_threads

MODEL_FILE = "model.pte"
METHOD = "forward"
XNNPACK = Mode("xnnpack", "XNNPACK's kernels, all threads on one inference")
OFF_TARGET = (
    "ExecuTorch is for phones: the same kernels on this CPU show which of two artifacts is faster, not how fast a phone is"
)

_BACKEND = "XnnpackBackend"
_ERRORS = (ValueError, RuntimeError, TypeError, OSError, AssertionError)
_DTYPES = {"float32": "Float", "int64": "Long"}


class ExecuTorchRuntime(Runtime):
    """ExecuTorch through its Python bindings."""

    name: ClassVar[str] = "executorch"
    formats: ClassVar[tuple[str, ...]] = ("executorch",)
    title: ClassVar[str] = "ExecuTorch"
    licence: ClassVar[str | None] = "BSD-3-Clause"
    packages: ClassVar[tuple[str, ...]] = ("executorch", "torch")

    def probe(self) -> list[Device]:
        if (missing := unusable(install.DA3_EXECUTORCH, "torch", "executorch")) is not None:
            return [Device("cpu", cpu_description(), unavailable=missing[0], remedy=missing[1])]
        return [Device("cpu", cpu_description(), (XNNPACK,), ("fp32", "fp16"), off_target=OFF_TARGET)]

    def _load(self, artifact: Artifact, device: str, options: LoadOptions) -> Session:
        self.mode(self.device(device), options.mode)
        read_options(Options, options.extra, self.name)
        backend = artifact.manifest.target.get("backend", XNNPACK.name)
        if backend != XNNPACK.name:
            raise PlacementError(
                f"the program is lowered to {backend}, which ExecuTorch does not run here: export one without target"
            )
        return ExecuTorchSession(artifact, device, options)


class ExecuTorchSession(Session):
    """A loaded method; `run` returns when the outputs are there."""

    def __init__(self, artifact: Artifact, device: str, options: LoadOptions) -> None:
        super().__init__(artifact, device, options)
        # Programs are trusted input to the loader, and a damaged one may end the process.
        artifact.verify()
        self._threads = options.threads or allowed_threads()
        try:
            from executorch.extension.pybindings import portable_lib
            from executorch.runtime import Runtime as Engine
            from executorch.runtime import Verification

            engine = Engine.get()
            if not engine.backend_registry.is_available(_BACKEND):
                raise LoadError(f"this build of ExecuTorch has no XNNPACK: {install.EXECUTORCH_AGAIN}")
            portable_lib._unsafe_reset_threadpool(self._threads)
            self._program = engine.load_program(artifact.file(MODEL_FILE), verification=Verification.InternalConsistency)
            method = self._program.load_method(METHOD)
        except ImportError as error:
            raise LoadError(f"executorch does not start ({one_line(error)}): {install.EXECUTORCH_AGAIN}") from error
        except _ERRORS as error:
            raise LoadError(f"executorch can't load {MODEL_FILE}: {one_line(error)}") from error
        if method is None:
            raise LoadError(f"{MODEL_FILE} has no method {METHOD!r}: export it again")
        self._method = method
        self._pool = portable_lib._threadpool_get_thread_count
        self._check_signature(method.metadata)
        self._arguments: list[object] = []
        self._found: list[Any] = []

    def _check_signature(self, meta: Any) -> None:
        takes = [meta.input_tensor_meta(index) for index in range(meta.num_inputs())]
        gives = [meta.output_tensor_meta(index) for index in range(meta.num_outputs())]
        for what, infos, specs in (("inputs", takes, self.input_specs), ("outputs", gives, self.output_specs)):
            have = [(tuple(info.sizes()), info.dtype()) for info in infos]
            if [(shape, _dtype_name(dtype)) for shape, dtype in have] != [_signature(spec) for spec in specs]:
                raise LoadError(f"the program's {what} are not its manifest's: export it again")

    def _bind(self, inputs: Mapping[str, np.ndarray]) -> None:
        import torch

        self._arguments = [torch.from_numpy(np.array(inputs[spec.name], order="C")) for spec in self.input_specs]

    def _run(self) -> None:
        try:
            self._found = list(self._method.execute(self._arguments))
        except _ERRORS as error:
            raise RunError(f"executorch failed: {one_line(error)}") from error

    def _synchronize(self) -> None:
        """Nothing is left to wait for."""

    def _outputs(self) -> Arrays:
        return {spec.name: value.numpy().copy() for spec, value in zip(self.output_specs, self._found, strict=True)}

    def placement(self) -> Placement:
        lowering = self.artifact.manifest.extra.get("lowering")
        details: dict[str, object] = {"backend": XNNPACK.name, "threads": self._pool()}
        if not isinstance(lowering, Mapping):
            return Placement(self.device, details)
        return Placement(self.device, {**details, **lowering}, delegated_share=lowering.get("delegated_share"))

    def _close(self) -> None:
        # Order matters: a method points into its program.
        del self._method, self._program
        self._arguments, self._found = [], []
        gc.collect()


def _signature(spec: TensorSpec) -> tuple[tuple[int | str, ...], str]:
    return spec.shape, _DTYPES.get(spec.dtype, spec.dtype)


def _dtype_name(dtype: Any) -> str:
    """ExecuTorch tells dtypes as numbers of `ScalarType` (runtime/core/portable_type/scalar_type.h)."""
    return {6: "Float", 4: "Long"}.get(dtype, str(dtype))


__all__ = ["MODEL_FILE", "ExecuTorchRuntime", "ExecuTorchSession"]
