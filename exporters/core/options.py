"""Options of a format, declared once: the fields of a :class:`Options`, read, checked and described from there.

A field is an option. Its type says what it takes, its default what holds where nobody asks, the text below it what it
means: messages, `depthport export --help` and exporters/OPTIONS.md say it with these.
"""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from types import NoneType, UnionType
from typing import Annotated, ClassVar, Literal, TypeVar, Union, get_args, get_origin

import msgspec
from msgspec import Meta, ValidationError

from depthport.exporters.core.declared import field_texts
from depthport.exporters.core.errors import UsageError
from depthport.exporters.core.text import quoted

Above0 = Annotated[float, Meta(gt=0, le=1e300)]


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Options of one format or runtime, beside those that all take."""

    where: ClassVar[str] = ""
    """Case in which these apply, where a format has several kinds (`precision int8`)."""


Kind = TypeVar("Kind", bound=Options)
_SWITCHES = {"yes": True, "no": False}


def read_options(kind: type[Kind], given: Mapping[str, object], of: str) -> Kind:
    """Options as the command line (texts) and Python (any type) give them; None is not given.

    Args:
        of: whose options they are, for the message: `format 'onnx'`.

    Raises:
        UsageError: an unknown name, or a value that its option does not take.
    """
    fields = {field.name: field.type for field in msgspec.structs.fields(kind)}
    values = {}
    for name, value in given.items():
        if name not in fields:
            near = get_close_matches(name, fields, 1)
            guess = f"did you mean {near[0]!r}? " if near else ""
            raise UsageError(f"{of} has no option {quoted(name)[:42]}: {guess}it has {', '.join(fields) or 'none'}")
        if value is not None:
            values[name] = _read(fields[name], name, value, of)
    return kind(**values)


def _read(kind: object, name: str, value: object, of: str) -> object:
    origins = {get_origin(member) or member for member in _members(kind)}
    if isinstance(value, str) and tuple in origins:
        value = [part.strip() for part in value.split(",") if part.strip()] or value  # commas alone are no list
    if isinstance(value, str) and bool in origins:
        value = _SWITCHES.get(value.lower(), value)
    try:
        return msgspec.convert(value, kind, strict=False)
    except ValidationError:
        raise UsageError(f"option {name} of {of} is {takes(kind)}, not {quoted(value)}") from None


def takes(kind: object) -> str:
    """The values of a type in words: `true or false`, `one of export, trace`, `a number above 0`."""
    return " or ".join(_words(member) for member in _members(kind))


def _members(kind: object) -> list[object]:
    """The members of a union beside None."""
    members = get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)
    return [member for member in members if member is not NoneType]


def _words(kind: object) -> str:
    origin, args = get_origin(kind), get_args(kind)
    if origin is Literal:
        return f"one of {', '.join(args)}"
    if origin is list:
        return "a list of texts"
    if origin is tuple:
        one_of = _words(args[0]).removeprefix("one of ")
        return "texts with commas between" if args[0] is str else f"any of {one_of}, with commas between"
    if origin is Annotated and args[0] is int:
        most = "" if args[1].le is None else f" to {args[1].le}"
        return f"a whole number from {args[1].ge}{most}"
    if origin is Annotated:
        return f"a number above {args[1].gt}"
    if origin is dict:
        return "a mapping of names to values"
    return "true or false" if kind is bool else "a text"


def option_rows(kind: type[Options]) -> list[tuple[str, str, str, str]]:
    """Name, what it takes, default and meaning of every option."""
    texts = field_texts(kind)
    return [
        (field.name, takes(field.type), _default(field.default), " ".join(texts[field.name].split()))
        for field in msgspec.structs.fields(kind)
    ]


def _default(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None or value == () else f"{value:g}" if isinstance(value, float) else str(value)
