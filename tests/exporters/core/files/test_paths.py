"""A leading tilde is the user's home wherever a path is taken: no folder of that name is made."""

from __future__ import annotations

from pathlib import Path

import pytest

from depthport.exporters.core.errors import UsageError
from depthport.exporters.core.files.paths import is_file, user_argument, user_path
from depthport.exporters.core.store import ENV_ROOT, ArtifactStore


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    return tmp_path


def test_the_store_is_below_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ArtifactStore("~/store").root == home / "store"
    monkeypatch.setenv(ENV_ROOT, "~/elsewhere")
    assert ArtifactStore().root == home / "elsewhere"


def test_arguments_of_the_command_line(home: Path) -> None:
    assert user_argument("--out=~/x") == f"--out={home / 'x'}"
    assert user_argument("~/a.png") == str(home / "a.png")
    for kept in ("--size=70x98", "a~b", "--weights=owner/name", "name=~x", "-o"):
        assert user_argument(kept) == kept


def test_the_home_of_nobody_is_one_line() -> None:
    with pytest.raises(UsageError, match="an unknown user"):
        user_path("~nobody-of-that-name/x")


def test_a_name_that_no_file_can_have_is_that_of_none(tmp_path: Path) -> None:
    assert not is_file(tmp_path / ("x" * 5000)) and not is_file(tmp_path / "a\0b")
    assert is_file(Path(__file__))
