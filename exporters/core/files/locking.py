"""Locks between processes that leave no file behind."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock

from depthport.exporters.core.errors import StorageError

_TRIES = 100


@contextmanager
def exclusive(path: Path, timeout_s: float = -1) -> Iterator[None]:
    """Hold the lock file `path` alone; the operating system drops it when its holder dies.

    The file is removed while it is still held: a process that waited for it finds that its lock has no name any more,
    and locks its successor (`filelock` from 3.24 on looks). Folders above it are made where they are missing.

    Args:
        path: of the lock file.
        timeout_s: seconds to wait; below 0, for ever.

    Raises:
        filelock.Timeout: another process holds it.
        StorageError: its folder can't be made.
        OSError: it can't be written.
    """
    lock = FileLock(path)
    for _ in range(_TRIES):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            lock.acquire(timeout=timeout_s)
            break
        except FileNotFoundError:
            continue  # the folder went away with the last holder
    else:  # as in /proc, which says so of every name
        raise StorageError(f"can't write to {path.parent}: a folder can't be created there: choose another one")
    try:
        yield
    finally:
        with suppress(OSError):
            path.unlink()
        lock.release()
