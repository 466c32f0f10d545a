"""Pages of a mapped file go and come back with the same content; nothing else is touched."""

from __future__ import annotations

import mmap
import sys
from pathlib import Path

import pytest

from depthport.runtimes.host.mapped import release_mapped

MIB = 1 << 20


def resident_mib(path: Path) -> float:
    """Of all places where this process maps a file."""
    pages = Path("/proc/self/smaps").read_text().split(str(path))[1:]
    return sum(int(part.partition("\nRss:")[2].split()[0]) for part in pages) / 1024


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc and advises Linux")
def test_pages_are_dropped_and_read_again(tmp_path: Path) -> None:
    inside, outside = tmp_path / "kept" / "model.blob", tmp_path / "other.blob"
    inside.parent.mkdir()
    content = bytes(range(256)) * (4 * MIB // 256)
    for path in (inside, outside):
        path.write_bytes(content)
    maps = []
    for path in (inside, outside):
        with path.open("rb") as opened:
            maps.append(mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ))
        assert maps[-1][:] == content
    assert resident_mib(inside) == resident_mib(outside) == 4
    assert release_mapped(inside.parent) == 4 * MIB
    assert resident_mib(inside) == 0
    assert resident_mib(outside) == 4
    assert maps[0][:] == content
    for mapped in maps:
        mapped.close()


def test_what_is_not_mapped_is_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    assert release_mapped(tmp_path) == 0
