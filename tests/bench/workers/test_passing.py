"""Faults that pass are told from those that stay, however a library wraps or words them."""

from __future__ import annotations

import errno
import os

import pytest

from depthport.bench.workers.failure import failure
from depthport.bench.workers.messages import FirstCall
from depthport.bench.workers.passing import DISK_FULL, FILES, OUT_OF_MEMORY, PROCESSES, passing_fault
from depthport.exporters.core.errors import ExportError, LoadError, RunError, StorageError


def os_error(number: int) -> OSError:
    return OSError(number, os.strerror(number))


def wrapped(error: BaseException, by: type[Exception]) -> Exception:
    try:
        raise by("the adapter failed") from error
    except by as outer:
        return outer


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (os_error(errno.ENOSPC), DISK_FULL),
        (os_error(errno.EDQUOT), DISK_FULL),
        (os_error(errno.EMFILE), FILES),
        (os_error(errno.EAGAIN), PROCESSES),
        (os_error(errno.ENOMEM), OUT_OF_MEMORY),
        (MemoryError(), OUT_OF_MEMORY),
        (RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"), OUT_OF_MEMORY),
        (RuntimeError("can't start new thread"), PROCESSES),
        (RuntimeError("write failed: No space left on device"), DISK_FULL),
        (StorageError("can't write to x: the disk is full: free some space"), DISK_FULL),
        (wrapped(os_error(errno.ENOSPC), ExportError), DISK_FULL),
        (wrapped(wrapped(MemoryError(), RuntimeError), RunError), OUT_OF_MEMORY),
        (os_error(errno.EACCES), None),
        (RuntimeError("the kernel refused"), None),
        (LoadError("the model takes ['image']"), None),
    ],
)
def test_kinds(error: Exception, kind: str | None) -> None:
    assert passing_fault(error) == kind
    assert failure(error, FirstCall()).passing == kind
