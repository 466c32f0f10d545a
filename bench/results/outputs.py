"""Where results are to go, checked before anything is made: a path that can't be written must not cost a measurement."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path

from depthport.exporters.core.errors import StorageError, UsageError


def check_output_folder(folder: Path, files: Iterable[str] = ()) -> None:
    """Raise where `folder`, which need not exist yet, can't take `files`; makes and leaves nothing.

    Raises:
        StorageError: it can't be written to.
        UsageError: a folder is where a file is to go.
    """
    existing = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    if not existing.is_dir():
        raise StorageError(f"can't write to {folder}: {existing} is a file, not a folder: choose another folder")
    try:
        # What may be written is known for sure only by writing: access rights say little of mounts, quotas and /proc.
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        raise StorageError(f"can't write to {folder}: {error.strerror or error}: choose another folder") from error
    for name in files:
        if (folder / name).is_dir():
            raise UsageError(f"{folder / name} is a folder, and a file of that name is to be written: move it away")
