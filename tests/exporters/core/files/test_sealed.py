"""Kept files are trusted by their hash: what a disk may do to them is noticed, and they are rebuilt."""

from __future__ import annotations

from pathlib import Path

import pytest

from depthport.exporters.core.files.sealed import SEAL, discard_damaged, intact, seal


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "below").mkdir()
    (tmp_path / "a.bin").write_bytes(b"a" * 1000)
    (tmp_path / "below" / "b.bin").write_bytes(b"b" * 1000)
    seal(tmp_path)
    return tmp_path


def test_what_was_sealed_is_intact(folder: Path) -> None:
    assert intact(folder)
    assert discard_damaged(folder)
    assert (folder / "a.bin").exists()


def test_nothing_is_intact_without_a_seal(tmp_path: Path) -> None:
    assert not intact(tmp_path)
    (tmp_path / "a.bin").write_bytes(b"a")
    assert not intact(tmp_path)


@pytest.mark.parametrize("seal_text", ["", "{", "[1]", '{"a.bin": 3}'])
def test_a_damaged_seal_vouches_for_nothing(folder: Path, seal_text: str) -> None:
    (folder / SEAL).write_text(seal_text)
    assert not intact(folder)
    discard_damaged(folder)
    assert not (folder / "a.bin").exists()


def test_every_flipped_bit_is_noticed_and_costs_one_file(folder: Path) -> None:
    content = (folder / "a.bin").read_bytes()
    for place in range(0, len(content), 97):
        (folder / "a.bin").write_bytes(content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :])
        assert not intact(folder)
    discard_damaged(folder)
    assert not (folder / "a.bin").exists()
    assert (folder / "below" / "b.bin").exists()


def test_what_was_written_after_the_seal_is_not_trusted(folder: Path) -> None:
    (folder / "half.bin").write_bytes(b"half")
    discard_damaged(folder)
    assert not (folder / "half.bin").exists()
    assert intact(folder)
