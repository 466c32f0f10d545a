"""Checks of an ONNX graph against its request, before and after it is written."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, cast

from depthport.exporters.core.artifact import TensorDType, TensorSpec
from depthport.exporters.core.errors import ExportError, one_line
from depthport.exporters.da3.request import ExportRequest
from depthport.exporters.da3.signature import input_specs, output_specs

if TYPE_CHECKING:
    import onnx_ir


def check_signature(model: onnx_ir.Model, request: ExportRequest) -> None:
    """Names, order, shapes and dtypes of inputs and outputs are the manifest's.

    Raises:
        ExportError: the first that is not.
    """
    pairs = (("input", model.graph.inputs, input_specs(request)), ("output", model.graph.outputs, output_specs(request)))
    for what, values, specs in pairs:
        found = [_spec(value) for value in values]
        wanted = [TensorSpec(spec.native_name, spec.shape, spec.dtype) for spec in specs]
        if found != wanted:
            differing = (f"{f} instead of {w}" for f, w in zip(found, wanted, strict=False) if f != w)
            first = next(differing, f"{len(found)} of {len(wanted)}")
            raise ExportError(f"the ONNX graph's {what}s are not those asked for: {first}")


def check_file(path: Path) -> None:
    """`onnx.checker` with full shape inference takes the file as it lies on disk.

    Raises:
        ExportError: it does not.
    """
    import onnx

    try:
        onnx.checker.check_model(str(path), full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError, ValueError) as error:
        raise ExportError(f"onnx.checker rejects {path.name}: {one_line(error)}") from error


def _spec(value: onnx_ir.Value) -> TensorSpec:
    dims: Iterable[object] = value.shape if value.shape is not None else ()
    shape = tuple(dim if isinstance(dim, int) else str(dim) for dim in dims)
    dtype = value.dtype.numpy().name if value.dtype is not None else "unknown"
    return TensorSpec(value.name or "", shape, cast(TensorDType, dtype))
