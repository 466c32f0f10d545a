"""Arrays by name in an `.npz` file: the one way they are read and written.

No pickles: a file that somebody sent can hold numbers and nothing that runs. NumPy is imported late, so that a worker's
loading time has the import in it.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from depthport.exporters.core.errors import InputError, one_line
from depthport.exporters.core.files.atomic import sync_file

if TYPE_CHECKING:
    import numpy as np


def read_npz(path: Path | str, *, largest_bytes: int | None = None) -> dict[str, np.ndarray]:
    """Every array of an `.npz`, by name.

    Args:
        largest_bytes: refuse a file whose arrays take more than that in memory, before one is read.

    Raises:
        InputError: no such file, no `.npz`, a damaged one, one with pickled objects, or a larger one than allowed.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path} is not a file: name an .npz file")
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(member.file_size for member in archive.infolist())
        if largest_bytes is not None and size > largest_bytes:
            raise InputError(f"{path} holds {size:,} bytes of arrays, more than the limit of {largest_bytes:,}")
        with np.load(path, allow_pickle=False) as arrays:
            return {name: np.asarray(arrays[name]) for name in arrays.files}
    except Exception as error:  # noqa: BLE001 - numpy's reader of headers lets pass whatever Python's tokenizer meets
        raise InputError(f"{path} is not a readable .npz file ({one_line(error)})") from None


def read_whole_npz(path: Path) -> dict[str, np.ndarray] | None:
    """The same; None where the file is missing or damaged (zip keeps a CRC-32 of every member)."""
    try:
        return read_npz(path)
    except InputError:
        return None


def is_whole(path: Path) -> bool:
    """Return whether the file is there and every byte of it as it was written."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except (OSError, EOFError, NotImplementedError, RuntimeError, ValueError, zipfile.BadZipFile, zlib.error):
        return False


def write_npz(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write `path`, whole or not at all.

    A temporary file beside it is synced and renamed; a killed process leaves a `.tmp.npz`.

    Raises:
        OSError: the disk is full or the folder can't be written to.
    """
    temporary = path.with_suffix(".tmp.npz")
    try:
        np.savez(temporary, **arrays)  # type: ignore[arg-type]
        sync_file(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
