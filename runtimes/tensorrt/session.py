"""A session around an engine that enqueues on a CUDA stream: what TensorRT's sessions are, less TensorRT.

An :class:`Engine` is told addresses and enqueues; this class owns the memory, the copies, the graph and their order.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np

from depthport.exporters.core.artifact import Artifact, TensorSpec
from depthport.exporters.core.errors import RunError
from depthport.exporters.core.nvidia import process_memory_mib
from depthport.runtimes.base import Arrays, LoadOptions, Placement, Session, SessionMemory
from depthport.runtimes.tensorrt.buffers import CudaBuffers, CudaError


class Engine(Protocol):
    """The part of an engine that a session needs."""

    def set_address(self, name: str, address: int) -> None:
        """Read or write the tensor `name` there from now on."""

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> None:
        """The shape of the input in the next runs (engines with open dimensions)."""

    def output_shape(self, name: str) -> tuple[int, ...]:
        """The output's shape for the inputs' shapes that were set."""

    def enqueue(self, stream: int) -> None:
        """Put one inference on the stream; raises RunError where it is refused."""

    def details(self) -> dict[str, object]:
        """Details for the placement: the engine and its origin."""

    def close(self) -> None:
        """Free what it holds."""


class CudaSession(Session):
    """One engine on one GPU, its inputs and outputs at fixed addresses.

    Args:
        engine: owned by the session from now on.
        index: CUDA's ordinal of the GPU.
        graph: capture the work once and replay it.
    """

    def __init__(
        self, artifact: Artifact, device: str, options: LoadOptions, engine: Engine, index: int, graph: bool
    ) -> None:
        super().__init__(artifact, device, options)
        self._engine = engine
        self._graph = graph
        try:
            self._buffers = CudaBuffers(_smallest(self.input_specs), _smallest(self.output_specs), index)
            self._tell_addresses()
        except BaseException:
            engine.close()
            raise

    def _tell_addresses(self) -> None:
        for name in (*self._buffers.inputs, *self._buffers.outputs):
            self._engine.set_address(name, self._buffers.address(name))

    def _bind(self, inputs: Mapping[str, np.ndarray]) -> None:
        # Buffers go by the engine's names: poses come in and go out under one name with us.
        arrays = {spec.native_name: inputs[spec.name] for spec in self.input_specs}
        shapes = {name: array.shape for name, array in arrays.items()}
        if any(self._buffers.inputs[name].shape != shape for name, shape in shapes.items()):
            self._reshape(shapes)
        self._buffers.upload(arrays)

    def _reshape(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        for name, shape in shapes.items():
            self._engine.set_input_shape(name, shape)
            self._buffers.reshape(name, shape)
        for spec in self.output_specs:
            self._buffers.reshape(spec.native_name, self._engine.output_shape(spec.native_name))
        self._tell_addresses()

    def _run(self) -> None:
        if self._graph and not self._buffers.captured:
            try:
                self._buffers.capture(self._engine.enqueue)
            except CudaError as error:
                raise RunError(f"this engine can't be captured as a CUDA graph, choose another mode: {error}") from error
        self._buffers.run(self._engine.enqueue)

    def _synchronize(self) -> None:
        self._buffers.synchronize()

    def _outputs(self) -> Arrays:
        found = self._buffers.download()
        return {spec.name: found[spec.native_name] for spec in self.output_specs}

    def placement(self) -> Placement:
        details = {
            **self._engine.details(), "cuda_graph": self._buffers.captured, "buffers_mib": self._buffers.nbytes / (1 << 20)
        }  # fmt: skip
        return Placement(self.device, details, delegated_share=1.0)

    def memory(self) -> SessionMemory:
        return SessionMemory(process_memory_mib())

    def _close(self) -> None:
        self._buffers.close()
        self._engine.close()


def _smallest(specs: tuple[TensorSpec, ...]) -> dict[str, tuple[tuple[int, ...], str]]:
    """Buffers to begin with: the shape itself, or none of an open dimension until inputs are bound."""
    return {
        spec.native_name: (tuple(size if isinstance(size, int) else 0 for size in spec.shape), spec.dtype) for spec in specs
    }
