"""The CUDA side of a session, for anything that enqueues its work on a stream: buffers, copies, graph capture.

No framework: NVIDIA's own Python bindings (`cuda-bindings`, CUDA Runtime API). Inputs and outputs are device buffers at
fixed addresses with page-locked mirrors on the host; copies are asynchronous on the session's own stream. What runs is
a callable that takes the stream's handle, so this module is the same for TensorRT and for a test's kernel.

Order: a copy to the device reads the mirror after `upload` has returned, so the next `upload` waits for it (an event)
before it writes there. Everything else is ordered by the stream.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from depthport.exporters.core import install
from depthport.exporters.core.errors import LoadError, RunError, UnavailableError

Enqueue = Callable[[int], None]
"""Puts one inference on the stream with that handle (`cudaStream_t` as a number) and returns at once."""
INSTALL = str(install.CUDA_BINDINGS)


class CudaError(RunError):
    """A call of the CUDA Runtime API failed."""


def runtime() -> Any:
    """The bindings' module.

    Raises:
        UnavailableError: cuda-bindings is not installed.
    """
    try:
        from cuda.bindings import runtime as cudart
    except ImportError as error:
        raise UnavailableError(f"cuda-bindings is not installed: {INSTALL}") from error
    return cudart


def call(function: str, *arguments: Any) -> Any:
    """Call `function` of the CUDA Runtime API; returns what it gives besides its status.

    Raises:
        CudaError: it failed; an out-of-memory says so.
    """
    status, *values = getattr(runtime(), function)(*arguments)
    if int(status) != 0:
        _, name = runtime().cudaGetErrorName(status)
        _, text = runtime().cudaGetErrorString(status)
        raise CudaError(f"{function} failed: {_text(text)} ({_text(name)})")
    return values[0] if len(values) == 1 else tuple(values)


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


class Buffer:
    """Device memory with a page-locked mirror of the same shape and dtype."""

    def __init__(self, shape: tuple[int, ...], dtype: str) -> None:
        self.dtype = np.dtype(dtype)
        self.shape: tuple[int, ...] = ()
        self.capacity = 0
        self.address = 0
        self._locked = 0
        self.reshape(shape)

    @property
    def nbytes(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize

    def reshape(self, shape: tuple[int, ...]) -> bool:
        """Take another shape; returns whether the memory moved (it grows, and never shrinks)."""
        self.shape = tuple(shape)
        needed = max(self.nbytes, 1)
        moved = needed > self.capacity
        if moved:
            self.free()
            try:
                self.address = int(call("cudaMalloc", needed))
                self._locked = int(call("cudaHostAlloc", needed, 0))
            except CudaError:
                self.free()
                raise
            self.capacity = needed
        memory = (ctypes.c_byte * max(self.nbytes, 1)).from_address(self._locked)
        count = self.nbytes // self.dtype.itemsize
        self.mirror: np.ndarray = np.frombuffer(memoryview(memory), self.dtype, count=count)
        self.mirror = self.mirror.reshape(self.shape)
        return moved

    def free(self) -> None:
        """Give both memories back; a second call does nothing."""
        self.mirror = np.empty(0, self.dtype)
        address, locked, self.address, self._locked, self.capacity = self.address, self._locked, 0, 0, 0
        if address:
            call("cudaFree", address)
        if locked:
            call("cudaFreeHost", locked)


class CudaBuffers:
    """Named buffers, one stream, and the graph of what was captured on it. Not thread-safe.

    Args:
        inputs, outputs: shape and numpy dtype by name.
        device: CUDA's ordinal of the GPU.

    Raises:
        CudaError: no device, or out of memory.
    """

    def __init__(
        self, inputs: Mapping[str, tuple[tuple[int, ...], str]], outputs: Mapping[str, tuple[tuple[int, ...], str]],
        device: int = 0,
    ) -> None:  # fmt: skip
        self.device = device
        self.inputs: dict[str, Buffer] = {}
        self.outputs: dict[str, Buffer] = {}
        self._stream: Any = None
        self._uploaded: Any = None
        self._graph: object = None
        call("cudaSetDevice", device)
        try:
            # Not ordered after the legacy default stream, which other libraries of the process may use.
            self._stream = call("cudaStreamCreateWithFlags", runtime().cudaStreamNonBlocking)
            self._uploaded = call("cudaEventCreateWithFlags", runtime().cudaEventDisableTiming)
            for group, specs in ((self.inputs, inputs), (self.outputs, outputs)):
                for name, (shape, dtype) in specs.items():
                    group[name] = Buffer(shape, dtype)
        except CudaError:
            self.close()
            raise

    @property
    def stream(self) -> int:
        """The stream's handle."""
        return int(self._stream)

    @property
    def captured(self) -> bool:
        """True if :meth:`run` replays a graph."""
        return self._graph is not None

    @property
    def nbytes(self) -> int:
        """Device memory of all buffers."""
        return sum(buffer.capacity for buffer in (*self.inputs.values(), *self.outputs.values()))

    def address(self, name: str) -> int:
        """Device address of a buffer."""
        return (self.inputs.get(name) or self.outputs[name]).address

    def reshape(self, name: str, shape: tuple[int, ...]) -> bool:
        """Another shape for a buffer; returns whether its address changed, which drops the captured graph."""
        buffer = self.inputs.get(name) or self.outputs[name]
        if buffer.shape == tuple(shape):
            return False
        # Work on the stream may still use the old memory, and a graph was captured for the old shape.
        self.synchronize()
        self.drop_graph()
        return buffer.reshape(shape)

    def upload(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Copy host arrays into the inputs; the arrays may be changed as soon as this returns."""
        call("cudaEventSynchronize", self._uploaded)
        for name, array in arrays.items():
            buffer = self.inputs[name]
            np.copyto(buffer.mirror, array, casting="no")
            kind = runtime().cudaMemcpyKind.cudaMemcpyHostToDevice
            call("cudaMemcpyAsync", buffer.address, buffer.mirror.ctypes.data, buffer.nbytes, kind, self._stream)
        call("cudaEventRecord", self._uploaded, self._stream)

    def run(self, enqueue: Enqueue) -> None:
        """Enqueue one inference: the captured graph where there is one, else `enqueue`."""
        if self._graph is not None:
            call("cudaGraphLaunch", self._graph, self._stream)
        else:
            enqueue(self.stream)

    def capture(self, enqueue: Enqueue) -> None:
        """Run `enqueue` once (libraries allocate and compile in the first call), then capture it as one graph.

        Raises:
            CudaError: what was enqueued can't be captured; the session is usable without a graph afterwards.
        """
        enqueue(self.stream)
        self.synchronize()
        self.drop_graph()
        mode = runtime().cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        call("cudaStreamBeginCapture", self._stream, mode)
        try:
            enqueue(self.stream)
        except BaseException:
            # The capture must end before the stream can be used again, whatever it captured.
            status, graph = runtime().cudaStreamEndCapture(self._stream)
            if int(status) == 0 and graph is not None and int(graph):
                call("cudaGraphDestroy", graph)
            runtime().cudaGetLastError()
            raise
        graph = call("cudaStreamEndCapture", self._stream)
        try:
            self._graph = call("cudaGraphInstantiate", graph, 0)
        finally:
            call("cudaGraphDestroy", graph)

    def drop_graph(self) -> None:
        """Forget the captured graph."""
        graph, self._graph = self._graph, None
        if graph is not None:
            call("cudaGraphExecDestroy", graph)

    def synchronize(self) -> None:
        """Return when everything on the stream is done.

        Raises:
            CudaError: something that was enqueued failed.
        """
        call("cudaStreamSynchronize", self._stream)

    def download(self) -> dict[str, np.ndarray]:
        """Copies of the outputs, after everything on the stream is done."""
        kind = runtime().cudaMemcpyKind.cudaMemcpyDeviceToHost
        for buffer in self.outputs.values():
            call("cudaMemcpyAsync", buffer.mirror.ctypes.data, buffer.address, buffer.nbytes, kind, self._stream)
        self.synchronize()
        return {name: buffer.mirror.copy() for name, buffer in self.outputs.items()}

    def close(self) -> None:
        """Free everything; a second call does nothing."""
        if self._stream is not None:
            # An error of the work itself was raised where it was waited for; here only the end matters.
            runtime().cudaStreamSynchronize(self._stream)
        self.drop_graph()
        for buffer in (*self.inputs.values(), *self.outputs.values()):
            buffer.free()
        self.inputs, self.outputs = {}, {}
        uploaded, self._uploaded = self._uploaded, None
        if uploaded is not None:
            call("cudaEventDestroy", uploaded)
        stream, self._stream = self._stream, None
        if stream is not None:
            call("cudaStreamDestroy", stream)


def require_device(device: int = 0) -> None:
    """Raise LoadError with one line where CUDA has no such device."""
    try:
        count = int(call("cudaGetDeviceCount"))
    except CudaError as error:
        raise LoadError(f"CUDA does not start: {error}") from error
    if device >= count:
        raise LoadError(f"CUDA has {count} GPU{'s' if count != 1 else ''}: there is no cuda:{device}")
