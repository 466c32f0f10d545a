"""Where something is to be written is looked at first, and nothing is left by looking."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from depthport.exporters.core.errors import StorageError
from depthport.exporters.core.files.atomic import check_folder, check_output_folder
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
def test_what_is_no_folder_and_can_not_become_one(look: object, tmp_path: Path) -> None:
    for name, place in places(tmp_path).items():
        with pytest.raises(StorageError, match=r"^can't write to .*: choose another folder$"):
            look(place)  # type: ignore[operator]
            pytest.fail(name)
    assert len(list(tmp_path.iterdir())) == 4


def test_what_can_become_one_is_not_made(tmp_path: Path) -> None:
    check_output_folder(tmp_path / "a" / "b")
    assert check_folder(tmp_path / "a" / "b") == tmp_path and not list(tmp_path.iterdir())
