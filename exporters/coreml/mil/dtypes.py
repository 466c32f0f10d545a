"""MIL's element types: names, protobuf numbers, and how their bits are stored.

Source: `MIL.proto` (enum DataType) and `MILBlob/Blob/BlobDataType.hpp` of coremltools.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from depthport.exporters.core.errors import ArtifactError

BY_PROTO = {
    1: "bool", 2: "string", 10: "fp16", 11: "fp32", 12: "fp64", 13: "bf16", 21: "int8", 22: "int16", 23: "int32",
    24: "int64", 25: "int4", 31: "uint8", 32: "uint16", 33: "uint32", 34: "uint64", 35: "uint4", 36: "uint2",
    37: "uint1", 38: "uint6", 39: "uint3", 40: "fp8e4m3fn", 41: "fp8e5m2",
}  # fmt: skip
"""Number in `MIL.proto` to name."""

BY_BLOB = {
    1: "fp16", 2: "fp32", 3: "uint8", 4: "int8", 5: "bf16", 6: "int16", 7: "uint16", 8: "int4", 9: "uint1",
    10: "uint2", 11: "uint4", 12: "uint3", 13: "uint6", 14: "int32", 15: "uint32", 16: "fp8e4m3fn", 17: "fp8e5m2",
}  # fmt: skip
"""Number in a weight file to name."""

FLOATS = frozenset({"fp16", "fp32", "fp64", "bf16"})

BITS = {
    "bool": 8, "fp16": 16, "fp32": 32, "fp64": 64, "bf16": 16, "int8": 8, "int16": 16, "int32": 32, "int64": 64,
    "int4": 4, "uint8": 8, "uint16": 16, "uint32": 32, "uint64": 64, "uint4": 4, "uint2": 2, "uint1": 1, "uint6": 6,
    "uint3": 3, "fp8e4m3fn": 8, "fp8e5m2": 8,
}  # fmt: skip
"""Bits of an element as stored."""

_NUMPY = {
    "bool": "?", "fp16": "<f2", "fp32": "<f4", "fp64": "<f8", "int8": "<i1", "int16": "<i2", "int32": "<i4",
    "int64": "<i8", "uint8": "<u1", "uint16": "<u2", "uint32": "<u4", "uint64": "<u8",
}  # fmt: skip


def decode(raw: memoryview | NDArray[np.uint8], dtype: str, count: int) -> NDArray[np.generic]:
    """`count` elements of type `dtype` from their bytes; elements below 8 bits widen to (u)int8.

    Sub-byte elements are packed without gaps, the first in the lowest bits of the first byte.

    Raises:
        ArtifactError: a type that is not read here, or too few bytes.
    """
    data = np.frombuffer(raw, np.uint8)
    if dtype not in BITS or dtype.startswith("fp8"):
        raise ArtifactError(f"tensors of type {dtype} are not supported: export the model without them")
    bits = BITS[dtype]
    needed = (count * bits + 7) // 8
    if len(data) < needed:
        raise ArtifactError(f"a tensor of {count} {dtype} needs {needed} bytes, the file holds {len(data)}: truncated")
    data = data[:needed]
    if dtype == "bf16":
        return (data.view("<u2").astype(np.uint32) << 16).view(np.float32)
    if bits >= 8:
        return data.view(_NUMPY[dtype])
    unpacked = np.unpackbits(data, bitorder="little")[: count * bits].reshape(count, bits)
    values = np.packbits(unpacked, axis=1, bitorder="little")[:, 0]
    if dtype == "int4":
        return np.where(values > 7, values.astype(np.int16) - 16, values).astype(np.int8)
    return values
