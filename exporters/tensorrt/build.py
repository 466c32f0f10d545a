"""Parsing an ONNX file into a network and building it into an engine, over the API both packages share.

Strongly typed: no precision flag is set but TF32, which is on by default and would make an fp32 engine something else.
Progress comes from `IProgressMonitor`. Ctrl-C asks the monitor to cancel: an exception must not travel through the
builder's C++ frames, so the interrupt is raised when it has returned.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Protocol

from depthport.exporters.base import Progress
from depthport.exporters.core.errors import ExportError, UnsupportedError, one_line
from depthport.exporters.core.text import mib
from depthport.exporters.tensorrt.options import TensorRTOptions
from depthport.exporters.tensorrt.platform import Package

if TYPE_CHECKING:
    import tensorrt

_DEEPEST_SHOWN = 2
_NO_KERNEL = "not supported by a dedicated kernel"
_COMPATIBILITY = {"ampere+": "AMPERE_PLUS", "same-cc": "SAME_COMPUTE_CAPABILITY"}


class Log(Protocol):
    """An `ILogger` that keeps warnings and errors."""

    lines: list[tuple[str, str]]

    def error(self) -> str:
        """The last error, in one line."""
        ...


def make_logger(trt: ModuleType) -> Log:
    """An `ILogger` that keeps warnings and errors in `lines` and prints nothing."""

    class Kept(trt.ILogger):  # type: ignore[name-defined, misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.lines: list[tuple[str, str]] = []

        def log(self, severity: tensorrt.ILogger.Severity, message: str) -> None:
            if severity <= trt.ILogger.WARNING:
                self.lines.append((severity.name, message))

        def error(self) -> str:
            errors = [message for severity, message in self.lines if severity != "WARNING"]
            return one_line(RuntimeError(errors[-1]), 600) if errors else "TensorRT gives no reason"

    return Kept()


@dataclass
class Parsed:
    """A parsed network with everything that must live as long as it."""

    network: tensorrt.INetworkDefinition
    builder: tensorrt.Builder
    parser: tensorrt.OnnxParser
    logger: Log


def supports_operator(trt: ModuleType) -> Callable[[str], bool]:
    """`OnnxParser.supports_operator` of an empty parser."""
    parsed = _empty(trt)

    def supports(operator: str) -> bool:
        # `parsed` lives as long as this function: the parser refers to its network and logger.
        return bool(parsed.parser.supports_operator(operator))

    return supports


def _empty(trt: ModuleType) -> Parsed:
    logger = make_logger(trt)
    builder = trt.Builder(logger)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    return Parsed(network, builder, trt.OnnxParser(network, logger), logger)


def parse(trt: ModuleType, path: Path) -> Parsed:
    """The network of an ONNX file.

    Raises:
        UnsupportedError: the parser refuses a node; the message names it and says why.
        ExportError: the file can't be read.
    """
    parsed = _empty(trt)
    if not parsed.parser.parse_from_file(str(path)):
        errors = [parsed.parser.get_error(index) for index in range(parsed.parser.num_errors)]
        if not errors:
            raise ExportError(f"TensorRT's parser rejects {path.name}: {parsed.logger.error()}")
        first = errors[0]
        more = f"; and {len(errors) - 1} more" if len(errors) > 1 else ""
        why = one_line(RuntimeError(first.desc()))
        if not first.node_name() and not first.node_operator():
            raise ExportError(f"TensorRT's parser rejects {path.name}: {why}{more}")
        raise UnsupportedError(
            f"TensorRT can't build this graph: node {first.node_name()!r} ({first.node_operator()}): {why}{more}"
        )
    return parsed


def build(
    trt: ModuleType, parsed: Parsed, package: Package, options: TensorRTOptions, tf32: bool, path: Path, progress: Progress,
    timing_cache: bytes | None = None,
) -> bytes | None:  # fmt: skip
    """Build `parsed` and write the engine to `path`; returns the timing cache where one was asked for.

    Args:
        tf32: let fp32 products use TF32.
        timing_cache: what an earlier build gave (b"" for an empty one); None for none.

    Raises:
        ExportError: the builder failed; the message holds its reason.
        KeyboardInterrupt: Ctrl-C was pressed.
    """
    config = _configure(trt, parsed, package, options, tf32)
    cache = None
    if timing_cache is not None:
        cache = config.create_timing_cache(timing_cache)
        if cache is None or not config.set_timing_cache(cache, ignore_mismatch=False):
            # Damaged, or of another GPU after all: started afresh.
            cache = config.create_timing_cache(b"")
            config.set_timing_cache(cache, ignore_mismatch=False)
    engine = _run(trt, parsed, config, progress)
    if engine is None and _NO_KERNEL in parsed.logger.error() and decompose_attention(trt, parsed.network):
        progress("building the engine again: attention in parts")
        engine = _run(trt, parsed, config, progress)
    if engine is None:
        raise ExportError(f"{package.name} can't build the engine: {parsed.logger.error()}")
    progress(f"writing {mib(engine.nbytes)}")
    with path.open("wb") as stream:
        stream.write(engine)
    return None if cache is None else bytes(cache.serialize())


def _run(
    trt: ModuleType, parsed: Parsed, config: tensorrt.IBuilderConfig, progress: Progress
) -> tensorrt.IHostMemory | None:
    with _interruptible() as interrupted:
        config.progress_monitor = _monitor(trt, progress, interrupted)
        engine = parsed.builder.build_serialized_network(parsed.network, config)
    if interrupted.is_set():
        raise KeyboardInterrupt
    return engine


def decompose_attention(trt: ModuleType, network: tensorrt.INetworkDefinition, dtypes: tuple[str, ...] = ()) -> int:
    """Let the builder compute attention in parts where it has no fused kernel; returns for how many it is new.

    Args:
        trt: the package's module.
        network: an `INetworkDefinition`.
        dtypes: only attention of these (`FLOAT`); empty: all.
    """
    changed = 0
    for layer in _attentions(trt, network):
        if not dtypes or layer.get_output(0).dtype.name in dtypes:
            changed += not layer.attention.decomposable
            layer.attention.decomposable = True
    return changed


def decomposable(trt: ModuleType, network: tensorrt.INetworkDefinition) -> int:
    """Return the number of attentions that the builder may compute in parts."""
    return sum(layer.attention.decomposable for layer in _attentions(trt, network))


def _attentions(trt: ModuleType, network: tensorrt.INetworkDefinition) -> Iterator[tensorrt.IAttentionOutputLayer]:
    for index in range(network.num_layers):
        layer = network.get_layer(index)
        if layer.type.name == "ATTENTION_OUTPUT":
            # The bindings give every layer as the base class; this is how NVIDIA's own tools reach the derived one.
            layer.__class__ = trt.IAttentionOutputLayer
            yield layer


def _configure(
    trt: ModuleType, parsed: Parsed, package: Package, options: TensorRTOptions, tf32: bool
) -> tensorrt.IBuilderConfig:
    config = parsed.builder.create_builder_config()
    config.builder_optimization_level = options.optimization_level
    if options.workspace_mb is not None:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, options.workspace_mb << 20)
    set_flag = config.set_flag if tf32 else config.clear_flag
    set_flag(trt.BuilderFlag.TF32)
    if options.refit:
        config.set_flag(trt.BuilderFlag.REFIT)
    if options.strip_weights:
        config.set_flag(trt.BuilderFlag.STRIP_PLAN)
        if not options.refit:
            config.set_flag(trt.BuilderFlag.REFIT_IDENTICAL)
    if options.inspector:
        config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    if package.builds_without_gpu:
        config.num_compute_capabilities = len(options.capabilities)
        for index, name in enumerate(options.capabilities):
            capability = getattr(trt.ComputeCapability, name.upper(), None)
            if capability is None:
                raise UnsupportedError(f"{package.name} {trt.__version__} does not build for {name}")
            config.set_compute_capability(capability, index)
    if options.compatibility != "none":
        level = _COMPATIBILITY[options.compatibility]
        config.hardware_compatibility_level = getattr(trt.HardwareCompatibilityLevel, level)
    if options.profile:
        _add_profile(parsed, config, options)
    return config


def _add_profile(parsed: Parsed, config: tensorrt.IBuilderConfig, options: TensorRTOptions) -> None:
    profile = parsed.builder.create_optimization_profile()
    for index in range(parsed.network.num_inputs):
        tensor = parsed.network.get_input(index)
        shapes: list[list[int]] = []
        for corner in ("min", "opt", "max"):
            sizes = [
                size if size >= 0 else getattr(options.profile[tensor.get_dimension_name(axis)], corner)
                for axis, size in enumerate(tensor.shape)
            ]
            shapes.append(sizes)
        profile.set_shape(tensor.name, *shapes)
    config.add_optimization_profile(profile)


def _monitor(trt: ModuleType, progress: Progress, interrupted: threading.Event) -> tensorrt.IProgressMonitor:
    class Monitor(trt.IProgressMonitor):  # type: ignore[name-defined, misc]
        """Phases nest; the outer ones are worth a line. Methods are called from C++ and must not raise."""

        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self.depth: dict[str, int] = {}

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:  # noqa: ARG002
            depth = self.depth.get(parent_phase, -1) + 1 if parent_phase else 0
            self.depth[phase_name] = depth
            if depth <= _DEEPEST_SHOWN and not interrupted.is_set():
                progress(f"building the engine: {phase_name.lower()}" if depth else "building the engine")

        def phase_finish(self, phase_name: str) -> None:
            self.depth.pop(phase_name, None)

        def step_complete(self, phase_name: str, step: int) -> bool:  # noqa: ARG002
            return not interrupted.is_set()

    return Monitor()


@contextmanager
def _interruptible() -> Iterator[threading.Event]:
    """While inside, SIGINT sets the event instead of raising; other threads than the main one get no signals anyway."""
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield event
        return
    before = signal.signal(signal.SIGINT, lambda *_: event.set())
    try:
        yield event
    finally:
        signal.signal(signal.SIGINT, before if before is not None else signal.default_int_handler)
