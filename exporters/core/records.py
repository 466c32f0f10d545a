"""Build frozen dataclasses from a stranger's JSON by their type hints: every value of the declared type, or one error.

The strict counterpart of the results' reader (bench/results/tolerant.py), for files that are used or refused as a
whole.
"""

from __future__ import annotations

import math
import types
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import lru_cache
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")

LARGEST = 2**63 - 1
"""No count or size of a file is larger, and arithmetic with larger ones overflows where it meets C."""


def read_record(cls: type[T], data: object, where: str = "") -> T:
    """An instance of a dataclass from decoded JSON; lists become the tuples that are declared.

    Raises:
        ValueError: a field is missing, unknown or of another type; the message names it.
    """
    if not isinstance(data, Mapping):
        raise ValueError(f"{where or 'it'} is not an object")
    hints = _hints(cls)  # type: ignore[arg-type]
    unknown = [str(name) for name in data if name not in hints]
    if unknown:
        raise ValueError(f"{_place(where, unknown[0])} is not a field of it")
    values = {}
    for field in fields(cls):  # type: ignore[arg-type]
        if field.name in data:
            values[field.name] = _read(hints[field.name], data[field.name], _place(where, field.name))
        elif field.default is MISSING and field.default_factory is MISSING:
            raise ValueError(f"{_place(where, field.name)} is missing")
    return cls(**values)


@lru_cache(maxsize=32)
def _hints(cls: Any) -> dict[str, Any]:
    return get_type_hints(cls)


def _place(where: str, name: str) -> str:
    return f"{where}.{name[:40]}".lstrip(".")


def _read(hint: Any, value: Any, where: str) -> Any:
    origin, args = get_origin(hint), get_args(hint)
    if hint is Any:
        return value
    if origin in (Union, types.UnionType):
        return _read_union(args, value, where)
    if is_dataclass(hint):
        return read_record(hint, value, where)  # type: ignore[arg-type]
    if origin is dict:
        if not isinstance(value, Mapping):
            raise ValueError(f"{where} is not an object")
        return {key: _read(args[1], element, _place(where, key)) for key, element in value.items()}
    if origin is tuple:
        if not isinstance(value, list | tuple) or (args[-1] is not Ellipsis and len(value) != len(args)):
            raise ValueError(f"{where} is not a list of {'values' if args[-1] is Ellipsis else len(args)}")
        wanted = [args[0]] * len(value) if args[-1] is Ellipsis else args
        return tuple(
            _read(hint, element, f"{where}[{i}]") for i, (hint, element) in enumerate(zip(wanted, value, strict=True))
        )
    return _read_scalar(hint, value, where)


def _read_union(args: tuple[Any, ...], value: Any, where: str) -> Any:
    for hint in args:
        try:
            return None if hint is types.NoneType and value is None else _read(hint, value, where)
        except (ValueError, TypeError):
            continue
    raise ValueError(f"{where} has another type than it should")


def _read_scalar(hint: Any, value: Any, where: str) -> Any:
    if hint is float and type(value) in (int, float) and abs(value) <= LARGEST and math.isfinite(value):
        return float(value)
    if type(value) is hint and (hint is not int or abs(value) <= LARGEST):
        return value
    raise ValueError(f"{where} is not {_NAMES.get(hint, 'of the right type')}")


_NAMES = {str: "a text", int: "a whole number", float: "a finite number", bool: "true or false"}
