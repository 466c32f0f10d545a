"""The graph that ONNX Runtime has optimised for this processor, kept beside the artifact.

Optimising at every load takes more time than reading the result, and as much memory again as the weights; the result's
weights lie in a file of their own, which is mapped and not read. An entry is bound to the artifact's files, ONNX
Runtime's version, the processor and the level of optimisation (layouts and fusions depend on all four), so a change of
any makes a new one. It is written aside, sealed with its hashes and renamed
(:mod:`depthport.exporters.core.files.sealed`); what is incomplete, was changed since or can't be loaded is rebuilt.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from depthport.exporters.core.artifact import Artifact
from depthport.exporters.core.errors import StorageError
from depthport.exporters.core.files.atomic import shared_like_its_folder, sync_directory
from depthport.exporters.core.files.sealed import intact, seal
from depthport.runtimes.base import LoadOptions
from depthport.runtimes.host.cache import cache_folder, writable
from depthport.runtimes.host.cpu import cpu_fingerprint

MODEL_FILE = "model.onnx"
WEIGHTS_FILE = "weights.bin"
SMALLEST_EXTERNAL_BYTES = 1024
"""Smaller initializers stay in the graph, where shape arithmetic needs them."""
_WRITING = ".writing-"
_LONG_AGO_S = 86_400.0
"""No load takes a day: a half-written entry this old is a killed process's."""


@dataclass(frozen=True)
class OptimizedGraph:
    """One entry of the cache: a folder, there or not."""

    folder: Path

    @classmethod
    def of(cls, artifact: Artifact, options: LoadOptions, version: str, level: str) -> OptimizedGraph:
        """The entry of an artifact for this processor, this `version` of ONNX Runtime and this level."""
        bound_to = {
            "files": [(info.path, info.sha256) for info in artifact.manifest.files],
            "onnxruntime": version,
            "cpu": cpu_fingerprint(),
            "level": level,
        }
        key = hashlib.sha256(json.dumps(bound_to, sort_keys=True).encode()).hexdigest()[:16]
        return cls(cache_folder(artifact, options) / "onnxruntime" / key)

    @property
    def model(self) -> Path:
        return self.folder / MODEL_FILE

    def complete(self) -> bool:
        """Return whether every file is as it was written, bit by bit."""
        return intact(self.folder)

    def can_be_written(self) -> bool:
        return writable(self.folder.parent)

    def discard(self) -> None:
        """Remove the entry, as far as that is allowed."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def begin(self) -> Path:
        """A new folder beside the entry's, to write the graph into."""
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        self.sweep()
        return Path(tempfile.mkdtemp(prefix=_WRITING, dir=self.folder.parent))

    def finish(self, written: Path) -> bool:
        """Make the folder `written` the entry.

        False where another process was first, the graph is missing or the disk is full.
        """
        try:
            if not (written / MODEL_FILE).is_file():
                return False
            seal(written)
            if not self.complete():
                self.discard()
            # `mkdtemp` makes folders for one user alone; a store may be shared.
            written.chmod(self.folder.parent.stat().st_mode & 0o7777)
            shared_like_its_folder(written)
            written.rename(self.folder)
            sync_directory(self.folder.parent)
        except (OSError, StorageError):
            return False
        finally:
            shutil.rmtree(written, ignore_errors=True)
        return True

    def sweep(self) -> None:
        """Remove what killed loads left half-written long ago."""
        for left in self.folder.parent.glob(f"{_WRITING}*"):
            with suppress(OSError):
                if time.time() - left.stat().st_mtime > _LONG_AGO_S:
                    shutil.rmtree(left, ignore_errors=True)
