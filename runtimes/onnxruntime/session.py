"""One ONNX model in ONNX Runtime, inputs and outputs bound once to memory on the session's device."""

from __future__ import annotations

import contextlib
import gc
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
import onnxruntime as ort
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from depthport.exporters.core.artifact import Artifact
from depthport.exporters.core.errors import LoadError, PlacementError, RunError, one_line
from depthport.exporters.core.nvidia import cuda_devices, process_memory_mib
from depthport.exporters.core.options import Options
from depthport.runtimes.arrays import check_signature
from depthport.runtimes.base import Arrays, LoadOptions, Placement, Session, SessionMemory
from depthport.runtimes.host.cache import cache_folder
from depthport.runtimes.host.threads import allowed_threads
from depthport.runtimes.onnxruntime import cache as ort_cache
from depthport.runtimes.onnxruntime.cache import OptimizedGraph
from depthport.runtimes.onnxruntime.providers import CPU_PROVIDER, Provider, ProviderContext, ProviderOptions

GraphOptimization = Literal["all", "extended", "basic", "disabled"]
_LEVELS: dict[GraphOptimization, ort.GraphOptimizationLevel] = {
    "all": ort.GraphOptimizationLevel.ORT_ENABLE_ALL,
    "extended": ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
    "basic": ort.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    "disabled": ort.GraphOptimizationLevel.ORT_DISABLE_ALL,
}
Spinning = Literal["run", "always", "never"]
_SPINNING_ENTRIES: dict[Spinning, dict[str, str]] = {
    "run": {"session.force_spinning_stop": "1"},
    "always": {},
    "never": {"session.intra_op.allow_spinning": "0"},
}

# Every class the native module raises; they share no base but Exception.
ORT_ERRORS: tuple[type[Exception], ...] = (
    *(kind for kind in vars(ort_errors).values() if isinstance(kind, type) and issubclass(kind, Exception)),
    RuntimeError,
    ValueError,
)
_LOG_ERRORS_ONLY = 3
_NAMED_NODES = 8


class OrtOptions(Options, frozen=True):
    """`LoadOptions.extra` of this runtime, checked; see :mod:`depthport.runtimes.onnxruntime.runtime`."""

    spinning: Spinning = "run"
    graph_optimization: GraphOptimization = "all"
    cpu_fallback: bool = False
    provider_options: dict[str, object] = msgspec.field(default_factory=dict)


class OrtSession(Session):
    """A loaded model; `run` is synchronous on the CPU, and asynchronous providers are waited for in `synchronize`."""

    def __init__(
        self, artifact: Artifact, device: str, options: LoadOptions, model: Path, provider: Provider, extra: OrtOptions
    ) -> None:
        super().__init__(artifact, device, options)
        self._provider = provider
        self._threads = options.threads or allowed_threads()
        self._index = int(device.partition(":")[2] or 0)
        if provider.memory == "cuda":
            # CUDA and cuDNN come as Python packages that the dynamic loader does not search by itself.
            ort.preload_dlls()
            # What operators log while they are made (ScatterND warns of duplicate indices) goes to the default logger.
            ort.set_default_logger_severity(_LOG_ERRORS_ONLY)
        self._graph = "not kept"
        self._session = self._create(model, extra)
        takes, gives = self._session.get_inputs(), self._session.get_outputs()
        check_signature({v.name: v.shape for v in takes}, {v.name: v.shape for v in gives}, artifact.manifest)
        self._binding = self._session.io_binding()
        self._inputs: dict[str, ort.OrtValue] = {}
        self._outputs_bound: dict[str, ort.OrtValue] = {}
        self._allocated: dict[str, int] = {}
        if not artifact.manifest.dynamic:
            self._allocate_all()

    def _allocate_all(self) -> None:
        """Buffers for the sizes of now, bound once until the sizes change."""
        self._allocated = dict(self._sizes)
        self._inputs = {spec.name: self._allocate(spec.shape, spec.dtype) for spec in self.input_specs}
        self._outputs_bound = {spec.name: self._allocate(spec.shape, spec.dtype) for spec in self.output_specs}
        for spec in self.input_specs:
            self._binding.bind_ortvalue_input(spec.native_name, self._inputs[spec.name])
        for spec in self.output_specs:
            self._binding.bind_ortvalue_output(spec.native_name, self._outputs_bound[spec.name])

    def _create(self, model: Path, extra: OrtOptions) -> ort.InferenceSession:
        provider = self._provider
        strict = provider.name != CPU_PROVIDER and not extra.cpu_fallback
        try:
            session = self._optimized_session(model, extra) if self._keeps_graph(extra) else None
            if session is None:
                session = self._native_session(model, extra, strict)
        except ORT_ERRORS as error:
            if strict and "fallback to CPU EP has been explicitly disabled" in str(error):
                raise PlacementError(self._strays(model, extra)) from error
            raise LoadError(f"onnxruntime ({provider.name}) can't load {model.name}: {one_line(error)}") from error
        if session.get_providers()[0] != provider.name:
            raise PlacementError(
                f"onnxruntime dropped {provider.name} and would run on {session.get_providers()[0]}: "
                "its libraries (CUDA, cuDNN, TensorRT) could not be loaded"
            )
        return session

    def _keeps_graph(self, extra: OrtOptions) -> bool:
        return self._provider.name == CPU_PROVIDER and extra.graph_optimization in ("all", "extended")

    def _optimized_session(self, model: Path, extra: OrtOptions) -> ort.InferenceSession | None:
        """A session of the kept graph, or one that keeps its graph; None where neither is possible."""
        entry = OptimizedGraph.of(self.artifact, self.options, ort.__version__, extra.graph_optimization)
        if entry.complete():
            try:
                session = self._native_session(
                    entry.model, msgspec.structs.replace(extra, graph_optimization="disabled"), False
                )
            except ORT_ERRORS:
                entry.discard()
            else:
                self._graph = "kept by an earlier load"
                return session
        if not entry.can_be_written():
            return None
        try:
            folder = entry.begin()
        except OSError:
            return None
        try:
            session = self._native_session(model, extra, False, folder / ort_cache.MODEL_FILE)
        except ORT_ERRORS:
            # A full disk fails like a bad model: the load without the cache, which follows, tells which it was.
            shutil.rmtree(folder, ignore_errors=True)
            return None
        if entry.finish(folder):
            self._graph = "optimized and kept"
        return session

    def _native_session(
        self, model: Path, extra: OrtOptions, strict: bool, save_to: Path | None = None
    ) -> ort.InferenceSession:
        native = ort.SessionOptions()
        native.log_severity_level = _LOG_ERRORS_ONLY
        native.intra_op_num_threads = self._threads
        native.inter_op_num_threads = 1
        native.graph_optimization_level = _LEVELS[extra.graph_optimization]
        entries = dict(_SPINNING_ENTRIES[extra.spinning])
        if hasattr(ort.InferenceSession, "get_provider_graph_assignment_info"):
            entries["session.record_ep_graph_assignment_info"] = "1"
        if self._provider.name == CPU_PROVIDER:
            # One block for all activations, planned ahead, takes a fifth more than they need at any time and is no faster.
            native.enable_mem_pattern = False
        if save_to is not None:
            native.optimized_model_filepath = str(save_to)
            entries["session.optimized_model_external_initializers_file_name"] = ort_cache.WEIGHTS_FILE
            entries["session.optimized_model_external_initializers_min_size_in_bytes"] = str(
                ort_cache.SMALLEST_EXTERNAL_BYTES
            )
        if strict:
            entries["session.disable_cpu_ep_fallback"] = "1"
        for key, value in entries.items():
            native.add_session_config_entry(key, value)
        context = self._context()
        given = {name: str(value) for name, value in extra.provider_options.items()}
        options = {**self._provider.options(context), **given}
        if context.cache_dir in options.values():
            Path(context.cache_dir).mkdir(parents=True, exist_ok=True)
        return self._start(model, native, options)

    def _start(self, model: Path, native: ort.SessionOptions, options: ProviderOptions) -> ort.InferenceSession:
        # enable_fallback=0: the Python wrapper would otherwise retry on other providers by itself.
        return ort.InferenceSession(str(model), native, providers=[(self._provider.name, options)], enable_fallback=0)

    def _context(self) -> ProviderContext:
        precision = self.artifact.manifest.precision
        cache = cache_folder(self.artifact, self.options)
        limit, capability = None, (0, 0)
        gpus = cuda_devices() if self._provider.memory == "cuda" else ()
        if self._index < len(gpus):
            capability = gpus[self._index].capability
            if self.options.memory_fraction is not None:
                limit = int(self.options.memory_fraction * gpus[self._index].memory_bytes)
        dtypes = tuple(str(precision[part]) for part in ("backbone", "head") if part in precision)
        return ProviderContext(
            self._index, bool(precision.get("tf32")), self._threads, str(cache), limit,
            fp16_convolutions=precision.get("head") == "float16", capability=capability,
            dtypes=dtypes,
        )  # fmt: skip

    def _strays(self, model: Path, extra: OrtOptions) -> str:
        """One line that names the nodes the provider did not take, from a second session that admits them."""
        message = f"{self._provider.name} does not take every node of {model.name}"
        advice = "export for its target, or load with cpu_fallback=True to measure it anyway"
        with contextlib.suppress(*ORT_ERRORS):
            strays = list(_nodes_elsewhere(self._native_session(model, extra, strict=False), self._provider.name))
            if strays:
                more = f" and {len(strays) - _NAMED_NODES} more" if len(strays) > _NAMED_NODES else ""
                message = f"{len(strays)} nodes would run on the CPU: {', '.join(strays[:_NAMED_NODES])}{more}"
        return f"{message}; {advice}"

    def _allocate(self, shape: tuple[int | str, ...], dtype: str) -> ort.OrtValue:
        # Fixed buffers: a captured CUDA graph replays on the addresses it has seen.
        return ort.OrtValue.ortvalue_from_shape_and_type(
            [int(size) for size in shape], np.dtype(dtype).type, self._provider.memory, self._index
        )

    def _bind(self, inputs: Mapping[str, np.ndarray]) -> None:
        if self._sizes != self._allocated:
            self._allocate_all()
        for name, array in inputs.items():
            self._inputs[name].update_inplace(np.ascontiguousarray(array))
        self._binding.synchronize_inputs()

    def _run(self) -> None:
        try:
            self._session.run_with_iobinding(self._binding)
        except ORT_ERRORS as error:
            raise RunError(f"onnxruntime ({self._provider.name}) failed: {one_line(error)}") from error

    def _synchronize(self) -> None:
        self._binding.synchronize_outputs()

    def _outputs(self) -> Arrays:
        return {name: np.array(value.numpy()) for name, value in self._outputs_bound.items()}

    def placement(self) -> Placement:
        counts = Counter(dict(nodes_by_provider(self._session)))
        total = sum(counts.values())
        details = {
            "providers": self._session.get_providers(),
            "provider_options": self._session.get_provider_options().get(self._provider.name, {}),
            "nodes": dict(counts),
            "threads": self._threads,
            "cuda_graph": self._provider.cuda_graph,
            "optimized_graph": self._graph,
        }
        return Placement(
            self.device,
            details,
            fallback=tuple(_nodes_elsewhere(self._session, self._provider.name)),
            delegated_share=counts[self._provider.name] / total if total else None,
        )

    def memory(self) -> SessionMemory:
        return SessionMemory(process_memory_mib() if self._provider.memory == "cuda" else None)

    def _close(self) -> None:
        # Order matters: the binding and its values hold the session's allocators.
        del self._binding, self._inputs, self._outputs_bound, self._session
        gc.collect()


def _assignments(session: ort.InferenceSession) -> Iterator[tuple[str, Any]]:
    """(provider, node) of every node after partitioning; nothing from a version that does not tell (before 1.24)."""
    if not hasattr(session, "get_provider_graph_assignment_info"):
        return
    for subgraph in session.get_provider_graph_assignment_info():
        for node in subgraph.get_nodes():
            yield subgraph.ep_name, node


def nodes_by_provider(session: ort.InferenceSession) -> Counter[str]:
    """Return the number of nodes that each provider was given; empty where the version does not tell."""
    return Counter(provider for provider, _ in _assignments(session))


def _nodes_elsewhere(session: ort.InferenceSession, provider: str) -> Iterator[str]:
    return (f"{node.op_type} {node.name}".strip() for name, node in _assignments(session) if name != provider)
