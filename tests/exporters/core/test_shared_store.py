"""A store that several people and processes use: hits without locks, nothing left behind, files for all."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from depthport.exporters.core.artifact import Manifest
from depthport.exporters.core.errors import ExportError, StorageError
from depthport.exporters.core.files.locking import exclusive
from depthport.exporters.core.store import ArtifactStore
from tests.exporters.core.test_store import build, tiny_disk, unreachable
from tests.support.manifests import manifest


def test_a_hit_needs_neither_a_lock_nor_a_store_that_can_be_written(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    folder.mkdir()
    with tiny_disk(folder):
        ArtifactStore(folder).get_or_build(manifest(), build)
        subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
        assert ArtifactStore(folder).get_or_build(manifest(), unreachable).origin == "cached"
        with pytest.raises(StorageError, match="read-only"):
            ArtifactStore(folder).get_or_build(manifest(key="f" * 64), unreachable)


def test_a_hit_does_not_wait_for_another_export_of_the_same_key(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    store.get_or_build(manifest(), build)
    with exclusive(tmp_path / ".locks" / f"{manifest().key[:12]}.lock"):
        assert store.get_or_build(manifest(), unreachable).origin == "cached"


def test_neither_a_refused_nor_a_finished_export_leaves_a_lock_or_a_folder(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path / "new" / "store")
    with pytest.raises(ExportError):
        store.get_or_build(manifest(), lambda directory: (_ for _ in ()).throw(ExportError("no")))
    assert list(tmp_path.iterdir()) == []
    folder = store.get_or_build(manifest(), build).artifact.path
    assert list(store.root.iterdir()) == [folder]


@pytest.mark.skipif(sys.platform == "win32", reason="permissions are POSIX")
@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o002, 0o664), (0o077, 0o600)])
def test_files_are_shared_as_the_umask_says_whatever_their_writer_says(tmp_path: Path, umask: int, mode: int) -> None:
    def private(directory: Path) -> Manifest:
        done = build(directory)
        (directory / "model.bin").chmod(0o600)
        return done

    before = os.umask(umask)
    try:
        found = ArtifactStore(tmp_path).get_or_build(manifest(), private).artifact
    finally:
        os.umask(before)
    assert {path.stat().st_mode & 0o777 for path in found.path.rglob("*") if path.is_file()} == {mode}
