"""What is read here from a package's bytes is what coremltools' own classes read from them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from depthport.exporters.core.errors import ArtifactError
from depthport.exporters.coreml.mil.dtypes import decode
from depthport.exporters.coreml.mil.wire import Message
from tests.support.coreml.damage import Edit


def test_every_operation_and_type(converted: Any, tmp_path: Any) -> None:
    made = converted("fp32", views=3)
    edit = Edit(made.path, tmp_path)
    ours = made.package.function().operations
    assert len(ours) == len(edit.block.operations)
    for mine, theirs in zip(ours, edit.block.operations, strict=True):
        assert mine.type == theirs.type
        assert [v.name for v in mine.outputs] == [o.name for o in theirs.outputs]
        shapes = [tuple(d.constant.size for d in o.type.tensorType.dimensions) for o in theirs.outputs]
        assert [v.type.shape for v in mine.outputs if v.type] == shapes
        reads = {k: [a.name for a in v.arguments] for k, v in theirs.inputs.items()}
        assert {k: [b.name for b in v] for k, v in mine.inputs.items()} == reads


def test_every_weight(converted: Any, tmp_path: Any) -> None:
    from coremltools.libmilstoragepython import _BlobStorageReader

    made = converted("fp32", views=3)
    edit = Edit(made.path, tmp_path)
    reader = _BlobStorageReader(str(edit.path / "Data/com.apple.CoreML/weights/weight.bin"))
    constants = made.package.function().constants()
    stored = {n: op for n, op in edit.constants.items() if op.attributes["val"].HasField("blobFileValue")}
    assert len(stored) > 50
    for name, operation in stored.items():
        theirs = np.array(reader.read_float_data(operation.attributes["val"].blobFileValue.offset))
        assert np.array_equal(theirs, constants[name].reshape(-1))


@pytest.mark.parametrize("bits", [1, 2, 3, 4, 6])
def test_elements_below_a_byte(bits: int) -> None:
    values = np.arange(41) % (1 << bits)
    stream = "".join(format(v, f"0{bits}b")[::-1] for v in values)
    packed = np.packbits([int(b) for b in stream], bitorder="little")
    assert np.array_equal(decode(packed, f"uint{bits}", len(values)), values)


def test_negative_int4_and_bf16() -> None:
    assert decode(np.array([0x8F, 0x07], np.uint8), "int4", 3).tolist() == [-1, -8, 7]
    assert decode(np.array([0x80, 0x3F, 0x00, 0xC0], np.uint8), "bf16", 2).tolist() == [1.0, -2.0]


def test_too_few_bytes() -> None:
    with pytest.raises(ArtifactError, match="truncated"):
        decode(np.zeros(3, np.uint8), "fp16", 2)


def test_wire_format() -> None:
    message = Message(memoryview(b"\x08\x96\x01\x12\x03abc\x18\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"))
    assert (message.integer(1), message.text(2), message.integer(3)) == (150, "abc", -1)
    assert message.integer(9, 7) == 7 and 9 not in message


@pytest.mark.parametrize("data", [b"\x08", b"\x12\x05ab", b"\x0b", b"\x08" + b"\xff" * 11])
def test_broken_wire_format(data: bytes) -> None:
    with pytest.raises(ArtifactError):
        Message(memoryview(data))
