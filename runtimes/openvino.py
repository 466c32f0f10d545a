"""Runtime `openvino`: ONNX artifacts compiled by OpenVINO for the CPU, GPUs and NPUs it reports.

What OpenVINO would decide by itself is decided here:

* Arithmetic. On a CPU with bf16 its default runs fp32 models in bf16. Here fp32 and quantized policies compute their
  float part in f32 (`inference_precision` says otherwise, and the placement names it); other policies keep the type
  that each operator has in the graph (execution mode ACCURACY). What each kernel really computes in is in the
  placement, and a bf16 or fp16 kernel in an fp32 policy is a PlacementError.
* Threads. Intra-op threads are what the cgroup allows (:mod:`depthport.runtimes.host.threads`) and are not pinned: two
  processes that pin take the same first cores.
* One stream: all threads work on one inference, which is what latency wants.

Compiled models are kept in `LoadOptions.cache_dir`, else in the user's cache folder; an entry is bound to the file, its
time stamp, the options and OpenVINO's version. Where nothing can be written, nothing is kept.

Options (`LoadOptions.extra`): `inference_precision` (`f32`, `bf16`, `f16`), `streams` (1), and `properties`, a mapping
laid over the compiler's properties.
"""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from timeit import repeat
from typing import Annotated, Any, ClassVar, Literal

import msgspec
import numpy as np
from msgspec import Meta

from depthport.exporters.core import install
from depthport.exporters.core.artifact import Artifact
from depthport.exporters.core.errors import LoadError, PlacementError, RunError, StorageError, one_line
from depthport.exporters.core.options import Options, read_options
from depthport.exporters.core.provenance import canonical_sha256
from depthport.runtimes.arrays import check_signature
from depthport.runtimes.base import Arrays, Device, LoadOptions, Mode, Placement, Runtime, Session
from depthport.runtimes.host.cache import cache_folder, kept, writable
from depthport.runtimes.host.cpu import cpu_description
from depthport.runtimes.host.mapped import drained, mapped
from depthport.runtimes.host.threads import allowed_threads

MODEL_FILE = "model.onnx"
BLOB_FILE = "model.blob"
LATENCY = Mode("latency", "one stream: all threads compute one inference, compiled once and kept")
DEFAULTS = Mode("defaults", "as OpenVINO decides: bf16 where the CPU has it", precisions=("fp32",), alternative=True)

# What a device says it can compute in, and the policies that makes worth running, best known first.
_CAPABILITIES: dict[str, dict[str, tuple[str, ...]]] = {
    "cpu": {"FP32": ("fp32",), "BF16": ("bf16-poses", "int8-bf16", "bf16"), "INT8": ("int8",)},
    "gpu": {"FP16": ("fp16",), "FP32": ("fp32",), "INT8": ("int8",)},
    "npu": {"FP16": ("fp16",), "INT8": ("int8",)},
}
_PROBE_CALLS = 9
_LOW_PRECISION = ("bf16", "f16")
RESIZE = (
    "probably summed with fused multiply-adds: where a pixel lies in the middle of two 8-bit steps it may be rounded the "
    "other way than OpenCV does (1 of 20,580 measured), which is up to 1e-4 of depth"
)
"""Note in the placement of a graph that resizes photographs; inferred from the one step by which pixels differ."""
_ERRORS = (RuntimeError, ValueError, TypeError)


class OpenVinoOptions(Options, frozen=True):
    """`LoadOptions.extra`, checked; see the module's docstring."""

    inference_precision: Literal["f32", "bf16", "f16"] | None = None
    streams: Annotated[int, Meta(ge=1)] = 1
    properties: dict[str, object] = msgspec.field(default_factory=dict)


class OpenVinoRuntime(Runtime):
    """OpenVINO through its Python API."""

    name: ClassVar[str] = "openvino"
    formats: ClassVar[tuple[str, ...]] = ("onnx",)
    title: ClassVar[str] = "OpenVINO"
    licence: ClassVar[str | None] = "Apache-2.0"
    packages: ClassVar[tuple[str, ...]] = ("openvino",)
    quantized: ClassVar[tuple[str, ...]] = ("int8", "bf16-poses", "int8-bf16")

    def default_target(self, device: str, precision: str) -> str | None:  # noqa: ARG002 - the interface's
        return "openvino" if device == "cpu" else None

    def target(self, device: str, mode: Mode, precision: str) -> str | None:
        # What one runs without this package is a plain file.
        return None if mode == DEFAULTS else super().target(device, mode, precision)

    def probe(self) -> list[Device]:
        if find_spec("openvino") is None:
            return [_absent("openvino is not installed", str(install.OPENVINO))]
        try:
            import openvino

            core = openvino.Core()
            return [_describe(core, name) for name in core.available_devices]
        except (ImportError, OSError, RuntimeError) as error:
            return [_absent(f"openvino does not start ({one_line(error)})", str(install.OPENVINO_AGAIN))]

    def gains(self, device: Device) -> dict[str, float]:
        return {"bf16-poses": bf16_gain()} if device.name == "cpu" and "bf16-poses" in device.precisions else {}

    def _load(self, artifact: Artifact, device: str, options: LoadOptions) -> Session:
        mode = self.mode(self.device(device), options.mode)
        extra = read_options(OpenVinoOptions, options.extra, self.name)
        return OpenVinoSession(artifact, device, options, extra, own=mode == DEFAULTS)


class OpenVinoSession(Session):
    """A compiled model and its one request; `run` starts it, `synchronize` waits for it."""

    def __init__(
        self, artifact: Artifact, device: str, options: LoadOptions, extra: OpenVinoOptions, *, own: bool = False
    ) -> None:
        super().__init__(artifact, device, options)
        chosen = {} if own else _chosen(artifact, device, extra)
        threads = {"INFERENCE_NUM_THREADS": options.threads or allowed_threads()} if device == "cpu" else {}
        self._properties = {**chosen, **threads, **extra.properties}
        model = artifact.file(MODEL_FILE)
        try:
            import openvino

            self._core, self._from_cache = openvino.Core(), False
            self._blob: np.ndarray | None = None
            kept_in = cache_folder(artifact, options) / "openvino"
            self._compiled = self._kept(model, kept_in) if writable(kept_in) else self._compile(model)
            self._request = self._compiled.create_infer_request()
        except _ERRORS as error:
            raise LoadError(f"openvino can't load {model.name} on {device}: {_reason(error)}") from error
        sides = (self._compiled.inputs, self._compiled.outputs)
        takes, gives = ({port.any_name: _sizes(port) for port in ports} for ports in sides)
        check_signature(takes, gives, artifact.manifest)

    def _compile(self, model: Path) -> Any:
        return self._core.compile_model(str(model), _native_name(self.device), self._properties)

    def _kept(self, model: Path, folder: Path) -> Any:
        """The compiled model from a file, made now if it is not there, and given back as it is read (OpenVINO keeps it)."""
        import openvino

        key = compiled_key(model, self.device, self._properties, openvino.__version__)
        compiled = cache(lambda: self._compile(model))
        try:
            made = kept(folder / key, BLOB_FILE, lambda path: path.write_bytes(compiled().export_model().getbuffer()))
        except (OSError, StorageError):  # the disk is full: as where nothing can be written
            return compiled()
        blob, self._from_cache = made
        self._blob = mapped(blob)  # what is imported reads it as long as it lives
        tensor = openvino.Tensor(self._blob, shared_memory=True)
        with drained(self._blob):
            return self._core.import_model(tensor, _native_name(self.device), self._properties)

    def _bind(self, inputs: Mapping[str, np.ndarray]) -> None:
        self._request.wait()
        for spec in self.input_specs:
            tensor = self._request.get_tensor(spec.native_name)
            if self._sizes:
                tensor.shape = list(spec.shape)
            np.copyto(tensor.data, inputs[spec.name])

    def _run(self) -> None:
        try:
            self._request.start_async()
        except _ERRORS as error:
            raise RunError(f"openvino failed on {self.device}: {_reason(error)}") from error

    def _synchronize(self) -> None:
        try:
            self._request.wait()
        except _ERRORS as error:
            raise RunError(f"openvino failed on {self.device}: {_reason(error)}") from error

    def _outputs(self) -> Arrays:
        self._synchronize()
        return {spec.name: np.array(self._request.get_tensor(spec.native_name).data) for spec in self.output_specs}

    def placement(self) -> Placement:
        """Return where, and in which precision, each kernel computes.

        Raises:
            PlacementError: an fp32 policy has kernels of lower precision that nobody asked for.
        """
        kernels: Counter[str] = Counter()
        precisions: Counter[str] = Counter()
        for node in self._compiled.get_runtime_model().get_ops():
            info = node.get_rt_info()
            kernels[_text(info, "layerType", node.get_type_name())] += 1
            precisions[_text(info, "runtimePrecision", "unknown")] += 1
        asked = self._properties.get("INFERENCE_PRECISION_HINT")
        as_typed = "as the graph has it" if "EXECUTION_MODE_HINT" in self._properties else None
        lowered = [name for name in _LOW_PRECISION if precisions[name]]
        if asked == "f32" and lowered:
            raise PlacementError(f"openvino computes {precisions[lowered[0]]} kernels in {lowered[0]} where f32 was asked")
        details = {
            "devices": list(self._compiled.get_property("EXECUTION_DEVICES")),
            "inference_precision": asked or as_typed or self._own("INFERENCE_PRECISION_HINT"),
            "precisions": dict(precisions),
            "kernels": dict(kernels.most_common()),
            "threads": self._properties.get("INFERENCE_NUM_THREADS"),
            "streams": self._properties.get("NUM_STREAMS") or self._own("NUM_STREAMS"),
            "from_cache": self._from_cache,
        }
        if "source_size" in self.artifact.manifest.preprocessing:
            details["resize"] = RESIZE
        return Placement(self.device, details, delegated_share=1.0)

    def _own(self, name: str) -> str:
        """A property that was left to OpenVINO, as it chose it."""
        value = self._compiled.get_property(name)
        return f"OpenVINO's own: {value.get_type_name() if hasattr(value, 'get_type_name') else value}"

    def _close(self) -> None:
        # Order matters: a request holds its compiled model, a compiled model its core's plug-in and its blob.
        del self._request, self._compiled, self._core
        gc.collect()
        self._blob = None


def _absent(reason: str, remedy: str) -> Device:
    return Device("cpu", cpu_description(), unavailable=reason, remedy=remedy)


def _describe(core: Any, native: str) -> Device:
    name = _device_name(native)
    kind = name.partition(":")[0]
    capabilities = core.get_property(native, "OPTIMIZATION_CAPABILITIES")
    wanted = _CAPABILITIES.get(kind, {"FP32": ("fp32",)})
    precisions = [policy for capability, policies in wanted.items() if capability in capabilities for policy in policies]
    title = cpu_description() if kind == "cpu" else core.get_property(native, "FULL_DEVICE_NAME")
    return Device(name, title, (LATENCY, DEFAULTS), tuple(precisions))


@cache
def bf16_gain() -> float:
    """How many times as fast as in f32 this CPU multiplies in bf16 in OpenVINO; one thread, half a second.

    A CPU with bf16 instructions need not be faster with them: with avx512_bf16 and no AMX an Intel Xeon takes twice f32's
    time in OpenVINO 2026.4, an AMD EPYC (Zen 5) half.
    """
    import openvino as ov
    from openvino import opset13

    rows, inner, columns = 1296, 384, 1536  # the first MLP layer of da3-small at 504×504
    weight = np.linspace(-1, 1, inner * columns, dtype=np.float32).reshape(inner, columns)
    requests = []
    for dtype in ("f32", "bf16"):
        x = opset13.parameter([rows, inner], np.float32)
        product = opset13.matmul(opset13.convert(x, dtype), opset13.convert(opset13.constant(weight), dtype), False, False)
        model = ov.Model([opset13.convert(product, "f32")], [x])
        properties = {"INFERENCE_NUM_THREADS": 1, "ENABLE_CPU_PINNING": False, "EXECUTION_MODE_HINT": "ACCURACY"}
        requests.append(ov.Core().compile_model(model, "CPU", properties).create_infer_request())
    slow, fast = (min(repeat(request.infer, number=1, repeat=_PROBE_CALLS)) for request in requests)
    return slow / fast


def _device_name(native: str) -> str:
    """OpenVINO's `GPU.1` as this package writes devices: `gpu:1`; the first of a kind has no number."""
    kind, _, index = native.lower().partition(".")
    return f"{kind}:{index}" if index and index != "0" else kind


def compiled_key(model: Path, device: str, properties: Mapping[str, object], version: str) -> str:
    """What a compiled model depends on: the file, the device and its options, OpenVINO and the CPU."""
    file = [str(model.resolve()), model.stat().st_size, model.stat().st_mtime_ns]
    return canonical_sha256([file, _native_name(device), properties, version, cpu_description()])[:16]


def _native_name(device: str) -> str:
    return device.upper().replace(":", ".")


def _chosen(artifact: Artifact, device: str, extra: OpenVinoOptions) -> dict[str, object]:
    """The compiler's properties that would otherwise depend on the machine."""
    policy = artifact.manifest.precision
    precision = extra.inference_precision or ("f32" if policy.get("backbone") == "float32" else None)
    arithmetic = {"INFERENCE_PRECISION_HINT": precision} if precision else {"EXECUTION_MODE_HINT": "ACCURACY"}
    unpinned = {"ENABLE_CPU_PINNING": False} if device == "cpu" else {}
    return {"NUM_STREAMS": extra.streams, "PERFORMANCE_HINT": "LATENCY", **arithmetic, **unpinned}


def _sizes(port: Any) -> list[int | None]:
    """Of an input or output; None where it is open."""
    shape = port.partial_shape
    return [] if shape.rank.is_dynamic else [size.get_length() if size.is_static else None for size in shape]


def _text(info: Any, key: str, default: str) -> str:
    """A runtime model's note on a node, as text (`f32`, `MatMul`)."""
    return str(info[key].value if hasattr(info[key], "value") else info[key]) if key in info else default


def _reason(error: BaseException) -> str:
    """Return the cause of an error: OpenVINO puts places in its own source before it, line by line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    said = [line for line in lines if not line.startswith(("Exception from", "Check '"))]
    return one_line(RuntimeError(said[0] if said else str(error) or type(error).__name__))
