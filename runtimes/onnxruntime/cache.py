"""The graph that ONNX Runtime has optimized for this processor, kept beside the artifact.

Optimizing at every load takes more time than reading the result, and as much memory again as the weights; the result's
weights lie in a file of their own, which is mapped and not read. An entry is bound to the artifact's files, ONNX
Runtime's version, the processor and the level of optimization (layouts and fusions depend on all four), so a change of
any makes a new one. It is written aside and renamed, and what is incomplete or can't be loaded is made anew.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from depthport.exporters.core.artifact import Artifact
from depthport.runtimes.base import LoadOptions
from depthport.runtimes.host.cache import cache_folder, writable
from depthport.runtimes.host.cpu import cpu_fingerprint

MODEL_FILE = "model.onnx"
WEIGHTS_FILE = "weights.bin"
SIZES_FILE = "sizes.json"
SMALLEST_EXTERNAL_BYTES = 1024
"""Smaller initializers stay in the graph, where shape arithmetic needs them."""


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
        """Whether every file is there at the size it was written with."""
        try:
            sizes = json.loads((self.folder / SIZES_FILE).read_text(encoding="utf-8"))
            return bool(sizes) and all((self.folder / name).stat().st_size == size for name, size in sizes.items())
        except (OSError, ValueError, AttributeError):
            return False

    def can_be_written(self) -> bool:
        return writable(self.folder.parent)

    def discard(self) -> None:
        """Remove the entry, as far as that is allowed."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def begin(self) -> Path:
        """A new folder beside the entry's, to write the graph into."""
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(prefix=".writing-", dir=self.folder.parent))

    def finish(self, written: Path) -> bool:
        """Make the folder `written` the entry; False where another process was first or the graph is not there."""
        files = {path.name: path.stat().st_size for path in written.iterdir()}
        if MODEL_FILE not in files:
            shutil.rmtree(written, ignore_errors=True)
            return False
        (written / SIZES_FILE).write_text(json.dumps(files), encoding="utf-8")
        if not self.complete():
            self.discard()
        try:
            written.rename(self.folder)
        except OSError:
            shutil.rmtree(written, ignore_errors=True)
            return False
        return True
