"""Packages that can't be used: told from metadata as pip leaves it, with the line that mends it."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from depthport.exporters.core.install import EXECUTORCH_AGAIN, LITERT_AGAIN, Install, extras
from depthport.exporters.core.usable import unusable
from tests.support.wheel import distribution

LINE = extras("executorch")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of packages that come before those that are installed."""
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def test_a_package_that_serves_is_nothing_to_say(site: Path) -> None:
    distribution(site, "executorch", "1.5.3")
    assert unusable(LINE, "executorch", "packaging") is None


def test_what_is_missing_is_named_with_its_line() -> None:
    found = unusable(LINE, "no-such-package", "packaging", ("neither-this", "packaging"))
    assert found == ("no-such-package, neither-this not installed", 'pip install "depthport[executorch]"')


def test_too_old_is_older_than_the_extra_asks_for(site: Path) -> None:
    distribution(site, "executorch", "1.4.9")
    assert unusable(LINE, "executorch") == (
        "executorch 1.4.9 is too old (<1.6,>=1.5 is needed)", 'pip install "executorch<1.6,>=1.5"'
    )  # fmt: skip


@pytest.mark.parametrize("version", ["1.5.0rc1+cpu", "1.6", "2.0"])
def test_a_build_before_the_release_and_a_newer_one_serve(site: Path, version: str) -> None:
    """What is newer than depthport was tried with may do; the gates tell."""
    distribution(site, "executorch", version)
    assert unusable(LINE, "executorch") is None


@pytest.mark.parametrize("tag", ["cp39-cp39-manylinux_2_28_x86_64", "cp39-cp39-win_amd64"])
def test_built_for_another_python_is_installed_again(site: Path, tag: str) -> None:
    distribution(site, "executorch", "1.5.1", tag)
    assert unusable(LINE, "executorch") == (
        "executorch 1.5.1 is built for another Python", 'pip install --force-reinstall "executorch<1.6,>=1.5"'
    )  # fmt: skip


@pytest.mark.parametrize("tag", ["py3-none-any", "cp310-abi3-manylinux_2_28_x86_64", ""])
def test_built_for_every_python_or_in_a_way_that_leaves_no_tag_serves(site: Path, tag: str) -> None:
    distribution(site, "executorch", "1.5.1", tag)
    assert unusable(LINE, "executorch") is None


def test_each_fault_has_its_own_line(site: Path) -> None:
    distribution(site, "executorch", "1.5.1", "cp39-cp39-any")
    distribution(site, "torch", "1.13")
    reason, line = unusable(LINE, "no-such-package", "torch", "executorch") or ("", "")
    assert reason.startswith("no-such-package not installed; torch 1.13 is too old (")
    assert reason.endswith("; executorch 1.5.1 is built for another Python")
    assert line.count("pip install") == 3 and line.count(" && ") == 2


def test_one_of_several_builds_will_do(site: Path) -> None:
    distribution(site, "acme-engine-gpu", "1.24", files={"acme_engine/__init__.py": ""})
    assert unusable(LINE, ("acme-engine", "acme-engine-gpu")) is None


@pytest.mark.parametrize("line", [EXECUTORCH_AGAIN, LITERT_AGAIN], ids=str)
def test_lines_that_reinstall_ask_for_what_the_extras_ask_for(line: Install) -> None:
    asked = [Requirement(text) for text in metadata.requires("depthport") or ()]
    (wanted,) = map(Requirement, line.requirements)
    assert [r.specifier for r in asked if r.name == wanted.name] == [wanted.specifier]


def test_a_module_without_metadata_is_a_build_of_ones_own(site: Path) -> None:
    (site / "acme_engine.py").write_text("", encoding="utf-8")
    assert unusable(LINE, "acme-engine") is None
