"""The page, in a headless Chromium."""

from __future__ import annotations

import functools
import http.server
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from depthport.exporters.core.artifact import Artifact
from depthport.predict.sample import EXAMPLES, write_sample
from tests.examples.comparison import assert_same, expected


@pytest.fixture(scope="session")
def node_modules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `npm install` brings for the page."""
    if shutil.which("npm") is None:
        pytest.skip("needs npm")
    folder = tmp_path_factory.mktemp("npm")
    shutil.copy(EXAMPLES / "browser" / "package.json", folder)
    command = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
    if done.returncode != 0:
        pytest.skip(f"npm can't install onnxruntime-web: {done.stderr.strip().splitlines()[-1]}")
    return folder / "node_modules"


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder and its address."""
    folder = tmp_path / "site"
    handler = functools.partial(_Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield folder, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *arguments: Any) -> None:
        """Nothing."""


@pytest.mark.browser
def test_browser(
    artifact: Artifact, photographs: list[Path], node_modules: Path, served: tuple[Path, str], chromium: Any
) -> None:
    from selenium.webdriver.support.ui import WebDriverWait

    folder, address = served
    write_sample(artifact, "browser", folder)
    (folder / "node_modules").symlink_to(node_modules)
    driver = chromium().driver
    driver.get(address)
    driver.find_element("id", "photographs").send_keys("\n".join(map(str, photographs)))
    WebDriverWait(driver, 300).until(lambda d: d.find_element("id", "said").text not in ("", "running ..."))
    assert driver.find_element("id", "said").text.endswith(" ms"), driver.find_element("id", "said").text
    script = "return Object.fromEntries(Object.entries(window.outputs).map(([k, t]) => [k, Array.from(t.data, Number)]))"
    assert_same(driver.execute_script(script), expected(artifact, photographs), 1e-3)
    assert len(driver.find_elements("css selector", "#depth canvas")) == 2
    assert "extrinsics, world to camera (1, 2, 3, 4)" in driver.find_element("id", "cameras").text
    driver.find_element("id", "photographs").clear()
    driver.find_element("id", "photographs").send_keys(str(photographs[0]))
    WebDriverWait(driver, 30).until(lambda d: d.find_element("id", "said").text == "1 photographs for 2 views")
