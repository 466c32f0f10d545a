"""Open dimensions of an ONNX graph: their names, and proof that nothing was baked in.

A graph whose inputs and outputs look dynamic can still hold a constant of the shape it was traced at, and be silently
wrong at every other. So a file is run, where ONNX Runtime is installed and has kernels for it, at shapes that were not
traced, and must give what the static network of that shape gives.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from depthport.exporters.base import ExportContext
from depthport.exporters.core.artifact import Shape
from depthport.exporters.core.errors import ExportError, one_line
from depthport.exporters.da3.build import request_network
from depthport.exporters.da3.request import ExportRequest
from depthport.exporters.da3.signature import input_specs, output_specs
from depthport.exporters.pytorch.program import from_pixels

if TYPE_CHECKING:
    import onnx_ir
    from onnxruntime import InferenceSession

_SYMBOL = re.compile(r"\bs\d+\b")
_PROBED = (Shape(1, 1, 28, 42), Shape(2, 2, 56, 28), Shape(1, 4, 42, 70))
"""Fewer views than there is a choice among, more than were traced, both orientations, an odd number of patches."""
_TOLERANCE = {"float32": 1e-4, "float16": 2e-2, "bfloat16": 8e-2}


def name_dimensions(model: onnx_ir.Model, request: ExportRequest) -> None:
    """Give every open dimension of inputs and outputs its name in the manifest, and the symbols in between theirs.

    Raises:
        ExportError: a dimension that should be open is a number in the graph, or the other way round.
    """
    import onnx_ir as ir

    graph = model.graph
    symbols: dict[str, str] = {}
    pairs = [*zip(graph.inputs, input_specs(request), strict=True), *zip(graph.outputs, output_specs(request), strict=True)]
    for value, spec in pairs:
        found = list(value.shape or ())
        for dim, wanted in zip(found, spec.shape, strict=False):
            if isinstance(dim, int) != isinstance(wanted, int):
                raise ExportError(f"{spec.name} has a dimension {dim} where the graph should have {wanted}: baked in")
            if isinstance(wanted, str) and wanted.isidentifier() and (symbol := _SYMBOL.search(str(dim))):
                exact = str(dim) == symbol[0]
                symbols.setdefault(symbol[0], wanted if exact else _PATCHES[wanted])
    for node in graph.all_nodes():
        for value in node.outputs:
            if value.shape is not None:
                value.shape = ir.Shape([_renamed(dim, symbols) for dim in value.shape])
    for value, spec in pairs:
        value.shape = ir.Shape(spec.shape)


_PATCHES = {"height": "rows", "width": "columns"}


def _renamed(dim: object, symbols: dict[str, str]) -> int | str:
    return dim if isinstance(dim, int) else _SYMBOL.sub(lambda found: symbols.get(found[0], found[0]), str(dim))


def check_untraced(context: ExportContext, path: Path) -> dict[str, object]:
    """Run the written file at shapes that were not traced; what was checked, for the manifest.

    Raises:
        ExportError: the graph fails there, or gives other values than the static network.
    """
    try:
        import onnxruntime
    except ImportError:
        return {"untraced_shapes": [], "untraced_reason": "onnxruntime is not installed"}
    context.progress("checking at other shapes")
    try:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # noqa: BLE001 - onnxruntime's own errors share no base
        # A precision that has no CPU kernels (bf16): what the graph looks like is all that can be checked here.
        return {"untraced_shapes": [], "untraced_reason": f"ONNX Runtime's CPU provider: {one_line(error)}"}
    checked = []
    for shape, found, expected in _results(context, session, _probe_shapes(context.request)):
        if _rounded_to_another_view(context.request, found, expected):
            continue
        checked.append(str(shape))
        for name, distance in _errors(found, expected):
            if not distance <= _tolerance(context.request):
                raise ExportError(
                    f"the graph with open {', '.join(context.request.dynamic)} is wrong at {shape} (batch x views x "
                    f"height x width): {name} is {distance:.1e} off; export for one shape and report this"
                )
    return {"untraced_shapes": checked}


def _probe_shapes(request: ExportRequest) -> Sequence[Shape]:
    """The probed shapes with what is not open as the request has it."""
    fixed = request.shape
    shapes = []
    for shape in _PROBED:
        if "views" not in request.dynamic:
            shape = replace(shape, views=fixed.views)
        if "size" not in request.dynamic:
            shape = replace(shape, height=fixed.height, width=fixed.width)
        if "batch" not in request.dynamic:
            shape = replace(shape, batch=fixed.batch)
        shapes.append(shape)
    return list(dict.fromkeys(shapes))


def _results(
    context: ExportContext, session: InferenceSession, shapes: Sequence[Shape]
) -> Iterator[tuple[Shape, dict[str, np.ndarray], dict[str, np.ndarray]]]:
    """Yield each shape with the file's outputs and the static network's."""
    import torch

    from depthport.exporters.da3.upstream import build_upstream

    upstream = build_upstream(context.request.model, context.state_dict())
    names = context.request.outputs
    for shape in shapes:
        static = replace(context.request, shape=shape, dynamic=())
        inputs = _inputs(static)
        with torch.no_grad():
            network = from_pixels(request_network(upstream, static), static)
            expected = network(*(torch.from_numpy(array) for array in inputs.values()))
        found = session.run(list(names), inputs)
        yield (
            shape,
            dict(zip(names, found, strict=True)),
            {name: value.float().numpy() for name, value in zip(names, expected, strict=True)},
        )


def _inputs(request: ExportRequest) -> dict[str, np.ndarray]:
    """Noise, and cameras a few steps apart, by the names of the file."""
    rng = np.random.default_rng(0)
    shape = request.shape
    arrays: dict[str, np.ndarray] = {}
    for spec in input_specs(request):
        dims = tuple(int(dim) for dim in spec.shape)
        array: np.ndarray
        if spec.name == "extrinsics":
            array = np.tile(np.eye(4, dtype=np.float32), (*dims[:2], 1, 1))
            array[..., :3, 3] = rng.standard_normal((*dims[:2], 3))
        elif spec.name == "intrinsics":
            camera = [[shape.width, 0, shape.width / 2], [0, shape.width, shape.height / 2], [0, 0, 1]]
            array = np.tile(np.array(camera, np.float32), (*dims[:2], 1, 1))
        elif spec.dtype == "uint8":
            array = rng.integers(0, 256, dims, dtype=np.uint8)
        else:
            array = rng.standard_normal(dims).astype(np.float32)
        arrays[spec.native_name] = array
    return arrays


def _errors(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> Iterator[tuple[str, float]]:
    """Relative L2 of each output; infinite for another shape or another reference view."""
    for name, wanted in expected.items():
        got = found[name]
        if got.shape != wanted.shape or (got.dtype.kind == "i" and not np.array_equal(got, wanted)):
            yield name, float("inf")
        else:
            scale = float(np.linalg.norm(wanted.astype(np.float64))) or 1.0
            yield name, float(np.linalg.norm(got.astype(np.float64) - wanted)) / scale


def _rounded_to_another_view(request: ExportRequest, found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> bool:
    """Return whether the two chose different reference views, as low precision may on noise: they are not comparable."""
    name = "reference_view"
    low = _tolerance(request) > _TOLERANCE["float32"]
    return low and name in expected and not np.array_equal(found[name], expected[name])


def _tolerance(request: ExportRequest) -> float:
    return max(_TOLERANCE[dtype] for dtype in (request.policy.backbone, request.policy.head))
