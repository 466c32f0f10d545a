"""Exporter `onnx`: one `model.onnx`, through torch's dynamo exporter, for a target (exporters/onnx/targets).

Dimensions that a request leaves open are symbolic in the file, and it is run at shapes that were not traced before it
counts as written (:mod:`depthport.exporters.onnx.dynamic`). Weights lie inside the file; only a model of over 2 GB,
protobuf's limit, gets a second file `model.onnx.data`. The graph is checked against the request, and the written file by
`onnx.checker` with full shape inference.

Precision `int8` quantizes the graph after the target has rewritten it (:mod:`depthport.exporters.quantization`). Options:
:class:`~depthport.exporters.onnx.versions.VersionOptions` of a floating-point graph, and
:class:`~depthport.exporters.quantization.plan.Int8Options`.

What people do without this package can be exported too, to be measured beside it (:mod:`depthport.exporters.onnx.plain`).
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, ClassVar, cast

from depthport.exporters.base import ExportContext, Exporter, ExportResult
from depthport.exporters.core import install
from depthport.exporters.core.artifact import Artifact, Manifest
from depthport.exporters.core.errors import ExportError, UnsupportedError, one_line
from depthport.exporters.core.files.atomic import storage_errors
from depthport.exporters.core.options import Options
from depthport.exporters.core.text import mib
from depthport.exporters.da3.request import ExportRequest
from depthport.exporters.da3.shapes import PATCH
from depthport.exporters.da3.signature import input_specs
from depthport.exporters.onnx import lowering
from depthport.exporters.onnx.check import check_file, check_signature
from depthport.exporters.onnx.dynamic import check_untraced, name_dimensions
from depthport.exporters.onnx.graph_file import read_graph
from depthport.exporters.onnx.metadata import describe
from depthport.exporters.onnx.plain import (
    DynamicOptions,
    UpstreamOptions,
    check_plain,
    plain_kind,
    quantize_dynamically,
    upstream_graph,
)
from depthport.exporters.onnx.quantize import quantize_graph
from depthport.exporters.onnx.targets import NAMES, PORTABLE, as_exported, get_target
from depthport.exporters.onnx.versions import VersionOptions, check_versions, least_ir, oldest_onnxruntime
from depthport.exporters.pytorch.program import export_program, require_static
from depthport.exporters.quantization.half import RoundingOptions, lower_network, rounding_options
from depthport.exporters.quantization.layers import candidates
from depthport.exporters.quantization.plan import Int8Options, int8_options, make_plan

if TYPE_CHECKING:
    import onnx_ir

    from depthport.exporters.quantization.sensitivity import QuantizedLayer


MODEL_FILE = "model.onnx"
QUANTIZATIONS = ("int8",)
DATA_FILE = "model.onnx.data"
PROTOBUF_LIMIT_BYTES = (1 << 31) - (1 << 26)
"""Most bytes of initializers inside a file: 2 GiB less room for the graph itself."""


class OnnxExporter(Exporter):
    """A standard ONNX file with named inputs and outputs, described and checked."""

    format: ClassVar[str] = "onnx"
    targets: ClassVar[tuple[str, ...]] = NAMES
    main_file: ClassVar[str | None] = MODEL_FILE
    packages: ClassVar[tuple[str, ...]] = ("onnx", "onnxscript", "onnx-ir")
    default: ClassVar[bool] = True
    takes: ClassVar[tuple[type[Options], ...]] = (
        VersionOptions,
        Int8Options,
        RoundingOptions,
        UpstreamOptions,
        DynamicOptions,
    )
    one_artifact_many_shapes: ClassVar[bool] = True
    keeps_poses: ClassVar[tuple[str, ...]] = ("bf16-poses", "int8-bf16")

    def probe(self) -> str | None:
        missing = [name for name in ("torch", "onnx", "onnxscript") if find_spec(name) is None]
        return f"{', '.join(missing)} not installed: {install.DA3_ONNX}" if missing else None

    def options(self, request: ExportRequest) -> dict[str, object]:
        # Ranges are of one shape and of photographs as the network takes them.
        quantized = request.policy.quantization in QUANTIZATIONS
        target = get_target(request.target)
        target.require(request.policy)
        allow = ("quantization int8",) if quantized else ("dynamic", "pose_input", "preprocess")
        require_static(request, allow=allow if target.emit is None else ())
        if (plain := plain_kind(request)) is not None:
            return {"target": target.name, "opset": target.opset, **check_plain(request, plain, target.name)}
        if request.policy.camera_token is not None:
            require_static(request, allow=("quantization int8",))
            if quantized and request.shape.height * request.shape.width < 2 * PATCH**2:
                raise UnsupportedError(
                    f"precision {request.precision!r} needs two patches of {PATCH}x{PATCH} or more, by which products of "
                    f"patches and of camera tokens are told apart, not {request.shape.height}x{request.shape.width}"
                )
            return {"target": target.name, "opset": target.opset, **rounding_options(request).to_json()}
        if request.policy.quantization is not None:
            return {"target": target.name, "opset": target.opset, **int8_options(request).to_json()}
        free = target.name == PORTABLE
        return {"target": target.name, **check_versions(request.options, target.opset, free=free)}

    def write(self, context: ExportContext, directory: Path) -> ExportResult:
        request = context.request
        target = get_target(request.target)
        plain = plain_kind(request)
        free = plain is None and request.policy.quantization is None and request.policy.camera_token is None
        versions = check_versions(request.options, target.opset, free=target.name == PORTABLE) if free else {}
        extra: dict[str, object] = {}
        half = None
        if request.policy.camera_token is not None:
            half = lower_network(context, signed=target.signed_activations)
            extra["rounding"] = half.report
        if plain is UpstreamOptions:
            model = upstream_graph(context, target.opset, directory)
        elif target.emit is not None:
            context.progress(f"writing the graph for {target.name}")
            model = target.emit(context.network())
        else:
            opset = versions.get("opset", target.opset)
            model = _convert(context, max(opset, lowering.NATIVE))
            if target.rewrite is not as_exported:
                context.progress(f"rewriting for {target.name}")
            model = target.rewrite(model)
            if opset == lowering.OLD:
                model = lowering.lower(model)
        if half is not None:
            _quantize(context, model, half.layers, camera_apart=True)
        elif plain is None and request.policy.quantization is not None:
            plan = make_plan(context, signed=target.signed_activations, rounded_outputs=target.rounded_outputs)
            _quantize(context, model, plan.layers, camera_apart=False)
            extra["quantization"] = plan.report()
        name_constant_outputs(model)
        if request.dynamic:
            name_dimensions(model, request)
        opset = model.opset_imports[""]
        model.ir_version = versions.get("ir_version") or min(model.ir_version, least_ir(opset))
        describe(model, request)
        check_signature(model, request)
        size = initializer_bytes(model)
        context.progress(f"writing {mib(size)}")
        path = directory / MODEL_FILE
        save(model, path, data=DATA_FILE if size > PROTOBUF_LIMIT_BYTES else None)
        if plain is DynamicOptions:
            context.progress("quantizing dynamically")
            quantize_dynamically(path)
            model = _read(path)
        standard = len(model.opset_imports) == 1  # what operators of other domains need is not known here
        oldest = oldest_onnxruntime(opset, model.ir_version) if standard else None
        operators = Counter(node.op_type for node in model.graph.all_nodes())
        context.progress("checking the file")
        check_file(path)
        untraced = check_untraced(context, path) if request.dynamic else {}
        return ExportResult(
            extra={
                **untraced,
                "opsets": {domain or "ai.onnx": version for domain, version in model.opset_imports.items()},
                "ir_version": model.ir_version,
                "oldest_onnxruntime": oldest,
                "operators": dict(operators.most_common()),
                "nodes": operators.total(),
                **extra,
            }
        )

    def copy_to(self, artifact: Artifact, path: Path) -> None:
        if all(info.path != DATA_FILE for info in artifact.manifest.files):
            super().copy_to(artifact, path)
            return
        # The graph names its data's file: both get the user's name.
        with storage_errors(path.parent), TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
            renamed = Path(folder) / path.name
            save(read_graph(artifact.file(MODEL_FILE)), renamed, data=f"{path.name}.data")
            for file in (f"{path.name}.data", path.name):
                (Path(folder) / file).replace(path.with_name(file))

    def declares(self, manifest: Manifest) -> tuple[tuple[str, str], ...]:
        extra = manifest.extra
        if "ir_version" not in extra:  # written by an earlier version
            return ()
        opsets = ", ".join(f"{domain} {version}" for domain, version in dict(extra.get("opsets") or {}).items())
        oldest = str(extra.get("oldest_onnxruntime") or "as its target says")
        return (("operator sets", opsets), ("file (IR) version", str(extra["ir_version"])), ("oldest ONNX Runtime", oldest))


def _read(path: Path) -> onnx_ir.Model:
    import onnx_ir as ir

    return ir.load(path)


def _quantize(
    context: ExportContext, model: onnx_ir.Model, layers: Mapping[str, QuantizedLayer], *, camera_apart: bool
) -> None:
    """Quantize the layers that a plan chose."""
    modules = candidates(context.network())
    weights = {name: cast(Any, modules[name]).weight.detach().numpy() for name in layers}
    context.progress(f"quantizing {len(layers)} layers")
    quantize_graph(model, layers.values(), weights, camera_apart=camera_apart)


def _convert(context: ExportContext, opset: int) -> onnx_ir.Model:
    import torch

    request = context.request
    program = export_program(context)
    context.progress("converting to ONNX")
    names = [spec.native_name for spec in input_specs(request)]
    try:
        with _quiet():
            converted = torch.onnx.export(
                program, (), dynamo=True, opset_version=opset, input_names=names,
                output_names=list(request.outputs), verbose=False,
            )  # fmt: skip
    except torch.onnx.OnnxExporterError as error:
        raise ExportError(f"torch.onnx.export failed on {request.model.name}: {one_line(error)}") from error
    assert converted is not None
    model: onnx_ir.Model = converted.model
    if model.opset_imports.get("") != opset:
        raise ExportError(f"torch.onnx.export wrote opset {model.opset_imports.get('')}, not {opset}")
    return model


def name_constant_outputs(model: onnx_ir.Model) -> None:
    """Put an Identity behind every output that is an initializer (`reference_view` of fewer than three views).

    The standard allows it, but several runtimes drop or refuse an output that no node computes.
    """
    import onnx_ir as ir

    graph = model.graph
    for index, output in enumerate(graph.outputs):
        name = output.name
        if name is None or name not in graph.initializers:
            continue
        constant = graph.initializers.pop(name)
        constant.name = f"{name}_constant"
        graph.initializers[constant.name] = constant
        node = ir.node("Identity", [constant], name=f"{name}_identity")
        copy = node.outputs[0]
        copy.name, copy.shape, copy.type = name, constant.shape, constant.type
        graph.append(node)
        graph.outputs[index] = copy


def initializer_bytes(model: onnx_ir.Model) -> int:
    """Bytes of all initializers."""
    return sum(value.const_value.nbytes for value in model.graph.initializers.values() if value.const_value is not None)


def save(model: onnx_ir.Model, path: Path, data: str | None) -> None:
    """Write `model` to `path`, its initializers inside or in a file called `data` beside it."""
    import onnx_ir as ir

    ir.save(model, path, external_data=data)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what the exporter logs (torchvision, which nothing here uses, is not installed; ...) off the terminal."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnx_ir", "onnxscript")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
