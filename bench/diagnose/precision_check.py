"""The steps of `depthport check`: export the graphs, audit what TensorRT parses, look at ranges and layers."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from depthport.exporters.api import check_request, export_request, prepare
from depthport.exporters.base import Progress
from depthport.exporters.core.artifact import Artifact, Shape, TensorSpec
from depthport.exporters.core.asked import TOLERANCE, known_name
from depthport.exporters.core.errors import UnavailableError, UnsupportedError
from depthport.exporters.core.precision import PrecisionPolicy, resolve_policy
from depthport.exporters.core.store import ArtifactStore
from depthport.exporters.da3.request import ExportRequest
from depthport.exporters.da3.shapes import validate_shape
from depthport.exporters.onnx.graph_file import read_graph
from depthport.exporters.onnx.probes import Probe, expose, probes
from depthport.exporters.precision_check.layers import Arrays, Comparison, Runner, compare, emulated, tolerance_of
from depthport.exporters.precision_check.ranges import RangeReport, check_ranges
from depthport.exporters.quantization.images import find_images, scene
from depthport.exporters.registry import get_exporter
from depthport.exporters.tensorrt.build import parse
from depthport.exporters.tensorrt.calibrate import calibrate
from depthport.exporters.tensorrt.exporter import EngineExporter
from depthport.exporters.tensorrt.graph import ONNX_FILE, graph_policy
from depthport.exporters.tensorrt.network import Audit
from depthport.exporters.tensorrt.options import options_for
from depthport.exporters.tensorrt.platform import PACKAGES, load_module
from depthport.exporters.tensorrt.quantize import METHOD, quantize
from depthport.runtimes.base import LoadOptions
from depthport.runtimes.registry import get_runtime
from depthport.runtimes.tensorrt.engine import TensorRTEngine, engine_here
from depthport.runtimes.tensorrt.session import CudaSession

_SCENES = 4
"""Photographs looked at: ranges settle with few."""


@dataclass(frozen=True)
class Findings:
    """Everything a check found; None where it was not asked for or could not be looked at."""

    model: str
    precision: str
    weights: str
    network: Audit | None
    network_reason: str | None
    ranges: RangeReport | None
    layers: Comparison | None
    estimate: dict[str, int] = field(default_factory=dict)
    """Cost of building the network."""

    @property
    def checked(self) -> bool:
        """True if anything was checked."""
        return not (self.network is None and self.ranges is None and self.layers is None)

    @property
    def passed(self) -> bool:
        """Something was checked: no activation near fp16's limit where fp16 was asked for, no layer out of tolerance."""
        return self.checked and not (self.ranges and self.ranges.hot) and (self.layers is None or self.layers.first is None)

    def to_json(self) -> dict[str, object]:
        layers = self.layers
        network = None if self.network is None else {**self.network.to_json(), "estimate": self.estimate}
        return {
            "model": self.model, "precision": self.precision, "weights": self.weights, "passed": self.passed,
            "network": network, "network_reason": self.network_reason,
            "ranges": self.ranges.to_json() if self.ranges else None,
            "layers": None if layers is None else {
                "tolerance": layers.tolerance, "executed": layers.executed,
                "first": layers.first.to_json() if layers.first else None,
                "errors": [layer.to_json() for layer in layers.layers],
            },
        }  # fmt: skip


def run(
    model: str, precision: str, shape: Shape, weights: str | None, format: str, target: str | None, images: str | None,
    debug_layers: bool, tolerance: float | None, store: ArtifactStore, progress: Progress = lambda _: None,
) -> Findings:  # fmt: skip
    """Check a precision of a model; arguments as the command has them.

    Raises:
        UsageError: an unknown format or precision, or an invalid tolerance.
        DepthportError: whatever exporting the graphs raises.
    """
    known_name("format of check", format, PACKAGES)
    TOLERANCE.check(tolerance)
    validate_shape(shape.batch, shape.views, shape.height, shape.width)
    policy = resolve_policy(precision)
    paths = find_images(images)
    if target is not None:
        with suppress(UnavailableError):  # said with what the check finds
            options_for(target, PACKAGES[format])

    def request(name: str) -> ExportRequest:
        return prepare(
            model, format="onnx", target="tensorrt", precision=name, batch=shape.batch, views=shape.views,
            height=shape.height, width=shape.width, weights=weights,
        )  # fmt: skip

    def graph(name: str) -> Artifact:
        return export_request(request(name), store, progress).artifact

    check_request(request(graph_policy(policy).name))
    progress(f"checking {precision} of {model}")
    reference = graph("fp32")
    typed = graph(graph_policy(policy).name)
    path = typed.file(ONNX_FILE)
    inputs = [scene(path, shape) for path in paths[:_SCENES]]
    with tempfile.TemporaryDirectory() as folder:
        if policy.quantization == "int8":
            path = graph(policy.name).file(ONNX_FILE)
        elif policy.quantization is not None:
            path = _quantized(path, reference.file(ONNX_FILE), Path(folder), policy.quantization, inputs, progress)
        network, estimate, reason = _network(format, target, path, policy, progress)
        ranges = None
        if "float16" in (policy.backbone, policy.head):
            ranges = check_ranges(reference.file(ONNX_FILE), path, inputs, progress)
        layers = None
        if debug_layers:
            runner, executed = _engine_runner(format, path, typed, policy), f"{format} on this GPU"
            if runner is None:
                runner, executed = emulated(path), f"{policy.name} emulated in ONNX Runtime: no GPU here runs {format}"
            layers = compare(
                reference.file(ONNX_FILE), runner, probes(read_graph(path)), {"image": inputs[0]},
                tolerance or tolerance_of(policy), executed, progress,
            )  # fmt: skip
    return Findings(model, precision, typed.manifest.weights.id, network, reason, ranges, layers, estimate)


def _quantized(
    path: Path, reference: Path, folder: Path, kind: str, inputs: Sequence[np.ndarray], progress: Progress
) -> Path:
    import onnx_ir

    ranges = calibrate(reference, inputs, progress)
    model = read_graph(path)
    quantize(model, {scope: found.of(METHOD[kind]) for scope, found in ranges.items()}, kind)
    onnx_ir.save(model, folder / "quantized.onnx", external_data="quantized.data")
    return folder / "quantized.onnx"


def _network(
    format: str, target: str | None, path: Path, policy: PrecisionPolicy, progress: Progress
) -> tuple[Audit | None, dict[str, int], str | None]:
    """Preflight and audit of the network TensorRT makes of the graph; or why there is none."""
    exporter = _exporter(format)
    try:
        trt = load_module(PACKAGES[format])
        options = options_for(target, PACKAGES[format])
    except UnavailableError as error:
        return None, {}, str(error)
    except UnsupportedError as error:
        if target is not None:
            raise
        return None, {}, str(error)
    facts, estimate = exporter.check(trt, path, options, progress)
    progress("parsing")
    parsed = parse(trt, path)
    return exporter.audit(parsed.network, facts, policy), estimate, None


def _exporter(format: str) -> EngineExporter:
    found = get_exporter(format)
    assert isinstance(found, EngineExporter)
    return found


def _engine_runner(format: str, path: Path, typed: Artifact, policy: PrecisionPolicy) -> Runner | None:
    """The graph as an engine on this machine's GPU, its inner tensors outputs; None where none can run."""
    runtime = get_runtime(format)
    if not any(device.name == "cuda" and device.available for device in runtime.probe()):
        return None

    def run(group: Sequence[Probe], inputs: Arrays) -> Arrays:
        import onnx_ir

        exporter = _exporter(format)
        model = read_graph(path)
        expose(model, [probe.name for probe in group])
        # An output of 16 bits is fetched as fp32: numpy has no bf16.
        specs = _widened_outputs(model)
        with tempfile.TemporaryDirectory() as folder:
            directory = Path(folder)
            onnx_ir.save(model, directory / "probed.onnx", external_data="probed.data")
            options = options_for(None, PACKAGES[format])
            result = exporter.build_engine(directory / "probed.onnx", policy, options, directory, lambda _: None)
            manifest = replace(typed.manifest, outputs=specs, extra={}, target=result.target, format=format)
            artifact = Artifact(directory, manifest)
            engine: TensorRTEngine = engine_here(PACKAGES[format], artifact, directory)
            with CudaSession(artifact, "cuda", LoadOptions(), engine, 0, graph=False) as session:
                session.bind({name: np.ascontiguousarray(value) for name, value in inputs.items()})
                session.run()
                session.synchronize()
                return session.outputs()

    return run


def _widened_outputs(model: Any) -> tuple[TensorSpec, ...]:
    """Cast every 16-bit output of the graph to fp32 under its own name; the outputs' specs."""
    import onnx_ir as ir

    graph = model.graph
    for index, value in enumerate(list(graph.outputs)):
        if value.dtype is not None and value.dtype.name in ("FLOAT16", "BFLOAT16"):
            name = str(value.name)
            node = ir.node("Cast", [value], {"to": int(ir.DataType.FLOAT)}, name=f"{name}_fetched")
            node.outputs[0].type, node.outputs[0].shape = ir.TensorType(ir.DataType.FLOAT), value.shape
            value.name, node.outputs[0].name = f"{name}_stored", name
            graph.append(node)
            graph.outputs[index] = node.outputs[0]
    return tuple(
        TensorSpec(str(v.name), tuple(int(str(d)) for d in v.shape or ()), v.dtype.numpy().name) for v in graph.outputs
    )
