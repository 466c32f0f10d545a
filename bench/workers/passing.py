"""Temporary faults: the machine was short of something, and the same work may succeed later."""

from __future__ import annotations

import errno
import os

DISK_FULL = "the disk was full"
OUT_OF_MEMORY = "out of memory"
FILES = "too many files were open"
PROCESSES = "the system had no processes or threads left"

_BY_ERRNO = {
    errno.ENOSPC: DISK_FULL,
    errno.EDQUOT: DISK_FULL,
    errno.ENOMEM: OUT_OF_MEMORY,
    errno.EMFILE: FILES,
    errno.ENFILE: FILES,
    errno.EAGAIN: PROCESSES,
}
_BY_TEXT = {
    # How CUDA, PyTorch and ONNX Runtime say it, and how this package does (exporters/core/files/atomic.py).
    "out of memory": OUT_OF_MEMORY,
    "can't allocate memory": OUT_OF_MEMORY,
    "std::bad_alloc": OUT_OF_MEMORY,
    "disk is full": DISK_FULL,
    "disk quota is used up": DISK_FULL,
    "can't start new thread": PROCESSES,
    **{os.strerror(number).lower(): kind for number, kind in _BY_ERRNO.items()},
}


def passing_fault(error: BaseException | None) -> str | None:
    """Return what the machine was short of when `error`, or its cause, was raised; None if it was something else."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, MemoryError):
            return OUT_OF_MEMORY
        if isinstance(error, OSError) and error.errno in _BY_ERRNO:
            return _BY_ERRNO[error.errno]
        if kind := passing_text(str(error)):
            return kind
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return None


def passing_text(text: str) -> str | None:
    """The same of what a library printed."""
    lower = text.lower()
    return next((kind for words, kind in _BY_TEXT.items() if words in lower), None)
