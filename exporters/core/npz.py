"""Arrays by name in an `.npz` file: the one way they are read and written.

No pickles: a file that somebody sent can hold numbers and nothing that runs. NumPy is imported late, so that a worker's
loading time has the import in it.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from depthport.exporters.core.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray


def read_npz(path: Path | str, *, largest_bytes: int | None = None) -> dict[str, NDArray[Any]]:
    """Every array of an `.npz`, by name.

    Args:
        largest_bytes: refuse a file whose arrays take more than that in memory, before one is read.

    Raises:
        InputError: no such file, no `.npz`, a damaged one, one with pickled objects, or a larger one than allowed.
    """
    import numpy as np

    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path} is not a file: name an .npz file")
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(member.file_size for member in archive.infolist())
        if largest_bytes is not None and size > largest_bytes:
            raise InputError(f"{path} holds {size:,} bytes of arrays, more than the {largest_bytes:,} that are read here")
        with np.load(path, allow_pickle=False) as arrays:
            return {name: np.asarray(arrays[name]) for name in arrays.files}
    except (OSError, EOFError, MemoryError, NotImplementedError, RuntimeError, ValueError) as error:
        raise InputError(f"{path} is not an .npz file that can be read ({error})") from None
    except (zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"{path} is not an .npz file that can be read ({error})") from None


def write_npz(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write `path`, whole or not at all (renamed into place); `.tmp.npz` beside it is what a killed process leaves."""
    import numpy as np

    temporary = path.with_suffix(".tmp.npz")
    np.savez(temporary, **arrays)  # type: ignore[arg-type]
    temporary.replace(path)
