"""Write files so that a reader, or a kill at any moment, never sees half of one."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from exporters.errors import StorageError

_STORAGE_ERRNOS = {
    errno.ENOSPC: "the disk is full: free some space",
    errno.EDQUOT: "the disk quota is used up: free some space",
    errno.EACCES: "permission denied: choose a folder you may write to",
    errno.EPERM: "permission denied: choose a folder you may write to",
    errno.EROFS: "the file system is read-only: choose another folder",
    errno.ENOTDIR: "a part of the path is a file, not a folder: choose another folder",
    errno.EEXIST: "a file of that name is in the way: choose another folder",
    errno.ENAMETOOLONG: "the name is too long: choose a shorter one",
    errno.EFBIG: "the file system allows no file that large: choose another folder",
}


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn the operating system's refusals to write below `path` into one line.

    Raises:
        StorageError: the folder can't be written to or the disk is full.
    """
    try:
        yield
    except OSError as error:
        advice = _STORAGE_ERRNOS.get(error.errno or 0)
        if advice is None:
            raise
        raise StorageError(f"can't write to {error.filename or path}: {advice}") from error


def write_bytes(path: Path, content: bytes) -> None:
    """Replace `path` by `content`: temporary file beside it, fsync, rename."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with storage_errors(path.parent):
        try:
            with temporary.open("wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            temporary.replace(path)
            sync_directory(path.parent)
        finally:
            temporary.unlink(missing_ok=True)


def write_text(path: Path, content: str) -> None:
    """:func:`write_bytes` for UTF-8 text."""
    write_bytes(path, content.encode("utf-8"))


def write_json(path: Path, data: Any) -> None:
    """:func:`write_bytes` for strict JSON (a NaN is a bug of the caller, and raises ValueError)."""
    write_text(path, json.dumps(data, indent=1, allow_nan=False) + "\n")


def sync_directory(path: Path) -> None:
    """Make a rename inside `path` survive a power cut; a no-op where directories can't be opened (Windows)."""
    if os.name != "posix":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
