"""Reading `weight.bin`, the file a package keeps large constants in (MIL blob storage, version 2).

Source: `MILBlob/Blob/StorageFormat.hpp` of coremltools. A 64-byte header (count, version), then for each constant a
64-byte record (sentinel, type, size in bytes, offset of the data, bits of padding at the end) and the data, all aligned
to 64 bytes. The model refers to a constant by the offset of its record.
"""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from depthport.exporters.core.errors import ArtifactError
from depthport.exporters.coreml.mil.dtypes import BY_BLOB, decode

SENTINEL = 0xDEADBEEF
VERSION = 2
_HEADER = struct.Struct("<II")
_RECORD = struct.Struct("<IIQQQ")


class WeightFile:
    """A memory-mapped weight file; constants are views into it."""

    def __init__(self, path: Path) -> None:
        """Raises ArtifactError for a file that is missing, empty or of another version."""
        self.path = path
        try:
            self._bytes = np.memmap(path, np.uint8, mode="r")
        except (OSError, ValueError):
            raise ArtifactError(f"{path.name} is missing or empty: export the model again") from None
        if len(self._bytes) < _HEADER.size:
            raise ArtifactError(f"{path.name} is truncated to {len(self._bytes)} bytes: export the model again")
        self.count, version = _HEADER.unpack(self._bytes[: _HEADER.size].tobytes())
        if version != VERSION:
            raise ArtifactError(f"{path.name} has storage version {version}, not {VERSION}: export it again")

    def read(self, offset: int, dtype: str, count: int) -> NDArray[np.generic]:
        """The constant whose record is at `offset`.

        Args:
            offset: where the model says it is.
            dtype: the type the model declares.
            count: how many elements the model declares.

        Raises:
            ArtifactError: no record there, another type, or fewer bytes than declared.
        """
        record = self._bytes[offset : offset + _RECORD.size] if offset >= 0 else self._bytes[:0]
        if len(record) < _RECORD.size:
            raise ArtifactError(
                f"{self.path.name} ends at byte {len(self._bytes)}, before the constant at {offset}: it is truncated"
            )
        sentinel, kind, size, start, _padding_bits = _RECORD.unpack(record.tobytes())
        if sentinel != SENTINEL:
            raise ArtifactError(f"{self.path.name} has no constant at byte {offset}: it belongs to another model")
        stored = BY_BLOB.get(kind, f"unknown type {kind}")
        # Booleans have no type of their own in a weight file.
        if stored != dtype and not (dtype == "bool" and stored == "uint8"):
            raise ArtifactError(f"{self.path.name} holds {stored} at byte {offset}, the model declares {dtype}")
        data = self._bytes[start : start + size]
        if len(data) < size:
            raise ArtifactError(
                f"{self.path.name} ends at byte {len(self._bytes)}, the constant at {offset} needs {start + size}: "
                "it is truncated"
            )
        return decode(data, dtype, count)
