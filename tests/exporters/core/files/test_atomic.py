"""Where something is to be written is looked at first, and nothing is left by looking."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from depthport.exporters.core.errors import StorageError
from depthport.exporters.core.files.atomic import check_folder, check_output_folder, write_together
from depthport.exporters.core.store import ArtifactStore

pytestmark = pytest.mark.skipif(os.name != "posix", reason="links and limits of POSIX")


def places(folder: Path) -> dict[str, Path]:
    (folder / "file").write_text("x")
    (folder / "loop").symlink_to("loop")
    (folder / "dangling").symlink_to("nowhere")
    os.mkfifo(folder / "pipe")
    names = ("file", "file/x", "loop", "loop/x", "dangling", "dangling/x", "pipe", "x" * 300, "x" * 300 + "/y")
    return {name[:20]: folder / name for name in names} | {"device": Path("/dev/null"), "below": Path("/dev/null/x")}


@pytest.mark.parametrize("look", [check_folder, check_output_folder, ArtifactStore])
def test_what_is_no_folder_and_can_not_become_one(look: Callable[[Path], object], tmp_path: Path) -> None:
    for name, place in places(tmp_path).items():
        with pytest.raises(StorageError, match=r"^can't write to .*: choose another folder$"):
            look(place)
            pytest.fail(name)
    assert len(list(tmp_path.iterdir())) == 4


def test_what_can_become_one_is_not_made(tmp_path: Path) -> None:
    check_output_folder(tmp_path / "a" / "b")
    assert check_folder(tmp_path / "a" / "b") == tmp_path and not list(tmp_path.iterdir())


def test_files_that_belong_together_are_replaced_together(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    (tmp_path / "a").write_bytes(b"old")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(StorageError, match="allows no file that large"):
            write_together({tmp_path / "a": b"new", tmp_path / "b": b"x" * 5000})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a", b"old")]
    write_together({tmp_path / "a": b"new", tmp_path / "b": b"x"})
    assert (tmp_path / "a").read_bytes() == b"new" and (tmp_path / "b").read_bytes() == b"x"
