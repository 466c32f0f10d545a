"""One TensorRT engine: found or rebuilt, deserialized, given its weights, enqueued. Over the API both packages share."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from depthport.exporters.core.artifact import Artifact
from depthport.exporters.core.errors import ArtifactError, LoadError, RunError, StorageError, one_line
from depthport.exporters.core.files.sealed import file_intact, seal_file
from depthport.exporters.tensorrt.graph import find_onnx
from depthport.exporters.tensorrt.platform import ENGINE_FILE, EngineGpu, Package, damage, gpu_here, load_module, mismatch
from depthport.runtimes.base import LoadOptions
from depthport.runtimes.host.cache import cache_folder
from depthport.runtimes.tensorrt.buffers import call, require_device
from depthport.runtimes.terms import Mismatch

if TYPE_CHECKING:
    import tensorrt
    import tensorrt_rtx

_log = logging.getLogger("depthport")


def open_engine(package: Package, artifact: Artifact, options: LoadOptions, index: int) -> TensorRTEngine:
    """The artifact's engine, ready to be enqueued on GPU `index`.

    Raises:
        ArtifactError: its file is damaged or of another kind.
        LoadError: it was built for something else, or TensorRT refuses it.
        UnavailableError: TensorRT or cuda-bindings is not installed.
    """
    trt, gpu = load_module(package), this_gpu(index)
    path = find_engine(package, artifact)
    if found := mismatch_of(artifact, str(trt.__version__), gpu):
        raise LoadError(f"{found.reason}: export it on this machine")
    call("cudaSetDevice", index)
    return TensorRTEngine(trt, package, artifact, path, cache_folder(artifact, options), gpu)


def engine_here(package: Package, artifact: Artifact, cache: Path, index: int = 0) -> TensorRTEngine:
    """The engine of an artifact that was built on this machine, in this process, a moment ago."""
    gpu = this_gpu(index)
    call("cudaSetDevice", index)
    return TensorRTEngine(load_module(package), package, artifact, artifact.path / ENGINE_FILE, cache, gpu)


def this_gpu(index: int) -> EngineGpu:
    """GPU `index`.

    Raises:
        LoadError: there is no GPU, or the driver does not identify it.
    """
    require_device(index)
    gpu = gpu_here(index)
    if gpu is None:
        raise LoadError("the NVIDIA driver does not say which GPU this is: is it installed?")
    return gpu


def mismatch_of(artifact: Artifact, version: str, gpu: EngineGpu) -> Mismatch | None:
    """Return why an artifact's engine can't be trusted on a GPU with a version of TensorRT; None where it can."""
    reason = mismatch(artifact.manifest.target, version, gpu)
    return None if reason is None else Mismatch(reason, f"{gpu.name}, {gpu.capability}, {version}")


def find_engine(package: Package, artifact: Artifact) -> Path:
    """The artifact's engine, with nothing that speaks against it.

    Raises:
        ArtifactError: it is missing, damaged or of another kind.
    """
    own = artifact.file(ENGINE_FILE)
    if not own.is_file():
        raise ArtifactError(f"artifact {artifact.path.name}: {ENGINE_FILE} is missing: export it again")
    broken = damage(own, package)
    if broken is not None:
        raise ArtifactError(f"artifact {artifact.path.name}: {broken}: export it again")
    # TensorRT reads an engine as native code: what was changed on disk must not reach it.
    artifact.verify()
    return own


class TensorRTEngine:
    """A deserialized engine with its execution context (`depthport.runtimes.tensorrt.session.Engine`)."""

    def __init__(
        self, trt: ModuleType, package: Package, artifact: Artifact, path: Path, cache: Path, gpu: EngineGpu
    ) -> None:
        self._trt, self._package, self._artifact, self._gpu = trt, package, artifact, gpu
        # What TensorRT has to say is asked for where something fails; nothing is printed meanwhile.
        self._logger = trt.Logger(trt.Logger.ERROR)
        self._runtime = trt.Runtime(self._logger)
        self._engine = self._runtime.deserialize_cuda_engine(path.read_bytes())
        if self._engine is None:
            raise LoadError(
                f"{package.name} {trt.__version__} refuses {path.name} on {gpu.name} ({gpu.capability}): "
                "export it again on this machine"
            )
        if artifact.manifest.extra.get("stripped"):
            self._refit(artifact)
        self._cache_file = cache / "tensorrt" / f"{artifact.manifest.key[:12]}-{gpu.capability}.runtime-cache"
        self._runtime_cache: tensorrt_rtx.IRuntimeCache | None = None
        self._context = self._create_context()
        if self._context is None:
            raise LoadError(f"{package.name} can't make an execution context: is the GPU's memory full?")
        self._check_signature(artifact)

    def _create_context(self) -> tensorrt.IExecutionContext:
        if not hasattr(self._trt, "IRuntimeCache"):
            return self._engine.create_execution_context()
        # TensorRT for RTX compiles kernels for this GPU when they first run; what it compiled is kept between processes.
        config = self._engine.create_runtime_config()
        cache = self._runtime_cache = config.create_runtime_cache()
        if file_intact(self._cache_file):
            # One of another version or driver is refused and started afresh.
            cache.deserialize(self._cache_file.read_bytes())
        config.set_runtime_cache(cache)
        return self._engine.create_execution_context(config)

    def _refit(self, artifact: Artifact) -> None:
        """Put the weights of the ONNX artifact into an engine that was exported without them."""
        refitter = self._trt.Refitter(self._engine, self._logger)
        parser = self._trt.OnnxParserRefitter(refitter, self._logger)
        path = find_onnx(artifact)
        if not parser.refit_from_file(str(path)) or not refitter.refit_cuda_engine():
            raise LoadError(f"{self._package.name} can't take the weights of {path.parent.name}: export the engine again")

    def _check_signature(self, artifact: Artifact) -> None:
        engine = self._engine
        names = {engine.get_tensor_name(index) for index in range(engine.num_io_tensors)}
        wanted = {spec.native_name for spec in (*artifact.manifest.inputs, *artifact.manifest.outputs)}
        if names != wanted:
            raise LoadError(f"the engine has {sorted(names)}, its manifest says {sorted(wanted)}: export it again")

    def set_address(self, name: str, address: int) -> None:
        if not self._context.set_tensor_address(name, address):
            raise RunError(f"{self._package.name} does not take an address for {name!r}")

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> None:
        if not self._context.set_input_shape(name, shape):
            low, _, high = self._engine.get_tensor_profile_shape(name, 0)
            raise RunError(f"the engine takes {name!r} from {tuple(low)} to {tuple(high)}, not {shape}")

    def output_shape(self, name: str) -> tuple[int, ...]:
        return tuple(self._context.get_tensor_shape(name))

    def enqueue(self, stream: int) -> None:
        if not self._context.execute_async_v3(stream):
            raise RunError(f"{self._package.name} refused to enqueue the engine")

    def details(self) -> dict[str, object]:
        return {
            "package": self._package.name, "version": self._trt.__version__, "gpu": self._gpu.name,
            "capability": self._gpu.capability, "driver": self._gpu.driver, "layers": self._engine.num_layers,
            "activations_mib": self._engine.device_memory_size_v2 / (1 << 20),
            "rebuilt_because": self._artifact.manifest.extra.get("rebuilt_because"),
        }  # fmt: skip

    def close(self) -> None:
        self._keep_runtime_cache()
        # Order matters: a context refers to its engine, an engine to its runtime.
        self._context = self._engine = self._runtime = self._runtime_cache = None

    def _keep_runtime_cache(self) -> None:
        if self._runtime_cache is None or self._context is None:
            return
        temporary = self._cache_file.with_suffix(f".{os.getpid()}")
        try:
            self._cache_file.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_bytes(self._runtime_cache.serialize())
            temporary.replace(self._cache_file)
            seal_file(self._cache_file)
        except (OSError, StorageError) as error:
            _log.warning("compiled kernels can't be kept in %s: %s", self._cache_file.parent, one_line(error))
