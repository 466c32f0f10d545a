"""Folders of this user alone, for what is code: compiled kernels, graphs, engines and libraries.

Whoever may write there may run anything in the processes that read it, and a seal (sealed.py) proves that nothing changed,
not who wrote it.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from platformdirs import user_cache_path

from depthport.exporters.core.errors import StorageError
from depthport.exporters.core.files.paths import user_path

ENV_CACHE = "DEPTHPORT_CACHE"
"""Environment variable: another folder than the user's own for what is compiled."""


def cache_root() -> Path:
    """`$DEPTHPORT_CACHE`, else the user's cache folder of this system."""
    if folder := os.environ.get(ENV_CACHE):
        return user_path(folder)
    return user_cache_path("depthport")


def private_folder(folder: Path) -> Path:
    """The folder, made if need be, with permissions for this user alone (0700); as it is where it can't be made.

    Raises:
        StorageError: it belongs to another user, who could put anything into it.
    """
    with suppress(OSError):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if os.name == "posix":
            found = folder.stat()
            if found.st_uid != os.getuid():
                raise StorageError(f"{folder} belongs to another user: set {ENV_CACHE} to a folder of your own")
            if found.st_mode & 0o077:
                folder.chmod(0o700)
    return folder
