"""Build dataclasses from decoded JSON by their type hints, keeping what fits and noting what does not.

Strict readers reject a file for one bad field; here a run of hours is at stake, so a value of the wrong type
becomes the field's default and one line of notes. New fields of `bench/results/model.py` need no change here.
"""

from __future__ import annotations

import re
import types
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from functools import lru_cache
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from depthport.bench.results.model import Samples
from depthport.exporters.core.text import clean_json, clean_text, finite

MAX_NOTES = 40
LARGEST = 1e12
"""No latency (ms), memory (MiB) or ratio is larger; such a figure is damage, and would fill a page with digits."""
T = TypeVar("T")

UNKNOWN = "unknown"
"""What a required name reads when the file does not have it."""
_REQUIRED: Mapping[Any, Any] = {str: UNKNOWN, int: 0, float: 0.0, bool: False}
_EXPECTED: Mapping[Any, str] = {str: "a text", bool: "true or false", float: "a finite number", int: "a whole number"}
_POSITIVE = re.compile(r"(?!std_|drift_).*_(ms|mib)|img_s|export_s|load_s|ratio|calls_per_sample")
_COLUMNS = tuple(f.name for f in fields(Samples) if f.name not in ("ms", "calls_per_sample"))


class Mismatch(Exception):
    """A value of another type than its field; the reader takes the default and notes it."""


class Notes:
    """Lines about faults, one a kind: a file with 10^5 faults must not make a report of 10^5 lines."""

    def __init__(self) -> None:
        self._count: dict[str, int] = {}

    def add(self, line: str) -> None:
        """Count a fault; list indices are dropped, so that one in every cell is one line."""
        kind = re.sub(r"\[\d+\]", "", line)
        self._count[kind] = self._count.get(kind, 0) + 1

    def lines(self) -> tuple[str, ...]:
        shown = [f"{k} ({n} times)" if n > 1 else k for k, n in list(self._count.items())[:MAX_NOTES]]
        more = len(self._count) - MAX_NOTES
        return (*shown, f"and {more} more kinds of faults") if more > 0 else tuple(shown)


@lru_cache(maxsize=32)
def _hints(cls: Any) -> dict[str, Any]:
    return get_type_hints(cls)


def read_dataclass(cls: type[T], data: Any, where: str, notes: Notes) -> T:
    if not isinstance(data, dict):
        raise Mismatch("an object")
    values: dict[str, Any] = {}
    hints = _hints(cls)  # type: ignore[arg-type]
    for field in fields(cls):  # type: ignore[arg-type]
        hint, place = hints[field.name], f"{where}.{field.name}".lstrip(".")
        required = field.default is MISSING and field.default_factory is MISSING
        if field.name in data:
            try:
                value = _read(hint, data[field.name], place, notes)
                if _POSITIVE.fullmatch(field.name) and isinstance(value, int | float) and not 0 < value < LARGEST:
                    raise Mismatch(f"a positive number below {LARGEST:g}")
                values[field.name] = value
                continue
            except Mismatch as wanted:
                notes.add(f"{place} is not {wanted} and was left out")
        elif required and not _optional(hint):
            notes.add(f"{place} is missing")
        if required:
            values[field.name] = _missing(hint)
    if cls is Samples:
        _align(values, where, notes)
    return cls(**values)


def _align(values: dict[str, Any], where: str, notes: Notes) -> None:
    """Drop samples that are no latency, and columns that do not belong to the latencies they stand beside."""
    ms = values.get("ms", [])
    good = [isinstance(v, float) and 0 < v < LARGEST for v in ms]
    for name in _COLUMNS:
        column = values.get(name, [])
        if column and (len(column) != len(ms) or None in column):
            notes.add(f"{where}.{name} does not match the {len(ms)} samples and was left out")
            column = []
        values[name] = column
    if all(good):
        return
    bad = len(good) - sum(good)
    notes.add(f"{where}: {bad} of {len(good)} samples are no positive number and were left out")
    for name in ("ms", *_COLUMNS):
        if values[name]:
            values[name] = [v for v, keep in zip(values[name], good, strict=True) if keep]


def _read(hint: Any, value: Any, where: str, notes: Notes) -> Any:
    """`value` as the type `hint` says; raises Mismatch with what was expected."""
    origin, args = get_origin(hint), get_args(hint)
    if hint is Any:
        return clean_json(value)
    if origin in (Union, types.UnionType):
        if value is None and type(None) in args:
            return None
        return _read(next(a for a in args if a is not type(None)), value, where, notes)
    if origin is Literal:
        if value not in args:
            raise Mismatch("one of " + ", ".join(map(str, args)))
        return value
    if origin is list:
        return _read_list(args[0], value, where, notes)
    if origin is tuple:
        return _read_interval(value)
    if origin is dict:
        return _read_dict(args, value, where, notes)
    if is_dataclass(hint):
        return read_dataclass(hint, value, where, notes)  # type: ignore[arg-type]
    if isinstance(hint, type) and issubclass(hint, Enum):
        try:
            return hint(value)
        except (ValueError, TypeError):
            raise Mismatch("one of " + ", ".join(str(m.value) for m in hint)) from None
    return _read_scalar(hint, value)


def _read_scalar(hint: Any, value: Any) -> Any:
    if hint is str and isinstance(value, str):
        return clean_text(value)
    if hint is bool and isinstance(value, bool):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        number = finite(value)
        if hint is float and number is not None:
            return number
        if hint is int and number is not None and number == int(number) and abs(number) < 2**53:
            return int(number)
    raise Mismatch(_EXPECTED[hint])


def _read_list(item: Any, value: Any, where: str, notes: Notes) -> list[Any]:
    if not isinstance(value, list):
        raise Mismatch("a list")
    if item in (float, int, bool):
        return _read_column(item, value)
    out = []
    for index, element in enumerate(value):
        out.extend(_try_read(item, element, f"{where}[{index}]", notes))
    return out


def _read_column(item: Any, value: list[Any]) -> list[Any]:
    """A column of up to 10^6 numbers, None for what is none: one pass by type, `_read` would take seconds."""
    kinds = set(map(type, value))
    if item is float:
        return [finite(v) if type(v) in (float, int) else None for v in value]
    if item is int and kinds <= {int}:
        return [v if -(2**53) < v < 2**53 else None for v in value]
    return value if kinds <= {item} else [None] * len(value)


def _try_read(hint: Any, value: Any, where: str, notes: Notes) -> list[Any]:
    """The value in a list, or an empty one and a note."""
    try:
        return [_read(hint, value, where, notes)]
    except Mismatch as wanted:
        notes.add(f"{where} is not {wanted} and was left out")
        return []


def _read_interval(value: Any) -> tuple[float, float]:
    if isinstance(value, list | tuple) and len(value) == 2 and all(type(v) in (float, int) for v in value):
        low, high = finite(value[0]), finite(value[1])
        if low is not None and high is not None and 0 < low <= high:
            return low, high
    raise Mismatch("an interval [low, high] of positive numbers")


def _read_dict(args: tuple[Any, ...], value: Any, where: str, notes: Notes) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Mismatch("an object")
    keys = get_args(args[0]) if get_origin(args[0]) is Literal else None
    out: dict[str, Any] = {}
    for raw, element in value.items():
        key = clean_text(raw)
        if keys is not None and key not in keys:
            notes.add(f"{where}.{key[:40]} is not one of {', '.join(keys)} and was left out")
            continue
        for read in _try_read(args[1], element, f"{where}.{key[:40]}", notes):
            out[key] = read
    return out


def _optional(hint: Any) -> bool:
    return get_origin(hint) in (Union, types.UnionType) and type(None) in get_args(hint)


def _missing(hint: Any) -> Any:
    if _optional(hint):
        return None
    if get_origin(hint) is Literal:
        return get_args(hint)[-1]
    if hint in _REQUIRED:
        return _REQUIRED[hint]
    return (get_origin(hint) or hint)()
