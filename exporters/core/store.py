"""The artifact store: content-addressed folders, one builder at a time, renamed into place when complete."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from filelock import Timeout

from depthport.exporters.core.artifact import MANIFEST, Artifact, FileInfo, Manifest, Origin, load_artifact
from depthport.exporters.core.errors import ArtifactError
from depthport.exporters.core.files.atomic import (
    check_folder,
    shared_like_its_folder,
    storage_errors,
    sync_directory,
    sync_file,
    write_json,
)
from depthport.exporters.core.files.locking import exclusive
from depthport.exporters.core.files.paths import user_path
from depthport.exporters.core.provenance import file_sha256

DEFAULT_ROOT = Path("artifacts")
ENV_ROOT = "DEPTHPORT_ARTIFACTS"
_PARTIAL = ".partial-"
_LOCKS = ".locks"
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_.-]+")
"""Characters that a name replaces; several targets are separated by commas."""


@dataclass(frozen=True)
class Stored:
    """An artifact and its origin: built now, found (its hashes verified), or rebuilt because it was damaged."""

    artifact: Artifact
    origin: Origin
    damage: str | None = None
    """Damage of the artifact that was rebuilt."""


def default_root() -> Path:
    """`$DEPTHPORT_ARTIFACTS`, else `artifacts/` below the working directory."""
    return user_path(os.environ.get(ENV_ROOT) or DEFAULT_ROOT)


class ArtifactStore:
    """Artifacts below one folder, found by key.

    Two processes that want the same artifact at once: one builds, the other waits for the lock (the operating system
    drops it when its holder dies) and finds the result.

    Raises:
        StorageError: `root` is not a folder and can't become one. One that is read-only is read.
    """

    def __init__(self, root: Path | str | None = None) -> None:
        self.root = user_path(root) if root is not None else default_root()
        check_folder(self.root)

    def folder(self, manifest: Manifest) -> Path:
        """Return the folder of that manifest's artifact: readable first, unique by the key's first 12 digits."""
        target = _NOT_IN_NAMES.sub("+", str(manifest.options.get("target") or ""))[:40]
        kind = (manifest.model, manifest.format, target, manifest.precision["name"])
        return self.root / "-".join(filter(None, (*kind, str(manifest.shape), manifest.key[:12])))

    def get_or_build(self, manifest: Manifest, build: Callable[[Path], Manifest]) -> Stored:
        """The artifact with `manifest.key`, built by `build(directory)` if it is not here or is damaged.

        `build` writes its files into `directory` and returns the completed manifest (without `files`, which the store
        adds with their hashes). Whatever it raises, nothing stays behind.

        Raises:
            StorageError: the store can't be written to or the disk is full.
        """
        final = self.folder(manifest)
        # A finished folder changes only by being replaced whole, so a hit needs no lock and no right to write.
        found, damage = _find(final, manifest.key)
        if found is not None:
            return Stored(found, "cached")
        with storage_errors(self.root), self._held(manifest.key):
            self._sweep(manifest.key)
            found, damage = _find(final, manifest.key)
            if found is not None:
                return Stored(found, "cached")
            built = self._build(manifest, final, build)
        return Stored(built, "rebuilt" if damage else "built", damage)

    def artifacts(self) -> Iterator[Artifact]:
        """Every readable artifact of the store, by name; unreadable folders are skipped."""
        for manifest in sorted(self.root.glob(f"*/{MANIFEST}")):
            try:
                yield load_artifact(manifest.parent)
            except ArtifactError:
                continue

    @contextmanager
    def _held(self, key: str) -> Iterator[None]:
        """The lock of a key; folders that it made and that are empty afterwards are taken away again."""
        made = [folder for folder in (self.root, *self.root.parents) if not folder.exists()]
        try:
            with exclusive(self._lock_file(key[:12])):
                yield
        finally:
            for folder in (self.root / _LOCKS, *made):
                with suppress(OSError):
                    folder.rmdir()

    def _lock_file(self, short_key: str) -> Path:
        return self.root / _LOCKS / f"{short_key}.lock"

    def sweep(self) -> None:
        """Remove what killed exports left; what a running one holds stays."""
        with suppress(OSError):
            for lock in (self.root / _LOCKS).glob("*.lock"):
                with suppress(Timeout), exclusive(lock, timeout_s=0):
                    shutil.rmtree(self.root / f"{_PARTIAL}{lock.stem}", ignore_errors=True)
            (self.root / _LOCKS).rmdir()

    def _sweep(self, own_key: str) -> None:
        """Remove what killed exports of other keys left: a partial folder whose lock nobody holds."""
        for partial in self.root.glob(f"{_PARTIAL}*"):
            key = partial.name.removeprefix(_PARTIAL)
            if own_key.startswith(key):
                continue
            with suppress(Timeout), exclusive(self._lock_file(key), timeout_s=0):
                shutil.rmtree(partial, ignore_errors=True)

    def _build(self, manifest: Manifest, final: Path, build: Callable[[Path], Manifest]) -> Artifact:
        # The name needs no process id: the lock is held, so a folder of this name is a killed export's.
        temporary = self.root / f"{_PARTIAL}{manifest.key[:12]}"
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
        try:
            completed = replace(build(temporary), files=_files(temporary))
            shared_like_its_folder(temporary)
            write_json(temporary / MANIFEST, completed.to_json())
            if final.exists():
                shutil.rmtree(final)
            temporary.replace(final)
            sync_directory(self.root)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        return Artifact(final, completed)


def _find(folder: Path, key: str) -> tuple[Artifact | None, str | None]:
    """The whole and undamaged artifact in `folder`, or what is wrong with it (None where there is no artifact)."""
    if not folder.exists():
        return None, None
    try:
        found = load_artifact(folder)
        if found.manifest.key != key:
            raise ArtifactError(f"artifact {folder.name} does not match its own key: export it again")
        found.verify()
    except ArtifactError as error:
        return None, str(error)
    return found, None


def _files(folder: Path) -> tuple[FileInfo, ...]:
    """Every file below `folder` with its hash, flushed to disk."""
    paths = sorted(p for p in folder.rglob("*") if p.is_file())
    for path in paths:
        sync_file(path)
    return tuple(FileInfo(p.relative_to(folder).as_posix(), p.stat().st_size, file_sha256(p)) for p in paths)
