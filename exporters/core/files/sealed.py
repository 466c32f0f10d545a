"""Files kept between processes that are trusted by their hash: caches that third-party code writes and reads.

A *seal* is a file beside them that holds every file's sha256. It is written last, after the files themselves have
reached the disk, so that a kill, a power cut or a flipped bit is noticed at the next load and what is damaged is made
anew. It proves integrity, not origin: whoever may write the folder may write the seal.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from depthport.exporters.core.files.atomic import read_json, sync_file, write_json, write_text
from depthport.exporters.core.provenance import file_sha256

SEAL = "sealed.json"
"""Seal of a folder."""
_FILE_SEAL = ".sha256"
"""Suffix of a single file's seal, beside it."""


def seal(folder: Path) -> None:
    """Flush every file below `folder` to disk and write down its hash.

    Raises:
        StorageError: the disk is full or the folder can't be written to.
        OSError: a file can't be read.
    """
    hashes = {}
    for path in _files(folder):
        with suppress(FileNotFoundError):  # another process cleared it away
            sync_file(path)
            hashes[path.relative_to(folder).as_posix()] = file_sha256(path)
    write_json(folder / SEAL, hashes)


def intact(folder: Path) -> bool:
    """Return whether a seal is there and every file it names is as it was sealed."""
    hashes = _read(folder)
    return bool(hashes) and all(_is(folder / name, digest) for name, digest in hashes.items())


def discard_damaged(folder: Path) -> bool:
    """Remove every file below `folder` that is not as it was sealed, as far as that is allowed; whether all is well now."""
    hashes = _read(folder)
    for path in _files(folder):
        if not _is(path, hashes.get(path.relative_to(folder).as_posix(), "")):
            with suppress(OSError):
                path.unlink()
    return all(path.relative_to(folder).as_posix() in hashes for path in _files(folder))


def seal_file(path: Path) -> None:
    """Flush one file to disk and write its hash beside it.

    Raises:
        StorageError: the disk is full or the folder can't be written to.
    """
    sync_file(path)
    write_text(_beside(path), file_sha256(path))


def file_intact(path: Path) -> bool:
    """Return whether one file is there and as it was sealed."""
    try:
        return _is(path, _beside(path).read_text(encoding="ascii"))
    except (OSError, ValueError):
        return False


def _beside(path: Path) -> Path:
    return path.with_name(path.name + _FILE_SEAL)


def _read(folder: Path) -> dict[str, str]:
    try:
        hashes = read_json(folder / SEAL)
    except (OSError, ValueError):
        return {}
    return hashes if isinstance(hashes, dict) else {}


def _is(path: Path, digest: str) -> bool:
    try:
        return file_sha256(path) == digest
    except OSError:
        return False


def _files(folder: Path) -> list[Path]:
    found = (Path(root) / name for root, _, names in os.walk(folder) for name in names)
    return sorted(path for path in found if path != folder / SEAL)
