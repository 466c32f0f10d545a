"""Arrays from files that anybody may have sent."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from depthport.exporters.core.errors import InputError
from depthport.exporters.core.files.npz import read_npz, write_npz


def test_what_is_written_is_read(tmp_path: Path) -> None:
    arrays = {"depth": np.arange(6, dtype=np.float32).reshape(2, 3), "view": np.array([1])}
    write_npz(tmp_path / "a.npz", arrays)
    found = read_npz(tmp_path / "a.npz")
    assert found.keys() == arrays.keys()
    assert all(np.array_equal(found[name], value) and found[name].dtype == value.dtype for name, value in arrays.items())
    assert [path.name for path in tmp_path.iterdir()] == ["a.npz"]


def single_array() -> bytes:
    content = io.BytesIO()
    np.save(content, np.zeros(3))
    return content.getvalue()


def archive(array: Any) -> bytes:
    content = io.BytesIO()
    np.savez_compressed(content, a=array)
    return content.getvalue()


def damaged() -> bytes:
    content = bytearray(archive(np.arange(1000)))
    content[120:140] = bytes(20)
    return bytes(content)


@pytest.mark.parametrize(
    "content",
    [b"", b"text", single_array(), archive(np.array([print], object)), archive(np.zeros(9))[:-30], damaged()],
    ids=["empty", "text", "one array", "pickled", "cut short", "damaged"],
)
def test_what_is_no_archive_of_numbers_is_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.npz"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"a\.npz is not a readable \.npz file") as raised:
        read_npz(path)
    assert "\n" not in str(raised.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not a file"):
        read_npz(tmp_path / "none.npz")


def test_a_file_that_unpacks_to_more_than_allowed_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    path.write_bytes(archive(np.zeros(1_000_000)))
    assert path.stat().st_size < 20_000
    with pytest.raises(InputError, match="more than the limit of 1,000,000"):
        read_npz(path, largest_bytes=1_000_000)
    assert read_npz(path, largest_bytes=9_000_000)["a"].size == 1_000_000


def test_a_member_that_is_no_array_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("a.npy", b"\x93NUMPY\x01\x00" + b"\x10\x00" + b"{'shape': (1,)}\n")
    with pytest.raises(InputError, match="not a readable"):
        read_npz(path)
