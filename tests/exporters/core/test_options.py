"""Options declared as types: what is read of them, what is said of them."""

from __future__ import annotations

from typing import Annotated, Literal

import pytest
from msgspec import Meta

from depthport.exporters.core.errors import UsageError
from depthport.exporters.core.options import Above0, Options, option_rows, read_options, takes
from depthport.exporters.options_page import PAGE, page
from depthport.exporters.registry import get_exporter, installed_exporters
from tests.support.paths import ROOT


class Some(Options, frozen=True):
    level: Annotated[int, Meta(ge=0, le=5)] = 3
    """How hard."""
    share: Above0 | None = None
    """Of what,
    in words."""
    fast: bool = False
    """Whether."""
    kind: Literal["plain", "odd"] = "plain"
    """Which."""
    parts: tuple[str, ...] = ()
    """Several."""


def test_texts_of_the_command_line_are_values() -> None:
    given = {"level": "4", "share": "0.5", "fast": "yes", "kind": "odd", "parts": "a, b"}
    assert read_options(Some, given, "format 'x'") == Some(level=4, share=0.5, fast=True, kind="odd", parts=("a", "b"))
    assert read_options(Some, {"share": None}, "format 'x'") == Some()


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"levle": 4}, "format 'x' has no option 'levle': did you mean 'level'"),
        ({"zzz": 4}, "format 'x' has no option 'zzz': it has level, share, fast, kind, parts"),
        ({"level": 6}, "option level of format 'x' is a whole number from 0 to 5, not '6'"),
        ({"level": True}, "option level .* is a whole number"),
        ({"share": 0}, "option share .* is a number above 0"),
        ({"share": float("inf")}, "option share .* is a number above 0"),
        ({"share": float("nan")}, "option share .* is a number above 0"),
        ({"fast": "maybe"}, "option fast .* is true or false, not 'maybe'"),
        ({"kind": "od"}, "option kind .* is one of plain, odd, not 'od'"),
        ({"parts": 3}, "option parts .* is texts with commas between"),
        ({"parts": " ,, "}, "option parts .* is texts with commas between, not ' ,, '"),
        ({"x" * 10_000: 3}, "has no option"),
        ({"kind": "\x1b[31m" + "x" * 10_000}, "option kind .* is one of plain, odd, not"),
    ],
)
def test_a_wrong_one_is_one_short_line(given: dict[str, object], complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint) as raised:
        read_options(Some, given, "format 'x'")
    assert str(raised.value).isprintable() and len(str(raised.value)) <= 300


def test_a_type_describes_itself() -> None:
    rows = option_rows(Some)
    assert rows[0] == ("level", "a whole number from 0 to 5", "3", "How hard.")
    assert rows[1] == ("share", "a number above 0", "", "Of what, in words.")
    assert takes(bool | str | None) == "true or false or a text"


def test_no_format_takes_what_it_does_not_declare() -> None:
    for exporter in installed_exporters():
        for kind in exporter.takes:
            assert all(meaning for *_, meaning in option_rows(kind)), f"an option of {exporter.format} says nothing"
            with pytest.raises(UsageError, match="did you mean") as raised:
                read_options(kind, {f"{kind.__struct_fields__[0]}_": 1}, f"format {exporter.format!r}")
            assert len(str(raised.value)) <= 300
    assert get_exporter("executorch").takes == ()


def test_the_page_of_options_is_made_from_them() -> None:
    assert (ROOT / PAGE).read_text(encoding="utf-8") == page(), "python -m depthport.exporters.options_page"
