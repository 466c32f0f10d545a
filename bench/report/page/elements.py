"""HTML elements from Python, as the page's script makes them: whatever is not markup made here is escaped."""

from __future__ import annotations

import html
from collections.abc import Iterable


class Markup(str):
    """Text that is markup already: what :func:`h` made. Any other string goes in as text."""

    __slots__ = ()


def h(tag: str, *children: object, **attributes: object) -> Markup:
    """An element; None children and attributes vanish, lists are flattened.

    `h("p", "text", h("b", "bold"), class_="x")` is a paragraph. An attribute's trailing underscore is dropped, inner ones
    become hyphens (`class_`, `data_group`).
    """
    shown = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{html.escape(str(value), quote=True)}"'
        for name, value in attributes.items()
        if value is not None
    )
    return Markup(f"<{tag}{shown}>{''.join(_inner(children))}</{tag}>")


def join(children: Iterable[Markup | None]) -> Markup:
    """Elements one after the other."""
    return Markup("".join(child for child in children if child is not None))


def clip(text: str, longest: int) -> str:
    """`text` cut to `longest` characters with an ellipsis."""
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def _inner(children: Iterable[object]) -> Iterable[str]:
    for child in children:
        if isinstance(child, Markup):
            yield child
        elif isinstance(child, str):
            yield html.escape(child, quote=False)
        elif isinstance(child, Iterable):
            yield from _inner(child)
        elif child is not None:
            yield html.escape(str(child), quote=False)
