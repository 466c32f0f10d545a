"""Make text and JSON from a stranger's file, and names of files, safe for a terminal, a page and a table.

The one definition: code that reads a file cleans its content with these functions, code that prints a name or a library's
message cleans that.
"""

from __future__ import annotations

import math
import re
import sys
import tempfile
import unicodedata
from functools import lru_cache
from pathlib import Path
from typing import Any

MAX_TEXT = 2000
"""Longest string kept, in characters."""
MAX_QUOTED = 80
"""Longest part of a name that a message repeats, in characters."""
MAX_DEPTH = 24
"""Deepest nesting kept."""


def clean_text(text: str, longest: int = MAX_TEXT) -> str:
    """`text` without what can harm a terminal or mislead a reader, at most `longest` characters.

    Line breaks and tabs become spaces; other control, format (bidirectional overrides, zero-width) and
    surrogate characters are removed.
    """
    text = text[: 4 * longest]
    if not text.isprintable():
        text = "".join(map(_clean_character, text))
    return text if len(text) <= longest else text[: longest - 1] + "…"


def mib(size_bytes: float) -> str:
    """A size of memory or of files: `1.4 MiB`, `812 MiB`, `1,340 MiB`."""
    size = size_bytes / (1 << 20)
    return f"{size:.2g} MiB" if size < 1 else f"{size:.1f} MiB" if size < 100 else f"{size:,.0f} MiB"


def quoted(name: object) -> str:
    """A name as a message shows it: in quotes, printable, at most :data:`MAX_QUOTED` characters of it."""
    return repr(clean_text(str(name), MAX_QUOTED))


# An absolute path of two names or more, POSIX or Windows; no URL, no unit (img/s), no cell's id.
_PATH = re.compile(
    r"""(?<![\w/\\.~@%+-])(?!(?<=:)//)(?:file://)?(?:~|[A-Za-z]:)?(?:[/\\]+[^\s/\\'"`:;,<>|*?()\[\]{}]+){2,}[/\\]*"""
)


# The same in quotes, as Python prints it: its names may hold spaces.
_QUOTED_PATH = re.compile(r"""(?<=['"])(?:~|[A-Za-z]:)?[/\\][^'"/\\]*[/\\][^'"]*(?=['"])""")


def without_paths(text: str) -> str:
    """`text` with the last name alone of every path of this machine: for what is shown to others.

    Folders whose names may hold spaces (home, working and temporary folder, Python's) are looked for first.
    """
    for folder in (Path.home, Path.cwd, _temporary, _python):
        try:
            known = folder()
        except (OSError, RuntimeError):  # no home, or the working directory is gone
            continue
        if len(known.parts) > 1:
            text = text.replace(str(known), "~").replace(repr(str(known))[1:-1], "~")
    return _PATH.sub(_last_name, _QUOTED_PATH.sub(_last_name, text))


def _last_name(path: re.Match[str]) -> str:
    return re.split(r"[/\\]+", path[0].rstrip("/\\"))[-1]


def _temporary() -> Path:
    return Path(tempfile.gettempdir())


def _python() -> Path:
    return Path(sys.prefix)


def clean_json(value: object, depth: int = 0, longest: int = MAX_TEXT) -> object:
    """Any decoded JSON with clean strings of at most `longest` characters, finite numbers and bounded depth."""
    if depth > MAX_DEPTH:
        return None
    if isinstance(value, str):
        return clean_text(value, longest)
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int | float):
        return value if finite(value) is not None else None
    if isinstance(value, list | tuple):
        if _are_finite(value):  # samples, nearly all there is
            return list(value)
        return [clean_json(v, depth + 1, longest) for v in value]
    if isinstance(value, dict):
        return {_clean_key(str(k)): clean_json(v, depth + 1, longest) for k, v in value.items()}
    return None


_clean_key = lru_cache(4096)(clean_text)
"""Names of fields, the same in every row."""


def _are_finite(values: list[Any] | tuple[Any, ...]) -> bool:
    """Return whether all are finite numbers or booleans, checked without a Python step for each."""
    if not set(map(type, values)) <= {int, float, bool}:
        return False
    try:
        return math.isfinite(sum(map(abs, values), 0.0))
    except OverflowError:
        return False


def finite(value: float) -> float | None:
    """`value` as a float, or None for NaN, infinities and integers beyond what a float holds."""
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _clean_character(character: str) -> str:
    if character in "\n\r\t\u2028\u2029":
        return " "
    return "" if unicodedata.category(character) in ("Cc", "Cf", "Cs", "Co") else character
