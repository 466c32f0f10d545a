"""Cache of compiled forms of an artifact between processes, and how far it is trusted."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from depthport.exporters.core.artifact import Artifact
from depthport.exporters.core.errors import StorageError
from depthport.exporters.core.files.locking import exclusive
from depthport.exporters.core.files.private import cache_root, private_folder
from depthport.exporters.core.files.sealed import discard_damaged, intact, seal
from depthport.exporters.core.provenance import canonical_sha256
from depthport.runtimes.base import LoadOptions

_LOCK = "compiling.lock"
_OWNER = ".artifact"
"""Suffix of the file that says where the artifact of a folder of compiled forms lies."""


def cache_folder(artifact: Artifact, options: LoadOptions) -> Path:
    """`LoadOptions.cache_dir`, else a folder of the artifact's own in the user's cache; it need not exist yet.

    What lies there is code: compiled kernels and graphs, engines, libraries. So it is never part of an artifact, which
    may come from anyone, and its folder is the user's alone (mode 0700). A copy of an artifact has a folder of its own:
    its files may not be those of the first. What was compiled for artifacts that are gone goes when a new one comes.

    Raises:
        StorageError: that folder belongs to another user.
    """
    if options.cache_dir is not None:
        return options.cache_dir
    manifest = artifact.manifest
    place = str(artifact.path.resolve())
    # Times and sizes too: what was compiled of a damaged file is not what its repair needs.
    states = [(artifact.path / info.path).stat() for info in manifest.files if (artifact.path / info.path).is_file()]
    files = [[info.path, info.sha256] for info in manifest.files]
    key = canonical_sha256([place, manifest.key, files, [[state.st_size, state.st_mtime_ns] for state in states]])
    folder = private_folder(cache_root() / "compiled") / key[:16]
    owner = folder.with_name(folder.name + _OWNER)
    with suppress(OSError):  # a cache that can't be written to keeps nothing
        if not owner.exists():
            _sweep(folder.parent)
            owner.write_text(place, encoding="utf-8")
    return folder


def _sweep(compiled: Path) -> None:
    """Remove the compiled forms of artifacts that are no longer where they were."""
    for owner in compiled.glob(f"*{_OWNER}"):
        if not Path(owner.read_text(encoding="utf-8")).exists():
            shutil.rmtree(owner.with_name(owner.name.removesuffix(_OWNER)), ignore_errors=True)
            owner.unlink(missing_ok=True)


def writable(folder: Path) -> bool:
    """Return whether `folder` can be written to, or made."""
    existing = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    return existing.is_dir() and os.access(existing, os.W_OK)


@contextmanager
def sealed_cache(folder: Path) -> Iterator[None]:
    """Context in which a framework reads and writes `folder` by its own rules; files changed on disk are not read.

    Frameworks find their files by name and do not check what is in them. One process compiles at a time: what is not
    sealed is then a killed process's, and who waited finds what was compiled.

    Raises:
        OSError: the folder can't be written to.
    """
    with exclusive(folder.with_name(f"{folder.name}-{_LOCK}")):
        discard_damaged(folder)
        yield
        if folder.is_dir():
            with suppress(OSError, StorageError):  # a full disk: what is not sealed is compiled again
                seal(folder)


def kept(folder: Path, name: str, make: Callable[[Path], object]) -> tuple[Path, bool]:
    """A compiled form that one framework call makes, made once: `folder / name`, and whether it was there, undamaged.

    Args:
        folder: named after everything that the form depends on; sealed, and renamed when complete, so that a killed load
            leaves nothing that looks compiled.
        name: of the compiled form, a file or folder.
        make: writes it to the path given.

    Raises:
        OSError: the folder can't be written to.
        StorageError: the disk is full.
    """
    with exclusive(folder.with_name(f"{folder.name}-{_LOCK}")):
        if (folder / name).exists() and intact(folder):
            return folder / name, True
        partial = folder.with_name(f".{folder.name}.partial")
        for old in (folder, partial):
            shutil.rmtree(old, ignore_errors=True)
        partial.mkdir(parents=True)
        try:
            make(partial / name)
            seal(partial)
            partial.rename(folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return folder / name, False
