"""Pages of a mapped file go while it is read, and come back with the same content."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import pytest

from depthport.runtimes.host.mapped import drained, mapped

MIB = 1 << 20


def resident_mib(path: Path) -> float:
    """Of all places where this process maps a file."""
    pages = Path("/proc/self/smaps").read_text().split(str(path))[1:]
    return sum(int(part.partition("\nRss:")[2].split()[0]) for part in pages) / 1024


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc and advises Linux")
def test_pages_are_dropped_and_read_again(tmp_path: Path) -> None:
    path = tmp_path / "model.blob"
    path.write_bytes(bytes(range(256)) * (4 * MIB // 256))
    content = mapped(path)
    total = int(content.sum(dtype=np.int64))
    assert resident_mib(path) == 4
    with drained(content):
        limit = time.monotonic() + 10
        while resident_mib(path) > 0 and time.monotonic() < limit:
            time.sleep(0.01)
        assert resident_mib(path) == 0
        assert int(content.sum(dtype=np.int64)) == total
    assert resident_mib(path) == 0
    assert int(content.sum(dtype=np.int64)) == total


def test_what_was_kept_can_be_read(tmp_path: Path) -> None:
    path = tmp_path / "model.blob"
    path.write_bytes(b"kept")
    content = mapped(path)
    with drained(content):
        assert content.tobytes() == b"kept"
    assert content.tobytes() == b"kept"
