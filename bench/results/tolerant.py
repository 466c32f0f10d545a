"""Decoded JSON as a type, keeping what fits and noting what does not.

msgspec reads what is sound whole and says what is wrong with what is damaged. A run of hours is at stake, so damage costs
no more than it must: an object that does not convert is read field by field, a list or mapping item by item, and what
fits nowhere is left out with one line of notes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from types import NoneType, UnionType
from typing import TypeVar, Union, get_args, get_origin, get_type_hints, is_typeddict

import msgspec
from msgspec import Struct

from depthport.bench.results.regimes import LARGEST, SMALLEST
from depthport.bench.results.samples import Samples

MAX_NOTES = 40
S = TypeVar("S", bound=Struct)


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


def read(kind: type[S], data: dict[str, object], notes: Notes) -> S:
    """`data` as `kind`, without what does not fit.

    Raises:
        msgspec.ValidationError: it lacks what it must have; the message says what.
    """
    return _struct(kind, data, "", notes)


def _read(kind: object, data: object, where: str, notes: Notes) -> object:
    # msgspec leaves out what a TypedDict does not know and says nothing: these are read key by key.
    if not _has_sections(kind):
        with suppress(msgspec.ValidationError):
            return msgspec.convert(data, kind)
    origin, args = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType) and (data is not None or NoneType not in args):
        return _read(_member(args, data), data, where, notes)
    if isinstance(data, dict):
        if isinstance(kind, type) and issubclass(kind, Struct):
            return _struct(kind, data, where, notes)
        if is_typeddict(kind):
            return _section(kind, data, where, notes)
        if origin in (dict, Mapping):
            return {key: found for key in data for found in _entry(args, key, data[key], where, notes)}
    if isinstance(data, list) and (origin is list or (origin is tuple and args[-1] is ...)):
        return (origin)(found for i, item in enumerate(data) for found in _try(args[0], item, f"{where}[{i}]", notes))
    return msgspec.convert(data, kind)  # which says what is wrong


def _has_sections(kind: object) -> bool:
    return is_typeddict(kind) or any(map(_has_sections, get_args(kind)))


def _section(kind: object, data: dict[str, object], where: str, notes: Notes) -> dict[str, object]:
    """Key by key."""
    kinds = get_type_hints(kind)
    _note_unknown(data.keys() - kinds.keys(), where, notes)
    return {
        name: found for name in data if name in kinds for found in _try(kinds[name], data[name], f"{where}.{name}", notes)
    }


def _note_unknown(names: Iterable[str], where: str, notes: Notes) -> None:
    for name in sorted(names):
        notes.add(f"{where}.{name[:40]} is not known to this version and was left out".lstrip("."))


def _try(kind: object, data: object, where: str, notes: Notes) -> list[object]:
    """The value in a list, or an empty one and a note."""
    try:
        return [_read(kind, data, where, notes)]
    except msgspec.ValidationError as error:
        reason = str(error).partition(" - at `$")[0][:120]
        notes.add(f"{where} was left out: {reason[0].lower()}{reason[1:]}")
        return []


def _entry(kinds: tuple[object, ...], key: str, data: object, where: str, notes: Notes) -> list[object]:
    """The value of a mapping's key, if the key is one that it may have."""
    place = f"{where}.{key[:40]}"
    return _try(kinds[1], data, place, notes) if _try(kinds[0], key, place, notes) else []


def _member(members: tuple[object, ...], data: object) -> object:
    """The member of a union that `data` was meant to be: by its tag, else the first that is more than None."""
    for member in members:
        config = getattr(member, "__struct_config__", None)
        if config is not None and config.tag and isinstance(data, dict) and data.get(config.tag_field) == config.tag:
            return member
    return next(member for member in members if member is not NoneType)


def _struct(kind: type[S], data: dict[str, object], where: str, notes: Notes) -> S:
    """Field by field."""
    if kind is Samples:
        data = _latencies_alone(data, where, notes)
    fields = msgspec.structs.fields(kind)
    _note_unknown(data.keys() - {field.name for field in fields} - {kind.__struct_config__.tag_field}, where, notes)
    values = {}
    for field in fields:
        place = f"{where}.{field.name}".lstrip(".")
        found = _try(field.type, data[field.name], place, notes) if field.name in data else []
        if not found and field.required:
            found = _blank(field.type)
            if not found:
                raise msgspec.ValidationError(f"`{field.name}` is missing or damaged")
            if field.name not in data and found != [None]:
                notes.add(f"{place} is missing")
        if found:
            values[field.name] = found[0]
    while True:
        try:
            return kind(**values)
        except ValueError as error:  # fields that do not go together; the message begins with the one to leave out
            name = str(error).split("`")[1]
            values[name] = _blank(next(field.type for field in fields if field.name == name))[0]
            notes.add(f"{where}.{name} was left out: {error}")


def _blank(kind: object) -> list[object]:
    """Return, in a list, the value of a field about which nothing is known; an empty list if it must be known."""
    blanks: tuple[object, ...] = (None, {}, [])
    for value in blanks:
        with suppress(msgspec.ValidationError):
            return [msgspec.convert(value, kind)]
    return []


def _latencies_alone(data: dict[str, object], where: str, notes: Notes) -> dict[str, object]:
    """Samples without those that are no latency, in every column."""
    ms = data.get("ms")
    keep = [type(v) in (int, float) and SMALLEST <= v < LARGEST for v in ms] if isinstance(ms, list) else []
    if all(keep):
        return data
    notes.add(f"{where}: {keep.count(False)} of {len(keep)} samples are not a positive number and were left out")
    return {
        name: [v for v, good in zip(column, keep, strict=True) if good]
        if isinstance(column, list) and len(column) == len(keep)
        else column
        for name, column in data.items()
    }
