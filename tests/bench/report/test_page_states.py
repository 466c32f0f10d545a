"""The page's states: on paper, on a phone, without scripts, filtered, sorted, folded, saved."""

from __future__ import annotations

import csv
import io
import json
import re
import time
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs
from msgspec.structs import force_setattr

from depthport.bench.report.write import write_report
from depthport.bench.results.model import Control, Results
from depthport.bench.results.regimes import Onset, SustainedSummary, Window
from tests.support import results as fixtures
from tests.support.simulated_run import Workload

pytestmark = pytest.mark.browser
SHEET_PX = 186 / 25.4 * 96
"""The width of a sheet's text: A4 less its margins."""


def page_of(folder: Path, *sources: Results) -> Path:
    return write_report(list(sources), folder, ("html",))[0]


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return page_of(tmp_path_factory.mktemp("one"), fixtures.h100())


@pytest.fixture(scope="module")
def four(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four workloads of one machine, whose weights are synthetic."""
    rows = tuple(row for row in fixtures.H100_ROWS if not row.failed)
    runs = [
        fixtures.results(fixtures.H100, rows, Workload("da3-large", (1, views, 504, 504), "synthetic:0"), fixtures.FEW)
        for views in (1, 2, 5, 8)
    ]
    return page_of(tmp_path_factory.mktemp("four"), *runs)


def widths(browser: Any, selector: str) -> list[float]:
    found = browser.js(
        "return [...document.querySelectorAll(arguments[0])].map(e => e.getBoundingClientRect().width)", selector
    )
    return [float(width) for width in found]


@pytest.mark.parametrize("width", [390, 768, 1400])
@pytest.mark.parametrize(("page", "columns"), [("one", 1), ("four", 2)])
def test_on_paper_the_answer_has_the_sheet_and_charts_fill_their_place(
    chromium: Callable[..., Any], page: str, columns: int, width: int, request: pytest.FixtureRequest
) -> None:
    browser = chromium().open(request.getfixturevalue(page), width)
    browser.js("dispatchEvent(new Event('beforeprint'))")
    cards = widths(browser, "#answer .answer")
    assert min(cards) > 0.96 * SHEET_PX / columns - 10
    drawn = browser.js(
        "return [...document.querySelectorAll('.plot')].filter(p => p.clientWidth > 40)"
        ".map(p => [p.clientWidth, p.querySelector('svg')?.getBoundingClientRect().width ?? 0])"
    )
    assert drawn and all(abs(box - svg) <= 1 for box, svg in drawn if svg)
    browser.js("dispatchEvent(new Event('afterprint'))")
    assert max(widths(browser, "#answer .answer")) <= width
    assert browser.js("return document.documentElement.scrollWidth") <= width


def test_the_printed_sheets_hold_no_letters_wide_column(chromium: Callable[..., Any], one: Path, four: Path) -> None:
    for page in (one, four):
        browser = chromium().open(page)
        pdf = browser.driver.execute_cdp_cmd("Page.printToPDF", {"printBackground": True, "preferCSSPageSize": True})
        assert len(pdf["data"]) > 10_000


def test_without_a_script_the_answer_stands_in_the_page(chromium: Callable[..., Any], one: Path) -> None:
    browser = chromium()
    browser.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        browser.driver.get(one.as_uri())
        shown = browser.all("#answer")[0].text
        assert "report.md has the same figures" in browser.all("main")[0].text
    finally:
        browser.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
    assert "Take TensorRT · bf16" in shown and "tensorrt/cuda/default/bf16" in shown and "faster than upstream" in shown
    assert "pytorch/cuda/upstream/bf16-mixed" in shown  # its rivals, as a table


def test_a_phone_shows_figures_beside_every_name(chromium: Callable[..., Any], four: Path) -> None:
    browser = chromium().open(four, 390, 844)
    browser.js("document.querySelector('#cells').scrollIntoView()")
    row = browser.all("#cells tr[data-cell]")[0]
    boxes = browser.js(
        "return [...arguments[0].children].map(e => e.getBoundingClientRect()).map(r => [r.left, r.right, r.top])", row
    )
    name, latency, throughput = boxes[:3]
    assert name[0] >= 0 and name[1] <= 390
    assert latency[2] > name[2] and latency[0] >= 0 and throughput[1] <= 390


@pytest.mark.parametrize("width", [390, 768, 1400])
@pytest.mark.parametrize("page", ["one", "four"])
def test_navigation_is_never_cut(
    chromium: Callable[..., Any], page: str, width: int, request: pytest.FixtureRequest
) -> None:
    browser = chromium().open(request.getfixturevalue(page), width)
    boxes = browser.js(
        "const bar = document.querySelector('.top').getBoundingClientRect(); return [...document.querySelectorAll("
        "'#nav > a, #nav > details > summary')].map(e => { const r = e.getBoundingClientRect(); "
        "return [r.left, r.right - innerWidth, bar.top - r.top, r.bottom - bar.bottom, e.scrollWidth - e.clientWidth]; })"
    )
    assert len(boxes) >= 6
    assert all(left >= 0 and max(rest) <= 0.5 for left, *rest in boxes)


def test_headings_are_told_apart(chromium: Callable[..., Any], four: Path) -> None:
    browser = chromium().open(four)
    names = browser.js("return [...document.querySelectorAll('h1, h2, h3')].map(e => e.textContent)")
    rivals = names.count("Against the others")
    assert len(set(names)) == len(names) - (rivals - 1)
    sizes = browser.js(
        "return ['h1', '.part h2', 'h3'].map(s => parseFloat(getComputedStyle(document.querySelector(s)).fontSize))"
    )
    assert sizes[0] > 1.2 * sizes[1] > 1.2 * 1.3 * sizes[2]


def test_what_says_nothing_is_folded(chromium: Callable[..., Any], four: Path, tmp_path: Path) -> None:
    browser = chromium().open(four)
    folded = {e.text.split("\n")[0].split(",")[0] for e in browser.all("#group-0 .folded > summary")}
    assert "Accuracy against ground truth" in folded
    lone = fixtures.results(fixtures.H100, fixtures.H100_ROWS[:1], fixtures.LARGE, fixtures.FEW)
    browser.open(page_of(tmp_path, lone))
    folded = {e.text.split("\n")[0] for e in browser.all("#group-0 .folded > summary")}
    assert {"Latency", "Latency against parity", "By precision", "By mode"} <= folded


def test_eight_columns_and_a_chooser(chromium: Callable[..., Any], one: Path) -> None:
    browser = chromium().open(one)
    heads = "return [...document.querySelectorAll('#cells thead th')].map(e => e.textContent)"
    assert len(browser.js(heads)) == 8 and "Load" not in browser.js(heads)
    browser.js("document.querySelector('.tools details').open = true")
    box = next(label for label in browser.all(".tools label") if label.text == "Load")
    box.click()
    assert len(browser.js(heads)) == 9 and "Load" in browser.js(heads)
    assert "load" in browser.js("return new URLSearchParams(location.search).get('columns')").split(",")
    box.click()
    assert browser.js("return location.search") == ""
    browser.open(one, query="?columns=ratio,nonsense,n")
    assert browser.js(heads) == ["Cell", "vs upstream [95 %]", "n"]


def test_filters_are_in_the_address_and_come_back_from_it(chromium: Callable[..., Any], one: Path) -> None:
    browser = chromium().open(one)
    browser.all("#filters input")[0].send_keys("compile")
    select = "const s = document.querySelectorAll('#filters select')[arguments[0]]; s.value = arguments[1];"
    browser.js(select + "s.dispatchEvent(new Event('change'))", 2, "bf16")
    query = browser.js("return location.search")
    assert sorted(query[1:].split("&")) == ["precision=bf16", "text=compile"]
    browser.open(one, query=query)
    assert [row.get_attribute("data-cell") is not None for row in browser.all("#cells tbody tr")] == [True]
    assert browser.all("#filters input")[0].get_attribute("value") == "compile"
    browser.open(one, query="?runtime=<script>&status=__proto__&boundary=x")
    assert len(browser.all("#cells tr[data-cell]")) == len(fixtures.h100().cells)


def test_an_empty_filter_says_so_everywhere(chromium: Callable[..., Any], four: Path) -> None:
    browser = chromium().open(four)
    browser.all("#filters input")[0].send_keys("no such cell")
    assert "No cell" in browser.all("#filters .count")[0].text
    notes = [note for note in browser.all(".none-left") if note.is_displayed()]
    assert len(notes) == 4 and not any(body.is_displayed() for body in browser.all("[id^=group-] > .stack"))
    assert "No cell matches" in browser.all("#cells tbody")[0].text
    notes[0].find_element("css selector", "button").click()
    assert not any(note.is_displayed() for note in browser.all(".none-left"))


def test_focus_stays_in_the_list_after_a_series_is_removed(chromium: Callable[..., Any], one: Path) -> None:
    from selenium.webdriver.common.keys import Keys

    browser = chromium().open(one)
    for left in (2, 1, 0):
        button = browser.all(".series button.remove")[0]
        browser.js("arguments[0].focus()", button)
        button.send_keys(Keys.ENTER)
        focused = browser.js("return [document.activeElement.className, document.activeElement.tagName]")
        assert len(browser.all(".series")) == left
        assert focused == (["ghost remove", "BUTTON"] if left else ["", "SELECT"])


def test_cells_are_saved_as_csv_with_every_digit(chromium: Callable[..., Any], one: Path, tmp_path: Path) -> None:
    browser = chromium().open(one)
    browser.driver.execute_cdp_cmd("Page.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path)})
    next(button for button in browser.all(".tools button") if button.text == "Download CSV").click()
    target = tmp_path / "depthport-cells.csv"
    for _ in range(100):
        if target.exists():
            break
        time.sleep(0.1)
    rows = list(csv.DictReader(io.StringIO(target.read_bytes().decode("utf-8-sig"))))
    cells = {cell.id: cell for cell in fixtures.h100().cells}
    assert {row["cell"] for row in rows} == set(cells)
    for row in rows:
        timing = cells[row["cell"]].timing.get("device")
        assert row["median_ms"] == "" if timing is None else float(row["median_ms"]) == timing.median_ms


def test_the_table_is_copied_as_it_is_shown(chromium: Callable[..., Any], one: Path) -> None:
    browser = chromium().open(one)
    browser.js("navigator.clipboard.writeText = async (text) => { window.copied = text; }")
    next(button for button in browser.all(".tools button") if button.text == "Copy table").click()
    lines = str(browser.js("return window.copied")).splitlines()
    assert len(lines) == len(fixtures.h100().cells) + 1 and lines[0].split("\t")[2:4] == ["Cell", "Latency [95 %], ms"]
    assert all(line.count("\t") == lines[0].count("\t") for line in lines)


class Text(HTMLParser):
    """All text outside of scripts and styles."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.parts: list[str] = []
        self.feed(page.split("<script")[0].split("</style>")[1])

    def handle_data(self, data: str) -> None:
        self.parts.append(data)


@pytest.mark.parametrize(
    ("verdict", "chip", "words"),
    [("inconclusive", "? controls too short to tell", "too short to tell"), ("slower", "✗ a control failed", "failed")],
)
def test_page_and_markdown_lose_the_imperative_together(tmp_path: Path, verdict: str, chip: str, words: str) -> None:
    results = fixtures.h100()
    results.controls["aa"] = Control(1.0, (0.9, 1.1), verdict, "equivalent", False)
    page, text = (path.read_text(encoding="utf-8") for path in reversed(write_report([results], tmp_path)))
    shown = "".join(Text(page).parts)
    assert "Perhaps TensorRT · bf16" in shown and chip in shown and "measured faster than upstream" in shown
    assert "Perhaps" in text and "measured faster than upstream" in text and words in text
    for written in (shown, text):
        assert not re.search(r"\bTake\b", written)
    data = json.loads(re.findall(r'id="data">(.*?)</script>', page, re.DOTALL)[0])
    mark = data["machines"][0]["runs"][0]["controls"][0][4]
    assert mark == ("?" if verdict == "inconclusive" else "✗")


def test_the_third_state_of_a_control_is_said_in_its_table(chromium: Callable[..., Any], tmp_path: Path) -> None:
    results = fixtures.h100()
    results.controls["aa"] = structs.replace(results.controls["aa"], ok=False, verdict="inconclusive")
    force_setattr(results, "controls", results.controls)
    browser = chromium().open(page_of(tmp_path, results))
    assert "? too short to tell, equivalent was expected" in browser.all("#trust")[0].text


def test_a_run_over_minutes_answers_in_its_own_words(chromium: Callable[..., Any], tmp_path: Path) -> None:
    results = fixtures.h100()
    for index, cell in enumerate(results.cells):
        median = cell.timing["device"].median_ms if cell.timing else None
        if median:
            windows = tuple(Window(10.0 * k, 20, median, median) for k in range(60))
            slower = Onset(30, 300.0, 1.05) if index == 0 else None
            found = SustainedSummary(600.0, 1200, 10.0, windows, 60.0, median, median, 1.0, (0.99, 1.01), slower)
            results.cells[index] = structs.replace(cell, timing={}, speedup={}, regime=found)
    browser = chromium().open(page_of(tmp_path, structs.replace(results, controls={})))
    assert browser.all("#answer .take")[0].text == "1 of 9 slow down within 10 min of load"
    assert len(browser.all("#answer .rivals svg")) == 1 and browser.errors() == []
