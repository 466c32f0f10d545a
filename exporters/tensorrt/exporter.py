"""Exporters `tensorrt` and `tensorrt-rtx`: strongly typed engines, checked before they are built.

* `model.engine`: the engine.
* `quantized.onnx`: int8 and fp8 only, the graph with Q/DQ nodes that it was built from.
* `layers.json`: what the engine inspector says, where a GPU that can run the engine is here.

An engine is made from an artifact of format `onnx` (target `tensorrt`), which stays in the store: the engine of another
GPU or version is rebuilt from it. The steps: preflight of the graph, parse, audit of the parsed network against the
precision policy, build. What they found is in the manifest. How to install, build and run: runtimes/TENSORRT.md.
"""

from __future__ import annotations

import logging
import shutil
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, ClassVar

import psutil

from depthport.exporters.base import ExportContext, Exporter, ExportResult, Progress
from depthport.exporters.core import install
from depthport.exporters.core.artifact import Artifact
from depthport.exporters.core.errors import ExportError, UnavailableError
from depthport.exporters.core.files.private import cache_root, private_folder
from depthport.exporters.core.options import Options
from depthport.exporters.core.precision import POLICIES, PrecisionPolicy
from depthport.exporters.core.text import mib
from depthport.exporters.da3.request import ExportRequest
from depthport.exporters.onnx.exporter import OnnxExporter
from depthport.exporters.onnx.graph_file import read_graph
from depthport.exporters.quantization.images import digest, find_images
from depthport.exporters.tensorrt.build import (
    build,
    decomposable,
    decompose_attention,
    make_logger,
    parse,
    supports_operator,
)
from depthport.exporters.tensorrt.graph import ONNX_FILE, QUANTIZED_FILE, find_onnx, graph_request, measured_mix
from depthport.exporters.tensorrt.known_issues import known_issues
from depthport.exporters.tensorrt.network import audit, walk
from depthport.exporters.tensorrt.onnx_file import onnx_facts
from depthport.exporters.tensorrt.options import AskedOptions, TensorRTOptions, asked_options, parse_options
from depthport.exporters.tensorrt.platform import (
    ENGINE_FILE,
    TENSORRT,
    TENSORRT_RTX,
    EngineGpu,
    Package,
    gpu_here,
    installed_version,
    load_module,
)
from depthport.exporters.tensorrt.preflight import preflight
from depthport.exporters.tensorrt.quantize import beyond, quantize_file

if TYPE_CHECKING:
    import tensorrt

    from depthport.exporters.tensorrt.network import Audit, OnnxFacts

LAYERS_FILE = "layers.json"
_log = logging.getLogger("depthport")


class EngineExporter(Exporter):
    """Base of both formats, which differ in the package alone."""

    main_file: ClassVar[str | None] = ENGINE_FILE
    package: ClassVar[Package]
    takes: ClassVar[tuple[type[Options], ...]] = (AskedOptions,)

    def probe(self) -> str | None:
        missing = [name for name in ("torch", "onnx", "onnxscript") if find_spec(name) is None]
        if missing:
            return f"{', '.join(missing)} not installed: {install.DA3_ONNX}"
        try:
            load_module(self.package)
        except UnavailableError as error:
            return str(error)
        if not self.package.builds_without_gpu and gpu_here() is None:
            return f"{self.package.name} builds only for the machine's GPU, and this one has none: use format tensorrt-rtx"
        return None

    def options(self, request: ExportRequest) -> dict[str, object]:
        options = parse_options(request, self.package)
        # What the graph can't express is refused before anything is built.
        OnnxExporter().options(graph_request(request, self._onnx_target()))
        found = options.to_json()
        if not self.package.builds_without_gpu or options.inspector:
            # The result depends on this machine's GPU: its kernels were timed on it, or its inspector's file exists.
            gpu = gpu_here()
            found["built_on"] = gpu.name if gpu else None
        if options.calibration is not None:
            found["calibration_sha256"] = digest(find_images(options.calibration))
        if measured_mix(request):
            found["mix"] = OnnxExporter().options(self._mixed(request, options))
        return found

    def write(self, context: ExportContext, directory: Path) -> ExportResult:
        request = context.request
        options = parse_options(request, self.package)
        measured = measured_mix(request)
        graph = self._mixed(request, options) if measured else graph_request(request, self._onnx_target())
        source = context.dependency("onnx", target=graph.target, policy=graph.policy, options=dict(graph.options))
        path = source.file(ONNX_FILE)
        extra: dict[str, object] = {"onnx": {"artifact": source.path.name, "key": source.manifest.key}}
        warnings: list[str] = []
        if measured:
            extra["quantization"] = {"kind": "int8", **source.manifest.extra["quantization"]}
        elif request.policy.quantization is not None:
            # Ranges are the same however the image and the poses come in.
            reference = context.dependency(
                "onnx", target=graph.target, policy=POLICIES["fp32"], options={}, dynamic=(), pose_input=False,
                preprocess=False, source_size=None,
            )  # fmt: skip
            found = quantize_file(
                path, reference.file(ONNX_FILE), directory / QUANTIZED_FILE, request, options.calibration,
                options.calibration_method, context.progress,
            )  # fmt: skip
            path, extra["quantization"] = directory / QUANTIZED_FILE, found
            if line := beyond(found["held_out"], request.policy.quantization):
                warnings.append(line)
        result = self.build_engine(path, request.policy, options, directory, context.progress)
        warnings += result.extra["warnings"]
        return replace(result, extra={**extra, **result.extra, "warnings": warnings})

    def build_engine(
        self, onnx: Path, policy: PrecisionPolicy, options: TensorRTOptions, directory: Path, progress: Progress
    ) -> ExportResult:
        """Check an ONNX file, build its engine into `directory`.

        Raises:
            UnsupportedError: a node that TensorRT does not take.
            ExportError: the parsed network is not what the policy says, or the builder failed.
        """
        trt = load_module(self.package)
        warnings = known_issues(self.package.format, str(trt.__version__), policy.backbone, options.capabilities)
        for line in warnings:
            _log.warning(line)
        facts, estimate = self.check(trt, onnx, options, progress)
        warnings += _memory_warnings(estimate["build_bytes"])
        progress("parsing")
        parsed = parse(trt, onnx)
        audit = self.audit(parsed.network, facts, policy)
        # No kernel computes fp32 attention in one piece; for the other types being taken apart is worth a warning.
        expected = decompose_attention(trt, parsed.network, ("FLOAT",))
        cache_file = _timing_cache_file(options, str(trt.__version__))
        cache = None if cache_file is None else (cache_file.read_bytes() if cache_file.is_file() else b"")
        cache = build(trt, parsed, self.package, options, policy.tf32, directory / ENGINE_FILE, progress, cache)
        apart = decomposable(trt, parsed.network)
        if apart > expected:
            warnings.append("attention has no fused kernel for these GPUs and shapes: it runs in parts, which is slower")
            _log.warning(warnings[-1])
        if cache_file is not None and cache is not None:
            _keep(cache_file, cache)
        inspected = options.inspector and _inspect(trt, self.package, directory, progress)
        return ExportResult(
            extra={
                "network": {**audit.to_json(), "attention_decomposable": apart}, "estimate": estimate,
                "warnings": warnings, "stripped": options.strip_weights, "inspector": LAYERS_FILE if inspected else None,
            },
            target=describe_target(self.package, str(trt.__version__), options, gpu_here()),
        )  # fmt: skip

    def check(
        self, trt: ModuleType, onnx: Path, options: TensorRTOptions, progress: Progress
    ) -> tuple[OnnxFacts, dict[str, int]]:
        """Preflight of a file: its facts and the estimate of what it costs.

        Raises:
            UnsupportedError: a node that TensorRT does not take.
        """
        progress("checking the graph")
        model = read_graph(onnx)
        found = preflight(model, supports_operator(trt), options.capabilities, options.profile)
        found.require()
        return onnx_facts(model), found.estimate()

    def audit(self, network: tensorrt.INetworkDefinition, facts: OnnxFacts, policy: PrecisionPolicy) -> Audit:
        """Audit of a parsed network.

        Raises:
            ExportError: a type is not what the policy says, or an attention got lost.
        """
        found = audit(walk(network), facts, policy)
        if found.errors:
            more = f" (and {len(found.errors) - 1} more)" if len(found.errors) > 1 else ""
            raise ExportError(f"the parsed network does not match precision {policy.name}: {found.errors[0]}{more}")
        return found

    def rebuild(self, artifact: Artifact, directory: Path, progress: Progress) -> ExportResult:
        """Rebuild for this machine's GPU and TensorRT; also raises what :meth:`build_engine` raises."""
        manifest = artifact.manifest
        options = TensorRTOptions.from_json(manifest.options)
        gpu = gpu_here()
        if gpu is not None and gpu.capability not in options.capabilities:
            options = replace(options, capabilities=(gpu.capability,))
        policy = PrecisionPolicy(**manifest.precision)
        graph = find_onnx(artifact)
        if graph.name == QUANTIZED_FILE:
            shutil.copyfile(graph, directory / QUANTIZED_FILE)
        return self.build_engine(graph, policy, options, directory, progress)

    def _mixed(self, request: ExportRequest, options: TensorRTOptions) -> ExportRequest:
        """The request for the ONNX file in which the layers that a budget allows are int8."""
        chosen: dict[str, object] = {**asked_options(request).budget}
        if options.calibration is not None:
            chosen["calibration"] = options.calibration
        return replace(request, format="onnx", target=self._onnx_target(), options=chosen)

    def _onnx_target(self) -> str:
        trt = load_module(self.package)
        return "tensorrt" if hasattr(trt, "IAttention") else "tensorrt-matmul"


class TensorRTExporter(EngineExporter):
    """Full TensorRT, 10.13 and 11: builds on the GPU it builds for."""

    format: ClassVar[str] = "tensorrt"
    packages: ClassVar[tuple[str, ...]] = (*TENSORRT.distributions, "onnx", "onnxscript", "onnx-ir")
    package: ClassVar[Package] = TENSORRT


class TensorRTRTXExporter(EngineExporter):
    """TensorRT for RTX: builds anywhere, for GeForce and RTX GPUs."""

    format: ClassVar[str] = "tensorrt-rtx"
    targets: ClassVar[tuple[str, ...]] = TENSORRT_RTX.capabilities
    packages: ClassVar[tuple[str, ...]] = (*TENSORRT_RTX.distributions, "onnx", "onnxscript", "onnx-ir")
    package: ClassVar[Package] = TENSORRT_RTX


def describe_target(package: Package, version: str, options: TensorRTOptions, gpu: EngineGpu | None) -> dict[str, object]:
    """`Manifest.target`: what an engine is bound to."""
    bound = gpu if gpu is not None and not package.builds_without_gpu else None
    return {
        "package": package.name, "version": version, "distribution": installed_version(package),
        "capabilities": list(options.capabilities), "compatibility": options.compatibility,
        "gpu": bound.name if bound else None, "driver": gpu.driver if gpu else None,
    }  # fmt: skip


def _memory_warnings(estimate_bytes: int) -> list[str]:
    free = psutil.virtual_memory().available
    if estimate_bytes <= free:
        return []
    line = f"the build may need {mib(estimate_bytes)} of memory and {mib(free)} are free"
    _log.warning(line)
    return [line]


def _timing_cache_file(options: TensorRTOptions, version: str) -> Path | None:
    """Return the file of tactics measured on this GPU with this version; None where none are kept."""
    if options.timing_cache is False:
        return None

    gpu = gpu_here()
    name = f"{gpu.name if gpu else 'none'}-{gpu.capability if gpu else ''}-{version}".replace(" ", "_").replace("/", "_")
    folder = Path(options.timing_cache) if isinstance(options.timing_cache, str) else private_folder(cache_root())
    return folder / "tensorrt" / f"{name}.timing"


def _keep(file: Path, content: bytes) -> None:
    """Write `content`, renamed when complete; a cache that can't be kept is a warning, not a failure."""
    temporary = file.with_suffix(".partial")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(content)
        temporary.replace(file)
    except OSError as error:
        _log.warning("the timing cache can't be kept in %s: %s", file.parent, error)


def _inspect(trt: ModuleType, package: Package, directory: Path, progress: Progress) -> bool:
    """Save what the engine inspector says, where a GPU that can load the engine is here."""
    gpu = gpu_here()
    if gpu is None or (package.capabilities and gpu.capability not in package.capabilities):
        return False

    progress("inspecting the engine")
    logger = make_logger(trt)
    engine = trt.Runtime(logger).deserialize_cuda_engine((directory / ENGINE_FILE).read_bytes())
    if engine is None:
        raise ExportError(f"{package.name} built an engine that it can't load: {logger.error()}")
    text = engine.create_engine_inspector().get_engine_information(trt.LayerInformationFormat.JSON)
    (directory / LAYERS_FILE).write_text(text, encoding="utf-8")
    return True
