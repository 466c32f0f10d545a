"""An ML Program as data: functions, operations, types and constants, as the protobuf holds them.

Source: `MIL.proto` of coremltools; field numbers are given beside each reader.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod

import numpy as np

from depthport.exporters.core.errors import ArtifactError
from depthport.exporters.coreml.mil.blob import WeightFile
from depthport.exporters.coreml.mil.dtypes import BY_PROTO, decode
from depthport.exporters.coreml.mil.wire import Message

MAX_RANK = 16
"""More dimensions than any MIL operation takes; numpy's and torch's own bounds lie above."""
MAX_DEPTH = 16
"""Lists in lists a constant may be; ours are lists of numbers."""

Weights = Mapping[str, WeightFile]
Literal = object
"""A constant: a numpy array, `str`, or a list or tuple of constants. Dictionaries no MIL operation takes."""


@dataclass(frozen=True)
class TensorType:
    """Element type (:data:`dtypes.BY_PROTO`'s names) and shape; a dimension that is open is None."""

    dtype: str
    shape: tuple[int | None, ...]

    def __str__(self) -> str:
        dims = "×".join("?" if d is None else str(d) for d in self.shape)
        return f"{self.dtype}[{dims}]"

    @property
    def size(self) -> int:
        """Elements."""
        return prod(1 if d is None else d for d in self.shape)


@dataclass(frozen=True)
class Variable:
    """A named value with its declared type; None for types that are not tensors."""

    name: str
    type: TensorType | None


@dataclass(frozen=True)
class Binding:
    """One argument: the name of a value, or the constant itself."""

    name: str | None
    constant: Literal = None


@dataclass(frozen=True)
class Operation:
    """One operation: `outputs = type(inputs)`."""

    type: str
    inputs: dict[str, tuple[Binding, ...]]
    outputs: tuple[Variable, ...]
    attributes: dict[str, Literal] = field(default_factory=dict)
    blocks: int = 0
    """Number of nested blocks (control flow); our operations have none."""

    @property
    def name(self) -> str:
        return self.outputs[0].name if self.outputs else self.type

    def reads(self) -> list[str]:
        """Names of the values it takes, in order."""
        return [b.name for bindings in self.inputs.values() for b in bindings if b.name is not None]


@dataclass(frozen=True)
class Function:
    """One entry point of a program."""

    name: str
    opset: str
    inputs: tuple[Variable, ...]
    operations: tuple[Operation, ...]
    outputs: tuple[str, ...]

    def constants(self) -> dict[str, Literal]:
        """Values of all `const` operations by name."""
        return {op.name: op.attributes["val"] for op in self.operations if op.type == "const"}

    def types(self) -> dict[str, TensorType]:
        """Declared type of every tensor by name."""
        variables = [*self.inputs, *(v for op in self.operations for v in op.outputs)]
        return {v.name: v.type for v in variables if v.type is not None}


def read_program(message: Message, weights: Weights) -> dict[str, Function]:
    """The functions of a `MILSpec.Program` by name.

    Raises:
        ArtifactError: another version, no functions, or damage anywhere inside.
    """
    version = message.integer(1)
    if version != 1:
        raise ArtifactError(f"the ML Program has version {version}, not 1: export it with this version")
    functions = {name: _function(name, body, weights) for name, body in message.map(2).items()}
    if not functions:
        raise ArtifactError("the ML Program has no function: the file is damaged")
    return functions


def _function(name: str, message: Message, weights: Weights) -> Function:
    opset = message.text(2)
    blocks = message.map(3)
    if opset not in blocks:
        raise ArtifactError(f"function {name!r} has no body for its opset {opset!r}: the file is damaged")
    block = blocks[opset]
    return Function(
        name=name,
        opset=opset,
        inputs=tuple(_variable(m) for m in message.messages(1)),
        operations=tuple(_operation(m, weights) for m in block.messages(3)),
        outputs=tuple(block.texts(2)),
    )


def _operation(message: Message, weights: Weights) -> Operation:
    operation = Operation(
        type=message.text(1),
        inputs={name: _argument(m, weights) for name, m in message.map(2).items()},
        outputs=tuple(_variable(m) for m in message.messages(3)),
        attributes={name: _value(m, weights) for name, m in message.map(5).items()},
        blocks=len(message.messages(4)),
    )
    if not operation.outputs:
        raise ArtifactError(f"operation {operation.type!r} has no output: the file is damaged")
    if operation.type == "const" and "val" not in operation.attributes:
        raise ArtifactError(f"constant {operation.name!r} has no value: the file is damaged")
    return operation


def _argument(message: Message, weights: Weights) -> tuple[Binding, ...]:
    return tuple(
        Binding(m.text(1)) if 1 in m else Binding(None, _value(m.message(2), weights)) for m in message.messages(1)
    )


def _variable(message: Message) -> Variable:
    return Variable(message.text(1), _tensor_type(message.message(2)))


def _tensor_type(message: Message) -> TensorType | None:
    if 1 not in message:
        return None
    tensor = message.message(1)
    number = tensor.integer(1)
    if number not in BY_PROTO:
        raise ArtifactError(f"element type {number} is unknown: the file is newer than this version or damaged")
    dimensions = tensor.messages(3)
    if len(dimensions) != tensor.integer(2):
        raise ArtifactError(f"a tensor of rank {tensor.integer(2)} has {len(dimensions)} dimensions: damaged file")
    if len(dimensions) > MAX_RANK:
        raise ArtifactError(f"a tensor has {len(dimensions)} dimensions, more than {MAX_RANK}: the file is damaged")
    shape = tuple(d.message(1).integer(1) if 1 in d else None for d in dimensions)
    if any(size is not None and size < 0 for size in shape):
        raise ArtifactError("a tensor has a negative dimension: the file is damaged")
    return TensorType(BY_PROTO[number], shape)


def _value(message: Message, weights: Weights, depth: int = 0) -> Literal:
    if depth > MAX_DEPTH:
        raise ArtifactError(f"a constant is nested more than {MAX_DEPTH} deep: the file is damaged")
    type_ = _tensor_type(message.message(2))
    if 5 in message:
        reference = message.message(5)
        if type_ is None:
            raise ArtifactError("a constant in the weight file has no tensor type: the file is damaged")
        if None in type_.shape:
            raise ArtifactError(f"a constant is declared {type_}, with an open dimension: the file is damaged")
        name = reference.text(1).rsplit("/", 1)[-1]
        if name not in weights:
            raise ArtifactError(f"the weight file {name!r} is missing: export the model again")
        return weights[name].read(reference.integer(2), type_.dtype, type_.size).reshape(type_.shape)
    immediate = message.message(3)
    if 1 in immediate:
        if type_ is None:
            raise ArtifactError("a tensor constant has no type: the file is damaged")
        return _tensor_literal(immediate.message(1), type_)
    if 2 in immediate:
        return tuple(_value(m, weights, depth + 1) for m in immediate.message(2).messages(1))
    if 3 in immediate:
        return [_value(m, weights, depth + 1) for m in immediate.message(3).messages(1)]
    raise ArtifactError("a constant has no supported value: the file is damaged")


def _tensor_literal(message: Message, type_: TensorType) -> Literal:
    if 4 in message:
        texts = message.message(4).texts(1)
        return texts[0] if type_.shape == () and len(texts) == 1 else texts
    array: np.ndarray
    if 1 in message:
        array = message.message(1).floats(1, "<f4")
    elif 6 in message:
        array = message.message(6).floats(1, "<f8")
    elif 7 in message:
        array = decode(message.message(7).bytes(1), type_.dtype, type_.size)
    else:
        number = next((n for n in (2, 3, 5) if n in message), None)
        integers = message.message(number).integers(1) if number is not None else []
        array = np.array(integers, np.bool_ if number == 3 else np.int64)
    if array.size != type_.size or None in type_.shape:
        raise ArtifactError(f"a constant declared {type_} has {array.size} elements: the file is damaged")
    return array.reshape(type_.shape)
