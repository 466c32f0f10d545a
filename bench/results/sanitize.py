"""Make text and JSON from a stranger's file safe for a terminal, a page and a table."""

from __future__ import annotations

import math
import unicodedata
from typing import Any

MAX_TEXT = 2000
"""Longest string kept, in characters."""
MAX_DEPTH = 24
"""Deepest nesting kept."""


def clean_text(text: str) -> str:
    """`text` without what can harm a terminal or mislead a reader, at most :data:`MAX_TEXT` characters.

    Line breaks and tabs become spaces; other control, format (bidirectional overrides, zero-width) and
    surrogate characters are removed.
    """
    text = text[: 4 * MAX_TEXT]
    if not text.isascii() or not text.isprintable():
        text = "".join(map(_clean_character, text))
    return text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 1] + "…"


def clean_json(value: Any, depth: int = 0) -> Any:
    """Any decoded JSON with clean strings, finite numbers and bounded depth."""
    if depth > MAX_DEPTH:
        return None
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int | float):
        return value if finite(value) is not None else None
    if isinstance(value, list | tuple):
        return [clean_json(v, depth + 1) for v in value]
    if isinstance(value, dict):
        return {clean_text(str(k)): clean_json(v, depth + 1) for k, v in value.items()}
    return None


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
