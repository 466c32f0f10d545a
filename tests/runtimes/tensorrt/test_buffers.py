"""The CUDA side of sessions, on a GPU, around work of torch's in an engine's place: no TensorRT is needed for it.

Without a GPU the typed errors are tested, which is all that there is.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from depthport.exporters.core.artifact import Artifact
from depthport.exporters.core.errors import LoadError, RunError
from depthport.exporters.core.nvidia import cuda_devices
from depthport.runtimes.base import Device, LoadOptions, Mode, Runtime, Session
from depthport.runtimes.contract import CHECKS, Subject
from tests.support.tiny import seal

pytest.importorskip("cuda.bindings.runtime", reason="cuda-bindings is not installed")
from depthport.runtimes.tensorrt.buffers import Buffer, CudaBuffers, CudaError, call, require_device, runtime
from depthport.runtimes.tensorrt.session import CudaSession

on_gpu = pytest.mark.skipif(not cuda_devices(), reason="no NVIDIA GPU or driver was found")
SPEC = ((64, 1000), "float32")


def free_device_bytes() -> int:
    free, _ = call("cudaMemGetInfo")
    return int(free)


class Memory:
    """Device memory as torch takes it."""

    def __init__(self, address: int, shape: tuple[int, ...], dtype: str) -> None:
        self.__cuda_array_interface__ = {
            "shape": shape, "typestr": np.dtype(dtype).str, "data": (address, False), "version": 3
        }  # fmt: skip


class TorchEngine:
    """An engine's part played by torch: enough work that a copy is small beside it, outputs of the tiny network."""

    def __init__(self, artifact: Artifact) -> None:
        import torch

        self.torch = torch
        self.specs = {spec.name: spec for spec in (*artifact.manifest.inputs, *artifact.manifest.outputs)}
        self.tensors: dict[str, Any] = {}
        self.closed = False
        self.matrix = torch.randn(2048, 2048, device="cuda") / 2048
        self.product = torch.empty_like(self.matrix)

    def set_address(self, name: str, address: int) -> None:
        spec = self.specs[name]
        memory = Memory(address, tuple(int(size) for size in spec.shape), spec.dtype)
        self.tensors[name] = self.torch.as_tensor(memory, device="cuda")

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> None:
        raise RunError("one shape only")

    def output_shape(self, name: str) -> tuple[int, ...]:
        return tuple(int(size) for size in self.specs[name].shape)

    def enqueue(self, stream: int) -> None:
        torch, at = self.torch, self.tensors
        with torch.cuda.stream(torch.cuda.ExternalStream(stream)):
            for _ in range(30):
                torch.matmul(self.matrix, self.matrix, out=self.product)
            torch.mean(at["image"], dim=2, out=at["depth"])
            torch.mul(at["depth"][..., :3, :3], 2.0, out=at["intrinsics"])
            at["reference_view"].zero_()

    def details(self) -> dict[str, Any]:
        return {"engine": "torch"}

    def close(self) -> None:
        self.closed = True
        self.tensors = {}


class TorchRuntime(Runtime):
    """Loads :class:`TorchEngine` into the session that TensorRT's engines get."""

    name = "torch-engine"
    formats = ("tensorrt",)

    def probe(self) -> list[Device]:
        modes = (Mode("enqueue", "one by one"), Mode("cuda-graph", "captured"))
        return [Device("cuda", gpu.name, modes, ("fp32",)) for gpu in cuda_devices()[:1]]

    def _load(self, artifact: Artifact, device: str, options: LoadOptions) -> Session:
        from depthport.exporters.core.errors import UsageError

        mode = self.mode(self.device(device), options.mode)
        if options.extra:
            raise UsageError("no options")
        # What TensorRT's adapter does before it touches a file.
        artifact.verify()
        return CudaSession(artifact, device, options, TorchEngine(artifact), 0, graph=mode.name == "cuda-graph")


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    folder = tmp_path_factory.mktemp("engine")
    (folder / "model.engine").write_bytes(b"ftrt" + bytes(1000))
    return seal(folder, "tensorrt")


@pytest.mark.gpu
@on_gpu
@pytest.mark.parametrize("mode", ["enqueue", "cuda-graph"])
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_contract(check: Any, mode: str, artifact: Artifact, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    check(Subject(TorchRuntime(), artifact, "cuda", LoadOptions(mode=mode)), tmp_path)


@pytest.mark.gpu
@on_gpu
@pytest.mark.parametrize("mode", ["enqueue", "cuda-graph"])
def test_results_and_placement(mode: str, artifact: Artifact) -> None:
    pytest.importorskip("torch")
    subject = Subject(TorchRuntime(), artifact, "cuda", LoadOptions(mode=mode))
    with subject.load() as session:
        for seed in range(3):
            inputs = subject.inputs(seed)
            session.bind(inputs)
            session.run()
            session.synchronize()
            outputs = session.outputs()
            np.testing.assert_allclose(outputs["depth"], inputs["image"].mean(axis=2), rtol=1e-5, atol=1e-6)
            np.testing.assert_array_equal(outputs["reference_view"], [0])
        placement = session.placement()
        assert placement.details["cuda_graph"] == (mode == "cuda-graph")
        assert placement.details["buffers_mib"] > 0 and placement.delegated_share == 1.0
        engine = session._engine  # type: ignore[attr-defined]
    assert engine.closed


@pytest.mark.gpu
@on_gpu
def test_a_mirror_is_not_overwritten_while_it_is_copied() -> None:
    """Uploads follow each other without a synchronize; each run must still see its own."""
    shape, count = (1 << 22,), 24
    buffers = CudaBuffers({"x": (shape, "float32")}, {"y": ((count, 4), "float32")})
    try:
        for index in range(count):
            buffers.upload({"x": np.full(shape, index, np.float32)})
            # The last values of the input, which are copied last.
            source = buffers.address("x") + 4 * (shape[0] - 4)
            target = buffers.address("y") + 16 * index
            buffers.run(partial(_copy_16, target, source))
        np.testing.assert_array_equal(buffers.download()["y"], np.repeat(np.arange(count), 4).reshape(count, 4))
    finally:
        buffers.close()


def _copy_16(target: int, source: int, stream: int) -> None:
    call("cudaMemcpyAsync", target, source, 16, runtime().cudaMemcpyKind.cudaMemcpyDeviceToDevice, stream)


def _copy(buffers: CudaBuffers) -> Any:
    kind = runtime().cudaMemcpyKind.cudaMemcpyDeviceToDevice

    def enqueue(stream: int) -> None:
        size = buffers.inputs["x"].nbytes
        call("cudaMemcpyAsync", buffers.address("y"), buffers.address("x"), size, kind, stream)

    return enqueue


@pytest.mark.gpu
@on_gpu
def test_a_graph_reads_what_is_there_when_it_runs() -> None:
    buffers = CudaBuffers({"x": SPEC}, {"y": SPEC})
    try:
        enqueue = _copy(buffers)
        buffers.capture(enqueue)
        assert buffers.captured
        for seed in range(3):
            x = np.random.default_rng(seed).standard_normal(SPEC[0]).astype(np.float32)
            buffers.upload({"x": x})
            buffers.run(lambda stream: pytest.fail("the graph is replayed, not the callable"))
            np.testing.assert_array_equal(buffers.download()["y"], x)
        # Another shape: the memory may move, the graph is gone, and the next one works.
        grown = (128, 2000)
        assert buffers.reshape("x", grown) and buffers.reshape("y", grown) and not buffers.captured
        assert not buffers.reshape("x", (4, 5)), "a smaller shape keeps its memory"
        buffers.reshape("x", grown)
        buffers.capture(enqueue)
        x = np.arange(128 * 2000, dtype=np.float32).reshape(grown)
        buffers.upload({"x": x})
        buffers.run(enqueue)
        np.testing.assert_array_equal(buffers.download()["y"], x)
    finally:
        buffers.close()


@pytest.mark.gpu
@on_gpu
def test_what_can_not_be_captured_is_said_and_the_stream_survives() -> None:
    buffers = CudaBuffers({"x": SPEC}, {"y": SPEC})
    try:
        enqueue = _copy(buffers)

        def synchronizes(stream: int) -> None:
            enqueue(stream)
            call("cudaStreamSynchronize", runtime().cudaStream_t(stream))

        with pytest.raises(CudaError, match="captur"):
            buffers.capture(synchronizes)
        assert not buffers.captured
        x = np.ones(SPEC[0], np.float32)
        buffers.upload({"x": x})
        buffers.run(enqueue)
        np.testing.assert_array_equal(buffers.download()["y"], x)
    finally:
        buffers.close()


@pytest.mark.gpu
@on_gpu
def test_everything_is_freed() -> None:
    call("cudaSetDevice", 0)
    before = free_device_bytes()
    for _ in range(4):
        buffers = CudaBuffers({"x": ((1 << 26,), "float32")}, {"y": ((1 << 26,), "float32")})
        buffers.capture(_copy(buffers))
        assert buffers.nbytes == 2 << 28
        assert free_device_bytes() <= before - (2 << 28)
        buffers.close()
        buffers.close()
    assert free_device_bytes() > before - (64 << 20)


@pytest.mark.gpu
@on_gpu
def test_too_large_a_buffer_is_one_line_and_leaves_nothing() -> None:
    call("cudaSetDevice", 0)
    before = free_device_bytes()
    with pytest.raises(CudaError, match="out of memory") as raised:
        CudaBuffers({"x": ((1 << 26,), "float32"), "huge": ((1 << 42,), "int8")}, {})
    assert "\n" not in str(raised.value)
    assert free_device_bytes() > before - (64 << 20)


@pytest.mark.gpu
@on_gpu
def test_a_gpu_that_is_not_there() -> None:
    with pytest.raises(LoadError, match=r"there is no cuda:64"):
        require_device(64)


@pytest.mark.skipif(bool(cuda_devices()), reason="a GPU is here")
@pytest.mark.parametrize(
    "use",
    [lambda: CudaBuffers({"x": SPEC}, {}), lambda: Buffer(*SPEC), lambda: require_device(0)],
    ids=["buffers", "buffer", "device"],
)
def test_without_a_gpu_it_is_one_typed_line(use: Any) -> None:
    with pytest.raises((CudaError, LoadError), match="failed") as raised:
        use()
    assert "\n" not in str(raised.value)
