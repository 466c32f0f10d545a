"""The journal: an append-only file of what a run has finished, so that a kill at any moment loses one block at most.

One record (bench/results/records.py) a line (bench/results/journal_file.py), flushed to disk before the next step
begins. The first line is the header: what the run is. `results.json` is made from the journal and replaces its
predecessor atomically, so it is never half a file.
"""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType
from typing import IO, TypeVar

from depthport.bench.results.journal_file import line_of, read_journal, repair
from depthport.bench.results.records import AnyRecord, Record
from depthport.exporters.core.errors import StorageError
from depthport.exporters.core.files.atomic import storage_errors, sync_directory

NAME = "journal.jsonl"
R = TypeVar("R", bound=Record)


class Journal:
    """Append to, and on opening read back, one run's journal.

    Raises:
        UsageError: the file is not a journal.
        StorageError: it can't be read or written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.records: list[Record] = []
        self.forgotten: list[Record] = []
        """Records that stay in the file and count no more in this session."""
        self.damage: str | None = None
        """Damage of the file, in one line for people; None where all is well."""
        with storage_errors(path.parent):
            if path.exists():
                content = read_journal(path)
                self.records = list(content.records)
                if content.torn or content.damaged:
                    aside = repair(path, content)
                    if aside is not None:
                        self.damage = (
                            f"{content.damaged} of {content.damaged + len(content.records)} entries of {path} were damaged "
                            f"on disk: the rest are used, these measured again; the damaged file is kept as {aside.name}"
                        )
            self._stream: IO[bytes] = path.open("ab", buffering=0)
            sync_directory(path.parent)

    def append(self, record: AnyRecord) -> None:
        """Record one finished thing; returns when it is on disk.

        Raises:
            StorageError: the disk is full (nothing recorded before is lost).
            ValueError: the record holds what could not be read back: a NaN, or a value of another type than declared.
        """
        line = line_of(record)
        intact_bytes = self.path.stat().st_size
        with storage_errors(self.path):
            try:
                if self._stream.write(line) != len(line):
                    raise StorageError(f"can't write to {self.path}: the disk is full: free some space")
                os.fsync(self._stream.fileno())
            except BaseException:
                # Ctrl-C as much as a full disk: half a line in the middle would spoil the next one.
                self._stream.truncate(intact_bytes)
                raise
        self.records.append(record)

    def of(self, kind: type[R]) -> list[R]:
        """The records of one kind, in the order they were made."""
        return [record for record in self.records if isinstance(record, kind)]

    def forget(self, record: Record) -> None:
        """Let a record count no more in this session."""
        self.records.remove(record)
        self.forgotten.append(record)

    def close(self) -> None:
        self._stream.close()

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
