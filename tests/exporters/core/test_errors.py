"""Messages for people: one line, printable, short, whatever a file or a command line puts into them."""

from __future__ import annotations

import pytest

from depthport.exporters.core.errors import tidy


def test_an_ordinary_message_is_as_it_was() -> None:
    text = "unknown model 'da4': choose one of da3-small, da3-base"
    assert tidy(text) == text


@pytest.mark.parametrize("name", ["x" * 2_000_000, "a b " * 500_000, "é" * 5000, "/".join(["folder"] * 2000)])
def test_what_is_quoted_is_cut_to_80_characters(name: str) -> None:
    text = tidy(f"unknown model {name!r}: choose one of da3-small, da3-base")
    assert len(text) <= 140
    assert text.startswith("unknown model '") and text.endswith("': choose one of da3-small, da3-base")


def test_a_long_line_loses_its_middle() -> None:
    text = tidy("can't write to " + "x" * 5000 + ": choose another folder")
    assert len(text) <= 300
    assert text.startswith("can't write to ") and text.endswith(": choose another folder")


def test_nothing_but_printable_characters_in_one_line() -> None:
    text = tidy("a\x1b[31mred\x1b[0m\x07name\u202e\nsecond line\r\x00")
    assert text.isprintable() and "\n" not in text
