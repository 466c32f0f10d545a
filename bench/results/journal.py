"""The journal: an append-only record of what a run has finished, so that a kill at any moment loses one block at most.

One JSON object a line, flushed to disk before the next step begins. A torn last line (power cut in the middle of a
write) is dropped; every line before it counts. The first line is the header: what the run is. `results.json` is made
from the journal and replaces its predecessor atomically, so it is never half a file.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from depthport.exporters.core.atomic import storage_errors, sync_directory
from depthport.exporters.core.errors import StorageError

NAME = "journal.jsonl"


class Journal:
    """Append to, and on opening read back, one run's journal."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.entries: list[dict[str, Any]] = []
        with storage_errors(path.parent):
            if path.exists():
                self.entries, intact_bytes = read_entries(path)
                if intact_bytes < path.stat().st_size:
                    with path.open("r+b") as stream:
                        stream.truncate(intact_bytes)
            self._stream: IO[bytes] = path.open("ab", buffering=0)
            sync_directory(path.parent)

    def append(self, kind: str, entry: Mapping[str, Any]) -> None:
        """Record one finished thing; returns when it is on disk.

        Raises:
            StorageError: the disk is full (nothing recorded before is lost).
        """
        if "kind" in entry:
            raise ValueError("an entry's kind is the journal's own field")
        record = {"kind": kind, **entry}
        line = json.dumps(record, allow_nan=False).encode() + b"\n"
        intact_bytes = self.path.stat().st_size
        with storage_errors(self.path):
            try:
                if self._stream.write(line) != len(line):
                    raise StorageError(f"can't write to {self.path}: the disk is full: free some space")
                os.fsync(self._stream.fileno())
            except (OSError, StorageError):
                # A torn line in the middle would hide everything after it.
                self._stream.truncate(intact_bytes)
                raise
        self.entries.append(record)

    def of_kind(self, kind: str) -> list[dict[str, Any]]:
        return [e for e in self.entries if e["kind"] == kind]

    def close(self) -> None:
        self._stream.close()

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def read_entries(path: Path) -> tuple[list[dict[str, Any]], int]:
    """Entries of a journal and the length in bytes of its intact part; what follows the first torn line is ignored."""
    entries: list[dict[str, Any]] = []
    intact = 0
    for line in path.read_bytes().splitlines(keepends=True):
        if not line.endswith(b"\n"):
            break
        try:
            entry = json.loads(line)
        except (json.JSONDecodeError, UnicodeDecodeError):
            break
        if not isinstance(entry, dict) or "kind" not in entry:
            break
        entries.append(entry)
        intact += len(line)
    return entries, intact
