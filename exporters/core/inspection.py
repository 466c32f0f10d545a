"""What can be said about an artifact beyond its manifest, as tables: data here, printed by the command line."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Table:
    """One question and its answer."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""
    """How to read it, in a sentence."""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)
