"""The site builds, strictly (a link that leads nowhere fails), and holds every format, runtime and public name."""

from __future__ import annotations

import html
import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import depthport
from depthport.exporters.registry import formats
from depthport.runtimes.registry import runtimes
from tests.support.paths import ROOT

MISSING = [name for name in ("mkdocs", "material", "mkdocstrings") if find_spec(name) is None]
pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"needs {', '.join(MISSING)} (pip install 'depthport[docs]')")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    environment = {**os.environ, "PYTHONPATH": path, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def text(page: Path) -> str:
    return html.unescape(re.sub(r"<[^>]+>", "", page.read_text(encoding="utf-8")))


def test_every_format_and_runtime_has_its_page(site: Path) -> None:
    assert {path.stem for path in (site / "formats").glob("*.html")} == set(formats())
    assert {path.stem for path in (site / "runtimes").glob("*.html")} == set(runtimes())
    assert "Licence" in text(site / "runtimes" / "openvino.html")
    assert "depthport export da3-small --format coreml" in text(site / "formats" / "coreml.html")


def test_pages_lead_to_each_other(site: Path) -> None:
    home = (site / "index.html").read_text(encoding="utf-8")
    for name in ("install", "commands", "cpu", "glossary", "guides/phones"):
        assert f'<a href="{name}.html">' in home, name


def test_every_public_name_is_told_of_with_its_docstring(site: Path) -> None:
    page = (site / "api.html").read_text(encoding="utf-8")
    for name in depthport.__all__:
        home = f"{depthport.__name__}.{depthport._HOME[name]}.{name}"
        assert f'id="{home}"' in page, home
    assert ":class:`" not in page and ":func:`" not in page


def test_pages_beside_the_code_are_there_with_their_pictures(site: Path) -> None:
    for name in ("guides/tensorrt", "guides/apple", "guides/phones", "protocol", "records/h100", "project/architecture"):
        assert (site / f"{name}.html").is_file()
    for page in site.rglob("*.html"):
        for source in re.findall(r'<img [^>]*src="([^"]+)"', page.read_text(encoding="utf-8")):
            assert source.startswith("data:") or (page.parent / source).is_file(), (page, source)


def test_a_reader_fetches_nothing_from_elsewhere(site: Path) -> None:
    for page in site.rglob("*.html"):
        fetched = re.findall(r'<(?:script|img|link)[^>]+(?:src|href)="(https?://[^"]+)"', page.read_text(encoding="utf-8"))
        assert not fetched, (page.name, fetched)


@pytest.mark.parametrize("word", ["cell", "launch", "boundary", "baseline", "parity", "control", "noise floor"])
def test_the_glossary_has_the_words_of_the_reports(site: Path, word: str) -> None:
    assert f"<dt>{word}</dt>" in (site / "glossary.html").read_text(encoding="utf-8")
