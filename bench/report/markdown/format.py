"""Markdown as GitHub renders it: escaping, tables, notes. Every text from a results file goes through `escape`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from depthport.exporters.core.inspection import Table

_INLINE = re.compile(r"[\\`*\[\]<|~$@]|&(?=#?\w+;)")
_EDGE_UNDERSCORE = re.compile(r"(?<![^\W_])_|_(?![^\W_])")
_ADDRESS = re.compile(r":(?=//)|:(?=[\w+-]+:)|(?<=www)\.", re.IGNORECASE)
LONGEST = 160
"""Characters of one text in a table or a list; longer ones end in an ellipsis."""


def escape(text: object, longest: int = LONGEST) -> str:
    """`text` as inline Markdown that shows exactly its characters: no link, image, HTML, mention, table bar.

    Bare addresses (which GitHub makes links of), emoji short codes and formulas are broken up as well. An underscore
    between letters is literal on GitHub and stays, so that identifiers remain readable in the source.
    """
    flat = _INLINE.sub(lambda match: "\\" + match[0], _clipped(text, longest))
    flat = _ADDRESS.sub(lambda match: "\\" + match[0], _EDGE_UNDERSCORE.sub(r"\\_", flat))
    if flat[:1].isdigit():
        return re.sub(r"^(\d+)([.)])(?=\s|$)", r"\1\\\2", flat)
    return re.sub(r"^[-+=>#]", lambda match: "\\" + match[0], flat)


def code(text: object, longest: int = LONGEST) -> str:
    """`text` as a code span that it can't leave, also inside a table."""
    flat = _clipped(text, longest).replace("`", "ˋ").replace("|", "¦")
    return f"`{flat}`" if flat else "–"


def _clipped(text: object, longest: int) -> str:
    flat = " ".join(str(text).split())
    return flat if len(flat) <= longest else flat[: longest - 1] + "…"


def table(head: Sequence[str], rows: Iterable[Sequence[str]], align: str = "") -> str:
    """A table; `align` holds one of `l`, `r`, `c` a column. Cells are Markdown already. Empty without rows.

    A figure (in a right-aligned column) is broken over lines only around its interval, so that a table of
    seven columns fits the 830 pixels that GitHub gives it.
    """
    numeric = {i for i, mark in enumerate(align) if mark == "r"}
    body = [f"| {' | '.join(_whole(text) if i in numeric else text for i, text in enumerate(row))} |" for row in rows]
    if not body:
        return ""
    marks = {"l": ":---", "r": "---:", "c": ":---:"}
    rule = " | ".join(marks[a] for a in align.ljust(len(head), "l")[: len(head)])
    titles = [name.replace("[95 %]", "[95\u00a0%]") for name in head]
    return "\n".join([f"| {' | '.join(titles)} |", f"| {rule} |", *body])


def as_markdown(value: Table) -> str:
    """The one writer of a :class:`Table` for Markdown: its cells are text, not Markdown."""
    rows = ([escape(cell) for cell in row] for row in value.rows)
    return table([escape(name) for name in value.head], rows, value.align.replace("f", "l"))


def _whole(text: str) -> str:
    whole = text.replace(" ", "\u00a0")
    for place in ("\u00a0[", "\u00a0\\[", "]\u00a0"):
        whole = whole.replace(place, place.replace("\u00a0", " "))
    return whole


def bullets(items: Iterable[str]) -> str:
    """Markdown list of `items`."""
    return "\n".join(f"- {item}" for item in items)


def alert(kind: str, lines: Iterable[str]) -> str:
    """A GitHub alert (`WARNING`, `NOTE`, `IMPORTANT`); plain quotes elsewhere."""
    return "\n".join([f"> [!{kind}]", *(f"> {line}" for line in lines)])


def details(summary: str, body: str) -> str:
    """A folded part; `summary` is trusted plain text."""
    return f"<details>\n<summary>{summary}</summary>\n\n{body}\n\n</details>"


def blocks(parts: Iterable[str]) -> str:
    """Parts with one empty line between them; empty parts vanish."""
    return "\n\n".join(part for part in parts if part) + "\n"
