"""The Markdown report has the first report's sections, renders as meant, and shows a stranger's text as text."""

from __future__ import annotations

import json
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import force_setattr

from depthport.bench.report.write import write_report
from depthport.exporters.core.errors import UsageError
from tests.support import results as fixtures
from tests.support.hostile import hostile

markdown_it = pytest.importorskip("markdown_it")


def html(markdown: str) -> str:
    return str(markdown_it.MarkdownIt("gfm-like", {"linkify": False, "html": True}).render(markdown))


class Tags(HTMLParser):
    """Counts tags and keeps the attributes that could fetch or run something."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.attributes: set[tuple[str, str]] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.attributes |= {(name, value or "") for name, value in attrs if name != "style"}


def report(tmp_path: Path, *results: object) -> str:
    (path,) = write_report(list(results), tmp_path, formats=("md",))  # type: ignore[arg-type]
    return path.read_text(encoding="utf-8")


def test_every_section_of_the_first_report(tmp_path: Path) -> None:
    text = report(tmp_path, fixtures.cpu_server(), fixtures.h100())
    for title in ("Executive summary", "Performance overview", "Key findings", "Technical notes", "Methodology"):
        assert f"\n## {title}\n" in text
    assert text.count("**By precision**") + text.count("<summary>By precision") == 2
    assert text.count("**By mode**") + text.count("<summary>By mode") == 2
    assert "**Fastest**" in text and "**Slowest**" in text and "**All configurations**" in text


def test_every_cell_has_a_row_or_its_reason(tmp_path: Path) -> None:
    results = fixtures.cpu_server()
    text = report(tmp_path, results)
    for cell in results.cells:
        lines = [line for line in text.splitlines() if f"`{cell.id}`" in line]
        assert any(line.count("|") >= 5 or (cell.reason and cell.status.value.replace("_", " ") in line) for line in lines)
        if cell.reason:
            assert cell.reason.split(":")[0] in text


def test_tables_render_as_tables(tmp_path: Path) -> None:
    page = html(report(tmp_path, fixtures.cpu_server(), fixtures.h100(), fixtures.mac()))
    assert "| :---" not in page and "<table>" in page


def test_the_answer_comes_first_with_what_is_in_doubt_around_it(tmp_path: Path) -> None:
    results = fixtures.synthetic()
    force_setattr(results.controls["aa"], "ok", False)
    text = report(tmp_path, results)
    order = ["Synthetic weights", "## Executive summary", "**Perhaps** `", "a control failed", "A/A", "## Performance"]
    places = [text.index(part) for part in order]
    assert places == sorted(places) and places[2] < 1000


@pytest.mark.browser
def test_tables_fit_the_column_that_github_gives_them(tmp_path: Path, chromium: Callable[..., Any]) -> None:
    """Folded ones too; a page of the width, type and padding of GitHub's stylesheet is laid out in Chromium."""
    style = (Path(__file__).parent / "github.css").read_text(encoding="utf-8")
    body = html(report(tmp_path, fixtures.cpu_server(), fixtures.h100(), fixtures.mac()))
    page = tmp_path / "github.html"
    page.write_text(f"<!DOCTYPE html><meta charset=utf-8><style>{style}</style><body>{body}", encoding="utf-8")
    browser = chromium()
    browser.driver.get(page.as_uri())
    browser.js("document.querySelectorAll('details').forEach(d => d.open = true)")
    wide = browser.js(
        "return [...document.querySelectorAll('table')].filter(t => t.scrollWidth > t.clientWidth)"
        ".map(t => [t.scrollWidth, t.rows[0].textContent])"
    )
    assert wide == [] and len(browser.all("table")) > 10


def test_hostile_text_stays_text(tmp_path: Path) -> None:
    path = tmp_path / "hostile.json"
    path.write_text(json.dumps(hostile()))
    text = report(tmp_path, path)
    tags = Tags(html(text))
    assert not tags.names & {"script", "img", "a", "iframe", "svg", "object"}
    assert tags.attributes == set()
    assert "secret-host" not in text and "secret-user" not in text


def test_unknown_formats_and_no_source_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="docx"):
        write_report([fixtures.cpu_server(fixtures.FEW)], tmp_path, formats=("docx",))
    with pytest.raises(UsageError, match="at least one"):
        write_report([], tmp_path)


def test_a_stand_in_says_so(tmp_path: Path) -> None:
    results = fixtures.cpu_server()
    cell = next(cell for cell in results.cells if cell.timing)
    force_setattr(cell, "off_target", "it is for phones")
    text = report(tmp_path, results)
    assert f"**Not the target device**: `{cell.id}`. it is for phones." in text
    (page,) = write_report([results], tmp_path, formats=("html",))
    assert "Not the target device" in page.read_text(encoding="utf-8")
