"""Planted damage: what a wrong conversion could have done, done to a saved package on purpose.

Written with coremltools' own protobuf classes, so that nothing here is read or written by the code under test.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

MODEL = "Data/com.apple.CoreML/model.mlmodel"
WEIGHTS = "Data/com.apple.CoreML/weights/weight.bin"


class Edit:
    """A copy of a package, open for change; `save` writes it."""

    def __init__(self, source: Path, folder: Path) -> None:
        from coremltools.proto import Model_pb2

        self.path = folder / source.name
        shutil.copytree(source, self.path)
        self.model = Model_pb2.Model()
        self.model.ParseFromString((self.path / MODEL).read_bytes())
        function = next(iter(self.model.mlProgram.functions.values()))
        self.block = function.block_specializations[function.opset]
        self.constants = {op.outputs[0].name: op for op in self.block.operations if op.type == "const"}

    def save(self) -> Path:
        (self.path / MODEL).write_bytes(self.model.SerializeToString())
        return self.path

    def operations(self, kind: str) -> list[Any]:
        return [op for op in self.block.operations if op.type == kind]

    def source(self, operation: Any, parameter: str) -> str:
        """Name of the value an operation reads."""
        return str(operation.inputs[parameter].arguments[0].name)

    def value(self, operation: Any, parameter: str) -> Any:
        """The constant behind a parameter, for change; its own copy where another operation shares it."""
        constant = self.constants[self.source(operation, parameter)]
        return constant.attributes["val"].immediateValue.tensor

    def fresh(self, operation: Any, parameter: str) -> Any:
        """As :meth:`value`, but for this operation alone: the constant may be shared."""
        shared = self.constants[self.source(operation, parameter)]
        own = self.block.operations.add()
        own.CopyFrom(shared)
        name = f"{shared.outputs[0].name}_own_{len(self.constants)}"
        own.outputs[0].name = name
        own.attributes["name"].immediateValue.tensor.strings.values[0] = name
        operation.inputs[parameter].arguments[0].name = name
        self.constants[name] = own
        # Constants come before their readers.
        others = [op for op in self.block.operations if op.outputs[0].name != name]
        copy = type(own)()
        copy.CopyFrom(own)
        kept = [type(own)() for _ in others]
        for target, origin in zip(kept, others, strict=True):
            target.CopyFrom(origin)
        del self.block.operations[:]
        self.block.operations.extend([copy, *kept])
        self.constants = {op.outputs[0].name: op for op in self.block.operations if op.type == "const"}
        return self.constants[name].attributes["val"].immediateValue.tensor

    def weights(self, operation: Any, parameter: str) -> tuple[int, int]:
        """Offset and size in bytes of a constant's data in the weight file."""
        constant = self.constants[self.source(operation, parameter)]
        record = constant.attributes["val"].blobFileValue.offset
        header = np.frombuffer((self.path / WEIGHTS).read_bytes(), np.uint64, 2, record + 8)
        return int(header[1]), int(header[0])

    def patch(self, offset: int, data: bytes) -> None:
        with (self.path / WEIGHTS).open("r+b") as stream:
            stream.seek(offset)
            stream.write(data)


def layer_norm_epsilon(edit: Edit) -> None:
    """1e-6 becomes 1e-5, torch's and MIL's default where upstream has its own."""
    for norm in edit.operations("layer_norm"):
        values = edit.value(norm, "epsilon").floats.values
        if abs(values[0] - 1e-6) < 1e-9:
            values[0] = 1e-5


def gelu_approximation(edit: Edit) -> None:
    """The tanh approximation in every MLP."""
    for operation in edit.operations("gelu"):
        edit.value(operation, "mode").strings.values[0] = "TANH_APPROXIMATION"


def swapped_query_and_key(edit: Edit) -> None:
    """q and k change places in the last attention that rotates them: scores are transposed."""
    product = edit.operations("matmul")[-2]
    x, y = product.inputs["x"].arguments[0], product.inputs["y"].arguments[0]
    x.name, y.name = y.name, x.name


def swapped_weights(edit: Edit) -> None:
    """Two constants of the same shape change places."""
    first, second = edit.operations("layer_norm")[:2]
    a, b = first.inputs["gamma"].arguments[0], second.inputs["gamma"].arguments[0]
    a.name, b.name = b.name, a.name


def corners_not_aligned(edit: Edit) -> None:
    """One upsampling takes the other convention about corners."""
    operation = edit.operations("upsample_bilinear")[-1]
    edit.fresh(operation, "align_corners").bools.values[0] = False


def rotation_sign(edit: Edit) -> None:
    """The rotary table's sines change sign: rotation the other way."""
    for operation in edit.operations("mul"):
        name = edit.source(operation, "y")
        if "sin" in name and name in edit.constants:
            offset, size = edit.weights(operation, "y")
            table = np.frombuffer((edit.path / WEIGHTS).read_bytes(), np.float32, size // 4, offset)
            edit.patch(offset, (-table).tobytes())
            return
    raise AssertionError("no rotary table found")


def flipped_bit(edit: Edit) -> None:
    """One bit of one weight: the lowest of an exponent, so the weight doubles or halves."""
    linear = edit.operations("linear")[2]
    offset, size = edit.weights(linear, "weight")
    data = np.frombuffer((edit.path / WEIGHTS).read_bytes(), np.uint32, size // 4, offset).copy()
    index = int(np.abs(data.view(np.float32)).argmax())
    edit.patch(offset + 4 * index, (data[index] ^ np.uint32(1 << 23)).tobytes())


def softmax_axis(edit: Edit) -> None:
    """Attention normalised over queries instead of keys."""
    edit.fresh(edit.operations("softmax")[1], "axis").ints.values[0] = -2


def dropped_bias(edit: Edit) -> None:
    """One linear layer loses its bias."""
    linear = next(op for op in edit.operations("linear") if "attn_proj" in edit.source(op, "weight"))
    offset, size = edit.weights(linear, "bias")
    edit.patch(offset, bytes(size))


def rounded_weight(edit: Edit) -> None:
    """One layer's weights keep fp16's bits only, in a file that declares fp32."""
    linear = next(op for op in edit.operations("linear") if "mlp_fc1" in edit.source(op, "weight"))
    offset, size = edit.weights(linear, "weight")
    data = np.frombuffer((edit.path / WEIGHTS).read_bytes(), np.float32, size // 4, offset)
    edit.patch(offset, data.astype(np.float16).astype(np.float32).tobytes())


def reciprocal_epsilon(edit: Edit) -> None:
    """The division by the quaternion's norm becomes coremltools 9.0's inverse (epsilon 1e-4), times 2."""
    division = next(op for op in edit.operations("real_div") if edit.source(op, "x") in edit.constants)
    constant = edit.constants[edit.source(division, "x")]
    value = constant.attributes["val"].immediateValue.tensor.floats.values
    for index, number in enumerate(value):
        value[index] = number * (1.0 - 1.5e-4)


NUMERIC: tuple[Callable[[Edit], None], ...] = (
    layer_norm_epsilon, gelu_approximation, swapped_query_and_key, swapped_weights, corners_not_aligned, rotation_sign,
    flipped_bit, softmax_axis, dropped_bias, rounded_weight, reciprocal_epsilon,
)  # fmt: skip
