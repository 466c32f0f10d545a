"""Reading protobuf's wire format, without generated code: a message is its fields, by number.

Source: protobuf.dev/programming-guides/encoding. Reading the bytes here rather than through coremltools' own generated
classes keeps the check independent of what it checks, and lets a package be read where coremltools is not installed.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from depthport.exporters.core.errors import ArtifactError

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
_SIGN_BIT = 1 << 63


class Message:
    """One message: its fields in file order, decoded one level deep."""

    def __init__(self, buffer: memoryview) -> None:
        """Raise ArtifactError where the bytes are not a message."""
        self._fields: dict[int, list[int | memoryview]] = {}
        for number, value in _fields(buffer):
            self._fields.setdefault(number, []).append(value)

    def __contains__(self, number: int) -> bool:
        return number in self._fields

    @property
    def numbers(self) -> tuple[int, ...]:
        """Numbers of the fields that are present."""
        return tuple(self._fields)

    def integer(self, number: int, default: int = 0) -> int:
        """A varint field, signed (the last one where it is repeated, as protobuf has it)."""
        values = self._fields.get(number)
        if not values:
            return default
        value = values[-1]
        if not isinstance(value, int):
            raise ArtifactError(f"field {number} is not an integer: the file is damaged")
        return value - (1 << 64) if value & _SIGN_BIT else value

    def bytes(self, number: int) -> memoryview:
        """A length-delimited field; empty where absent."""
        values = self._fields.get(number)
        return _span(values[-1], number) if values else memoryview(b"")

    def text(self, number: int) -> str:
        return _text(self.bytes(number))

    def texts(self, number: int) -> list[str]:
        return [_text(_span(v, number)) for v in self._fields.get(number, [])]

    def message(self, number: int) -> Message:
        """A sub-message; an empty one where absent."""
        return Message(self.bytes(number))

    def messages(self, number: int) -> list[Message]:
        """A repeated sub-message."""
        return [Message(_span(v, number)) for v in self._fields.get(number, [])]

    def map(self, number: int) -> dict[str, Message]:
        """A map from strings to messages: repeated entries with key 1 and value 2."""
        return {entry.text(1): entry.message(2) for entry in self.messages(number)}

    def text_map(self, number: int) -> dict[str, str]:
        """A map from strings to strings."""
        return {entry.text(1): entry.text(2) for entry in self.messages(number)}

    def integers(self, number: int) -> list[int]:
        """A repeated varint field, packed or not, signed."""
        found: list[int] = []
        for value in self._fields.get(number, []):
            if isinstance(value, int):
                found.append(value)
                continue
            position = 0
            while position < len(value):
                item, position = _varint(value, position)
                found.append(item)
        return [v - (1 << 64) if v & _SIGN_BIT else v for v in found]

    def floats(self, number: int, dtype: str) -> NDArray[np.floating]:
        """A repeated `float` (`<f4`) or `double` (`<f8`) field, packed or not."""
        size = np.dtype(dtype).itemsize
        parts: list[NDArray[np.floating]] = []
        for value in self._fields.get(number, []):
            raw = value.to_bytes(size, "little") if isinstance(value, int) else bytes(value)
            if len(raw) % size:
                raise ArtifactError(f"field {number} holds {len(raw)} bytes, not whole numbers: the file is damaged")
            parts.append(np.frombuffer(raw, dtype))
        return np.concatenate(parts) if parts else np.empty(0, dtype)


def _fields(buffer: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    position, end = 0, len(buffer)
    while position < end:
        key, position = _varint(buffer, position)
        number, wire_type = key >> 3, key & 7
        if wire_type == VARINT:
            value, position = _varint(buffer, position)
            yield number, value
            continue
        if wire_type == BYTES:
            size, position = _varint(buffer, position)
        elif wire_type in (FIXED32, FIXED64):
            size = 4 if wire_type == FIXED32 else 8
        else:
            raise ArtifactError(f"wire type {wire_type} of field {number} is unknown: the file is damaged")
        if position + size > end:
            raise ArtifactError(f"field {number} ends {position + size - end} bytes past its message: truncated file")
        span = buffer[position : position + size]
        position += size
        if wire_type == BYTES:
            yield number, span
        else:
            yield number, struct.unpack("<I" if wire_type == FIXED32 else "<Q", span)[0]


def _varint(buffer: memoryview, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if position >= len(buffer) or shift > 63:
            raise ArtifactError("a variable-length integer has no end: truncated or damaged file")
        byte = buffer[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & (2 * _SIGN_BIT - 1), position
        shift += 7


def _span(value: int | memoryview, number: int) -> memoryview:
    if isinstance(value, int):
        raise ArtifactError(f"field {number} is an integer where text or a message belongs: the file is damaged")
    return value


def _text(span: memoryview) -> str:
    try:
        return bytes(span).decode("utf-8")
    except UnicodeDecodeError:
        raise ArtifactError("text in the model is not UTF-8: the file is damaged") from None
