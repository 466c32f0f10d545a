"""Several input shapes in one package, as functions that share their weights (iOS18)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from depthport.exporters.core.errors import ArtifactError, ExportError, one_line
from depthport.exporters.coreml.mil.package import read_package
from depthport.exporters.coreml.mil.program import Binding, Function, Operation
from depthport.exporters.coreml.shims import import_coremltools, shimmed

MAIN = "main"


def merge(packages: Mapping[str, Path], destination: Path) -> None:
    """Write one package with a function for each given one; constants with equal bits are stored once.

    Args:
        packages: function name to saved package; `main` is the default function.
        destination: the package to write.

    Raises:
        ExportError: coremltools failed, or a function of the merged package is not the one it was made from.
    """
    ct = import_coremltools()
    descriptor = ct.utils.MultiFunctionDescriptor()
    for name, path in packages.items():
        descriptor.add_function(str(path), src_function_name="main", target_function_name=name)
    descriptor.default_function_name = MAIN
    with shimmed():
        try:
            ct.utils.save_multifunction(descriptor, str(destination))
        except (ValueError, TypeError, RuntimeError) as error:
            raise ExportError(f"coremltools {ct.__version__} can't merge functions: {one_line(error)}") from error
    try:
        merged = read_package(destination)
        for name, path in packages.items():
            if difference := first_difference(read_package(path).function(), merged.function(name)):
                raise ExportError(f"function {name!r} changed when packages were merged: {difference}")
    except ArtifactError as error:
        raise ExportError(f"the merged package is malformed: {error}") from None


def first_difference(a: Function, b: Function) -> str | None:
    """Return where two functions differ, in words; None where they are the same but for names.

    Operations correspond in order; an operand is the same if it comes from the same place: an input, a result of
    corresponding operations, or constants with equal bits.
    """
    ours, theirs = _computing(a), _computing(b)
    if [op.type for op in ours] != [op.type for op in theirs]:
        return "its operations differ"
    constants_a, constants_b = a.constants(), b.constants()
    places: dict[str, str] = dict(zip((v.name for v in a.inputs), (v.name for v in b.inputs), strict=False))
    for mine, other in zip(ours, theirs, strict=True):
        if {k: len(v) for k, v in mine.inputs.items()} != {k: len(v) for k, v in other.inputs.items()}:
            return f"operation {mine.name!r} takes other inputs"
        for parameter, bindings in mine.inputs.items():
            for x, y in zip(bindings, other.inputs[parameter], strict=True):
                if x.name in places:
                    same = places[x.name] == y.name
                else:
                    same = _equal(_constant(x, constants_a), _constant(y, constants_b))
                if not same:
                    return f"input {parameter!r} of operation {mine.name!r} is another"
        if [v.type for v in mine.outputs] != [v.type for v in other.outputs]:
            return f"operation {mine.name!r} gives another type"
        places.update(zip((v.name for v in mine.outputs), (v.name for v in other.outputs), strict=True))
    return None if [places.get(name, name) for name in a.outputs] == list(b.outputs) else "its outputs differ"


def _computing(function: Function) -> list[Operation]:
    return [operation for operation in function.operations if operation.type != "const"]


def _constant(binding: Binding, constants: Mapping[str, object]) -> object:
    return binding.constant if binding.name is None else constants.get(binding.name)


def _equal(a: object, b: object) -> bool:
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        # By bits: a NaN is equal to itself, 0.0 is not -0.0.
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    return type(a) is type(b) and a == b
