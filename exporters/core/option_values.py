"""Values of a format's options as the command line (texts) and Python (any type) give them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from depthport.exporters.core.errors import UsageError

_WORDS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def choice(format: str, given: Mapping[str, Any], name: str, known: tuple[str, ...], default: str) -> str:
    """One of `known`.

    Raises:
        UsageError: another value.
    """
    value = str(given.get(name, default))
    if value not in known:
        raise UsageError(f"option {name} of format {format!r} is one of {', '.join(known)}, not {value!r}")
    return value


def flag(format: str, given: Mapping[str, Any], name: str, default: bool) -> bool:
    """True or false, or a word for it.

    Raises:
        UsageError: another value.
    """
    value = given.get(name, default)
    if isinstance(value, bool):
        return value
    if str(value).lower() not in _WORDS:
        raise UsageError(f"option {name} of format {format!r} is true or false, not {value!r}")
    return _WORDS[str(value).lower()]


def items(given: Mapping[str, Any], name: str) -> list[str]:
    """A list, or a text with commas."""
    value = given.get(name, ())
    parts = value.split(",") if isinstance(value, str) else list(value)
    return [str(part).strip() for part in parts if str(part).strip()]
