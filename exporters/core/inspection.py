"""Findings on an artifact beyond its manifest, as tables: data here, printed by the command line."""

from __future__ import annotations

from dataclasses import dataclass

from depthport.exporters.core.text import clean_text


@dataclass(frozen=True)
class Table:
    """One question and its answer. What it holds may come from a stranger's file: all text is cleaned here."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""
    """Explanation, in a sentence."""
    align: str = ""
    """`l`, `r` or, where long text may be folded, `f` a column."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "title", clean_text(self.title))
        object.__setattr__(self, "head", tuple(map(clean_text, self.head)))
        object.__setattr__(self, "rows", tuple(tuple(map(clean_text, row)) for row in self.rows))
        object.__setattr__(self, "note", clean_text(self.note))

    def to_json(self) -> dict[str, object]:
        return {"title": self.title, "head": self.head, "rows": self.rows, "note": self.note}
