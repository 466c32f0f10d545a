"""A page of a headless browser: what is said of a browser that ends."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from depthport.runtimes.host.chromium import last_words
from depthport.runtimes.host.page import Page, PageError, holds_page


@pytest.mark.browser
def test_a_browser_that_ends_at_once_says_what_it_said(tmp_path: Path) -> None:
    browser = tmp_path / "browser"
    browser.write_text("#!/bin/sh\necho first; echo no display >&2; exit 3\n", encoding="utf-8")
    browser.chmod(0o755)
    page = Page(str(browser), {})
    try:
        with pytest.raises(PageError, match=r"the browser has ended \(no display\)"):
            page.ask("report")
    finally:
        page.close()


def test_why_a_browser_ended_is_its_fatal_line() -> None:
    assert last_words("a\n[1:FATAL:x.cc(3)] no room\n[1:ERROR:y.cc(4)] broken pipe\n\n") == "[1:FATAL:x.cc(3)] no room"
    assert last_words("first\nlast\n") == "last"
    assert last_words("\n") == ""


@pytest.mark.parametrize("error", [psutil.NoSuchProcess, psutil.ZombieProcess, psutil.AccessDenied])
def test_a_process_that_has_just_ended_holds_no_page(error: type[psutil.Error], monkeypatch: pytest.MonkeyPatch) -> None:
    def ended(process: psutil.Process) -> list[str]:
        raise error(process.pid)

    monkeypatch.setattr(psutil.Process, "cmdline", ended)
    assert not holds_page(psutil.Process())
