"""Compiled code is kept for one user alone, and never comes with an artifact."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

import pytest

from depthport.exporters.core.errors import StorageError
from depthport.exporters.core.files import private
from depthport.runtimes.base import LoadOptions
from depthport.runtimes.host.cache import cache_folder
from tests.support.fake_runtime import fake_artifact

posix = pytest.mark.skipif(os.name != "posix", reason="permissions are POSIX's")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(private.ENV_CACHE, str(tmp_path / "own"))
    return tmp_path / "own"


def test_what_an_artifact_brings_is_not_used(root: Path, tmp_path: Path) -> None:
    artifact = fake_artifact(tmp_path / "artifact")
    (artifact.path / "cache").mkdir()
    folder = cache_folder(artifact, LoadOptions())
    assert folder.is_relative_to(root) and not folder.is_relative_to(artifact.path)
    assert cache_folder(artifact, LoadOptions(cache_dir=tmp_path / "x")) == tmp_path / "x"


@posix
def test_the_folder_is_the_users_alone(root: Path, tmp_path: Path) -> None:
    (root / "compiled").mkdir(parents=True, mode=0o777)
    (root / "compiled").chmod(0o777)
    folder = cache_folder(fake_artifact(tmp_path / "artifact"), LoadOptions())
    assert stat.S_IMODE(folder.parent.stat().st_mode) == 0o700


@posix
def test_another_users_folder_is_refused(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root.mkdir()
    monkeypatch.setattr(os, "getuid", lambda: root.stat().st_uid + 1)
    with pytest.raises(StorageError, match=f"belongs to another user: set {private.ENV_CACHE}"):
        private.private_folder(root)


def test_without_a_place_to_write_it_is_only_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(private.ENV_CACHE, "/proc/nowhere" if Path("/proc").is_dir() else "/dev/null/x")
    assert private.private_folder(private.cache_root() / "compiled").name == "compiled"


def test_two_artifacts_share_nothing(root: Path, tmp_path: Path) -> None:
    from depthport.exporters.core.artifact import Shape

    shapes = {"a": Shape(1, 1, 14, 28), "b": Shape(1, 2, 14, 28), "copy of b": Shape(1, 2, 14, 28)}
    folders = {cache_folder(fake_artifact(tmp_path / name, shape), LoadOptions()) for name, shape in shapes.items()}
    assert len(folders) == 3


def test_what_was_compiled_of_a_damaged_file_is_not_its_repairs(root: Path, tmp_path: Path) -> None:
    artifact = fake_artifact(tmp_path / "artifact")
    file = next(path for path in artifact.path.iterdir() if path.name != "artifact.json")
    whole, before = file.read_bytes(), cache_folder(artifact, LoadOptions())
    file.write_bytes(b"x" * len(whole))
    os.utime(file, ns=(1, 1))
    damaged = cache_folder(artifact, LoadOptions())
    file.write_bytes(whole)
    os.utime(file, ns=(2, 2))
    assert len({before, damaged, cache_folder(artifact, LoadOptions())}) == 3


def test_what_was_compiled_for_an_artifact_that_is_gone_goes(root: Path, tmp_path: Path) -> None:
    gone, stays = fake_artifact(tmp_path / "gone"), fake_artifact(tmp_path / "stays")
    folders = [cache_folder(artifact, LoadOptions()) for artifact in (gone, stays)]
    for folder in folders:
        folder.mkdir()
        (folder / "kernels.so").write_bytes(b"compiled")
    shutil.rmtree(gone.path)
    assert cache_folder(stays, LoadOptions()) == folders[1] and folders[0].exists(), "a load of an old one sweeps nothing"
    cache_folder(fake_artifact(tmp_path / "new"), LoadOptions())
    assert [folder.exists() for folder in folders] == [False, True]
