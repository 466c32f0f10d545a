"""Running a function of a saved package with torch, one operation at a time, checking every declared type and shape.

Three modes:

* `fp32`, `fp64`: exact arithmetic as far as that type goes, whatever the file declares; constants as stored.
* `declared`: every operation computes in fp32 from its rounded inputs and rounds its result to the type the file
  declares, which is what hardware with wide accumulators does. In an fp16 package this is where fp16's error shows.

Limits: it gives each operation the meaning the MIL specification gives it. Accumulation order, lookup tables and fused
kernels of Apple's hardware are not modelled.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np
import psutil
import torch
from torch import Tensor

from depthport.exporters.core.errors import ArtifactError, InputError, UnsupportedError, one_line
from depthport.exporters.coreml.mil.dtypes import FLOATS
from depthport.exporters.coreml.mil.ops import Call, operators
from depthport.exporters.coreml.mil.ops.call import torch_dtype
from depthport.exporters.coreml.mil.ops.sizes import result_shape
from depthport.exporters.coreml.mil.program import Function, Operation, TensorType

Mode = Literal["fp32", "fp64", "declared"]
Value = Tensor | str | list[Any]

_ROUND_BYTES = 1 << 26
WORKING_BYTES = 4
"""Size of an element in fp32, the narrowest dtype in use except booleans."""
_SCALAR_PARAMETERS = frozenset({"epsilon", "alpha", "beta", "constant_val", "scale_factor_height", "scale_factor_width"})


@dataclass(frozen=True)
class Step:
    """One operation that has run."""

    operation: Operation
    outputs: tuple[Tensor, ...]
    """Outputs as the next operations see them: rounded in mode `declared`."""
    exact: tuple[Tensor, ...]
    """Outputs before that rounding where the interpreter keeps it; else the same tensors."""


class Interpreter:
    """Runs one function of a package."""

    def __init__(self, function: Function, mode: Mode = "fp32", keep_exact: bool = False) -> None:
        """`keep_exact`: give each step's result before rounding too, which doubles the memory of large ones.

        Raises UnsupportedError for an operation that is not known here, ArtifactError for a malformed program.
        """
        self.function = function
        self.mode = mode
        self.keep_exact = keep_exact
        self.dtype = torch.float64 if mode == "fp64" else torch.float32
        self._operators = operators()
        check_structure(function)
        unknown = sorted({op.type for op in function.operations if op.type != "const"} - set(self._operators))
        if unknown:
            raise UnsupportedError(
                f"operation {unknown[0]!r} is not supported by the interpreter ({len(unknown)} such types)"
            )

    def run(self, inputs: Mapping[str, Any]) -> dict[str, Tensor]:
        """The function's outputs: floats in the working dtype, integers as int64.

        Args:
            inputs: array or tensor of each input, of the declared shape.

        Raises:
            InputError: an input is missing or has another shape.
            ArtifactError: an operation's result has another type or shape than declared, or it can't be computed.
        """
        found: dict[str, Tensor] = {}
        wanted = set(self.function.outputs)
        for step in self.steps(inputs):
            for variable, value in zip(step.operation.outputs, step.outputs, strict=True):
                if variable.name in wanted:
                    found[variable.name] = value
        # An input or a constant may itself be an output.
        found.update({n: v for n, v in self._inputs(inputs).items() if n in wanted})
        for operation in self.function.operations:
            if operation.type == "const" and operation.name in wanted:
                constant = self._constant(operation)
                if not isinstance(constant, Tensor):
                    raise ArtifactError(f"output {operation.name!r} is not a tensor: the file is damaged")
                found[operation.name] = constant
        return {name: found[name] for name in self.function.outputs}

    def steps(self, inputs: Mapping[str, Any]) -> Iterator[Step]:
        """Run, giving each operation as it is done (constants excepted); values are dropped after their last use."""
        values: dict[str, Value] = dict(self._inputs(inputs))
        uses = Counter(name for op in self.function.operations for name in op.reads())
        for operation in self.function.operations:
            if operation.type == "const":
                name = operation.outputs[0].name
                if uses[name]:
                    values[name] = self._constant(operation)
                continue
            exact = self._compute(operation, values)
            # Rounding where it lies is right only for what no other name stands for.
            taken = None if self.keep_exact else {_storage(values[name]) for name in operation.reads()}
            outputs = tuple(self._round(x, v.type, operation, taken) for x, v in zip(exact, operation.outputs, strict=True))
            for name in operation.reads():
                uses[name] -= 1
                if not uses[name]:
                    values.pop(name, None)
            values.update({v.name: x for v, x in zip(operation.outputs, outputs, strict=True) if uses[v.name]})
            yield Step(operation, outputs, exact if self.keep_exact else outputs)

    def _inputs(self, inputs: Mapping[str, Any]) -> dict[str, Tensor]:
        found: dict[str, Tensor] = {}
        for variable in self.function.inputs:
            if variable.name not in inputs or variable.type is None:
                raise InputError(f"input {variable.name!r} is missing: got {', '.join(inputs) or 'none'}")
            given = inputs[variable.name]
            value = given if isinstance(given, Tensor) else torch.from_numpy(np.array(given))
            if tuple(value.shape) != variable.type.shape:
                raise InputError(f"input {variable.name!r} has shape {tuple(value.shape)}, the model {variable.type}")
            found[variable.name] = self._rounded(value.to(torch_dtype(variable.type.dtype, self.dtype)), variable.type)
        return found

    def _constant(self, operation: Operation) -> Value:
        value, type_ = operation.attributes["val"], operation.outputs[0].type
        if not isinstance(value, np.ndarray):
            return value if isinstance(value, str) else list(cast(Sequence[object], value))
        if type_ is None or type_.shape != value.shape:
            raise ArtifactError(f"constant {operation.name!r} is declared {type_}, its value is another: damaged file")
        tensor = torch.from_numpy(np.array(value)) if value.dtype != np.uint64 else torch.tensor(value.astype(np.int64))
        return tensor.to(torch_dtype(type_.dtype, self.dtype))

    def _compute(self, operation: Operation, values: Mapping[str, Value]) -> tuple[Tensor, ...]:
        call = Call(operation.type, operation.name, self._arguments(operation, values))
        try:
            expected = result_shape(call)
            if expected is not None:
                _check_shape(expected, operation)
            with torch.no_grad():
                result = self._operators[operation.type](call)
        except (
            RuntimeError, IndexError, KeyError, TypeError, ValueError, AttributeError, AssertionError, ArithmeticError,
            MemoryError,
        ) as error:  # fmt: skip
            raise ArtifactError(
                f"operation {operation.name!r} ({operation.type}) can't be computed from its inputs: {one_line(error)}"
            ) from None
        results = result if isinstance(result, tuple) else (result,)
        if len(results) != len(operation.outputs):
            raise ArtifactError(
                f"operation {operation.name!r} ({operation.type}) declares {len(operation.outputs)} results but computes "
                f"{len(results)}: the file is damaged"
            )
        return results

    def _arguments(self, operation: Operation, values: Mapping[str, Value]) -> dict[str, object]:
        found: dict[str, object] = {}
        # iOS16's compressed constants keep their data in attributes.
        for name, constant in operation.attributes.items():
            if name != "name":
                found[name] = _literal(constant)
        for name, bindings in operation.inputs.items():
            arguments = [values[b.name] if b.name is not None else _literal(b.constant) for b in bindings]
            found[name] = arguments[0] if len(arguments) == 1 and name != "values" else arguments
        return found

    def _round(self, x: Tensor, type_: TensorType | None, operation: Operation, taken: set[int] | None) -> Tensor:
        """`x` as declared; in place where its storage is not among those `taken` (None: never)."""
        if type_ is None:
            raise ArtifactError(
                f"operation {operation.name!r} ({operation.type}) does not compute a tensor: not interpreted"
            )
        _check_shape(tuple(x.shape), operation, type_)
        if x.is_floating_point() != (type_.dtype in FLOATS) and operation.type != "cast":
            raise ArtifactError(
                f"operation {operation.name!r} ({operation.type}) is declared {type_} but computes {x.dtype}"
            )
        x = x.to(torch_dtype(type_.dtype, self.dtype))
        in_place = taken is not None and _storage(x) not in taken and x.is_contiguous()
        return self._rounded(x, type_, always=operation.type.startswith("constexpr_"), in_place=in_place)

    def _rounded(self, x: Tensor, type_: TensorType, always: bool = False, in_place: bool = False) -> Tensor:
        if type_.dtype != "fp16" or not (always or self.mode == "declared"):
            return x
        return round_to_half(x, in_place)


def _storage(value: Value) -> int:
    return value.untyped_storage().data_ptr() if isinstance(value, Tensor) else 0


def _check_shape(shape: tuple[int, ...], operation: Operation, declared: TensorType | None = None) -> None:
    """Raises ArtifactError where an operation (by default its first result) is declared another shape."""
    type_ = declared or operation.outputs[0].type
    if type_ is not None and shape != type_.shape:
        raise ArtifactError(
            f"operation {operation.name!r} ({operation.type}) is declared {type_} but computes shape "
            f"[{'×'.join(map(str, shape))}]"
        )


def round_to_half(x: Tensor, in_place: bool = False) -> Tensor:
    """`x` rounded to fp16 and back, a part at a time: attention scores of many views are gigabytes.

    Args:
        x: floating.
        in_place: write the result over `x`, which is contiguous, where it is large.
    """
    if x.numel() * x.element_size() <= _ROUND_BYTES:
        return x.half().to(x.dtype)
    out = x if in_place else torch.empty_like(x, memory_format=torch.contiguous_format)
    flat, source = out.view(-1), x.contiguous().view(-1)
    for start in range(0, x.numel(), _ROUND_BYTES // 4):
        part = slice(start, start + _ROUND_BYTES // 4)
        flat[part] = source[part].half()
    return out


def check_structure(function: Function) -> None:
    """Every value is defined once and before it is read; types of operands agree; outputs exist.

    Raises:
        ArtifactError: the first violation, naming the operation.
    """
    types = {v.name: v.type for v in function.inputs}
    memory = psutil.virtual_memory().total
    for operation in function.operations:
        for variable in operation.outputs:
            if variable.type is not None and variable.type.size * WORKING_BYTES > memory:
                raise ArtifactError(
                    f"operation {operation.name!r} ({operation.type}) is declared {variable.type}, more than this "
                    "machine's memory: the file is damaged, or needs a larger machine"
                )
        for name in operation.reads():
            if name not in types:
                raise ArtifactError(
                    f"operation {operation.name!r} ({operation.type}) reads {name!r}, which nothing before it computes"
                    ": the file is damaged"
                )
        if operation.blocks:
            raise UnsupportedError(
                f"operation {operation.name!r} ({operation.type}) has control flow, which is not interpreted"
            )
        if operation.type not in ("const", "cast") and not operation.type.startswith("constexpr_"):
            _check_float_types(operation, types)
        for variable in operation.outputs:
            if variable.name in types:
                raise ArtifactError(f"{variable.name!r} is computed twice: the file is damaged")
            types[variable.name] = variable.type
    missing = [name for name in function.outputs if name not in types]
    if missing:
        raise ArtifactError(f"output {missing[0]!r} is never computed: the file is damaged")


def _check_float_types(operation: Operation, types: Mapping[str, TensorType | None]) -> None:
    """MIL converts nothing by itself: an operation's floating operands and results have one type."""
    found = {
        t.dtype
        for parameter, bindings in operation.inputs.items()
        for b in bindings
        if b.name is not None and parameter not in _SCALAR_PARAMETERS and (t := types[b.name]) is not None
        if t.dtype in FLOATS
    }
    found |= {v.type.dtype for v in operation.outputs if v.type is not None and v.type.dtype in FLOATS}
    if len(found) > 1:
        raise ArtifactError(f"operation {operation.name!r} ({operation.type}) mixes {' and '.join(sorted(found))}")


def _literal(value: object) -> object:
    if not isinstance(value, np.ndarray):
        return value
    tensor = torch.from_numpy(np.array(value))
    return tensor.float() if tensor.is_floating_point() else tensor
