"""A file mapped into memory whose pages are given back while somebody reads it."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

import numpy as np
from numpy.typing import NDArray

_MADV_DONTNEED = 4
_EVERY_S = 0.005


def mapped(path: Path) -> NDArray[np.uint8]:
    """The bytes of a file (n,), fetched when they are read; what is written to them stays in this process."""
    return np.memmap(path, np.uint8, mode="c")


@contextmanager
def drained(content: NDArray[np.uint8]) -> Iterator[None]:
    """Context in which the pages of a mapped file go back to the system as they are read; Linux alone, elsewhere nothing.

    A page that is read again is fetched again, from the file or the system's cache of it: nothing is lost but that time,
    so long as nobody writes to `content`.
    """
    if sys.platform != "linux":
        yield
        return
    madvise, done = ctypes.CDLL(None).madvise, Event()
    start, size = ctypes.c_void_p(content.ctypes.data), ctypes.c_size_t(content.nbytes)  # a mapping begins with a page

    def drain() -> None:
        while not done.wait(_EVERY_S):
            madvise(start, size, _MADV_DONTNEED)

    thread = Thread(target=drain, name="drain", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        madvise(start, size, _MADV_DONTNEED)
