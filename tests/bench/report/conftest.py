"""A headless Chromium for the page's tests; they skip, with the reason, where it is missing."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from depthport.runtimes.host.chromium import ARGUMENTS as BROWSER_ARGUMENTS
from depthport.runtimes.host.chromium import browser_environment, find_browser

ARGUMENTS = ("--no-sandbox", "--disable-gpu", *BROWSER_ARGUMENTS)
READY = "return document.documentElement.dataset.ready"


class Browser:
    """One window on one page."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def open(self, page: Path, width: int = 1280, height: int = 900, dark: bool = False, query: str = "") -> Browser:
        """Load a page from disk and wait until it has drawn itself."""
        from selenium.webdriver.support.ui import WebDriverWait

        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        self.driver.get(page.as_uri() + query)
        WebDriverWait(self.driver, 60).until(lambda driver: driver.execute_script(READY))
        return self

    def draw_all(self) -> None:
        """Unfold everything and draw every figure, as after printing."""
        self.js("document.querySelectorAll('details:not(.menu)').forEach(d => d.open = true)")
        self.js("for (const event of ['beforeprint', 'afterprint']) dispatchEvent(new Event(event))")

    def js(self, script: str, *arguments: Any) -> Any:
        return self.driver.execute_script(script, *arguments)

    def all(self, selector: str) -> list[Any]:
        return list(self.driver.find_elements("css selector", selector))

    def errors(self) -> list[str]:
        """Everything the console complained about since the last call."""
        return [entry["message"] for entry in self.driver.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")]


@pytest.fixture(scope="session")
def chromium() -> Iterator[Callable[[], Browser]]:
    """A function that gives the session's browser."""
    binary, chromedriver = find_browser(), shutil.which("chromedriver")
    if binary is None or chromedriver is None:
        pytest.skip("needs chromium and chromedriver (Debian: apt-get install chromium chromium-driver)")
    webdriver = pytest.importorskip("selenium.webdriver", reason="needs selenium (pip install selenium)")
    from selenium.webdriver.chrome.options import Options
    from selenium.webdriver.chrome.service import Service

    options = Options()
    options.binary_location = binary
    for argument in ARGUMENTS:
        options.add_argument(argument)
    profile = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
    options.add_argument(f"--user-data-dir={profile.name}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(service=Service(chromedriver, env=browser_environment()), options=options)
    try:
        yield lambda: Browser(driver)
    finally:
        driver.quit()
        profile.cleanup()
