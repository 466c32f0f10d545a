"""A journal as a file: its lines and their checksums, its damage, and whether it is a journal at all.

Each line is one JSON object whose last field is the CRC-32 of what stands before it, so that a changed digit is noticed
as well as a broken brace. A torn last line (a kill or power cut in the middle of a write) was never acknowledged and is
dropped; a line that is damaged anywhere else costs itself alone, and the file is kept aside as it was.
"""

from __future__ import annotations

import re
import shutil
import zlib
from dataclasses import dataclass
from pathlib import Path

import msgspec

from depthport.bench.results.records import AnyRecord
from depthport.exporters.core.errors import UsageError
from depthport.exporters.core.files.atomic import storage_errors, write_bytes

_BEGINNING = b'{"kind":"header","plan":"'
"""First record of every journal."""
_CHECKSUM = re.compile(rb',"crc32":"([0-9a-f]{8})"\}\n')
_DECODER: msgspec.json.Decoder[AnyRecord] = msgspec.json.Decoder(AnyRecord)


@dataclass(frozen=True)
class JournalContent:
    """Contents of a journal's file."""

    records: tuple[AnyRecord, ...]
    lines: tuple[bytes, ...]
    """The intact lines, of which `records` are read."""
    damaged: int = 0
    """Number of damaged lines."""
    torn: bool = False
    """The last line was being written when the process ended."""


def line_of(record: AnyRecord) -> bytes:
    """A record as the journal keeps it.

    Raises:
        ValueError: it holds what could not be read back: a NaN, or a value of another type than declared.
    """
    body = msgspec.json.encode(record)
    _DECODER.decode(body)
    return summed(body)


def summed(body: bytes) -> bytes:
    """A JSON object as a line with its checksum."""
    return body[:-1] + f',"crc32":"{zlib.crc32(body):08x}"}}\n'.encode()


def record_in(line: bytes) -> AnyRecord | None:
    """The record of a line, without its checksum; None if the line is damaged."""
    found = _CHECKSUM.search(line)
    if found is None or found.end() != len(line):
        return None
    body = line[: found.start()] + b"}"
    if zlib.crc32(body) != int(found[1], 16):
        return None
    try:
        return _DECODER.decode(body)
    except (ValueError, RecursionError):
        return None


def read_journal(path: Path) -> JournalContent:
    """Read the journal at `path`.

    Raises:
        UsageError: it is not one of our journals.
        StorageError: it can't be read.
    """
    with storage_errors(path):
        if not path.is_file():
            raise UsageError(f"{path} is not a file: choose another --out")
        with path.open("rb") as stream:
            beginning = stream.read(len(_BEGINNING))
            content = beginning + stream.read() if _BEGINNING.startswith(beginning) else None
    if content is None:
        # A flipped byte in the first line is damage; a file without any line of ours is someone else's.
        with storage_errors(path), path.open("rb") as stream:
            if not any(record_in(line) for line in stream):
                raise UsageError(f"{path} is not a depthport journal: choose another --out, or move it away")
        content = path.read_bytes()
    return parse(content)


def parse(content: bytes) -> JournalContent:
    """The lines of a journal's content."""
    lines = content.split(b"\n")
    torn = lines.pop() != b""
    whole = [line + b"\n" for line in lines]
    parsed = [(line, record) for line in whole if (record := record_in(line)) is not None]
    return JournalContent(
        tuple(record for _, record in parsed), tuple(line for line, _ in parsed), len(whole) - len(parsed), torn
    )


def repair(path: Path, content: JournalContent) -> Path | None:
    """Rewrite a journal with its intact lines alone; where the damaged one is kept, None where it was only torn.

    Raises:
        StorageError: the disk is full or the folder can't be written to; the file is as it was.
    """
    aside = None
    with storage_errors(path.parent):
        if content.damaged:
            aside = _free_name(path)
            shutil.copyfile(path, aside)
        write_bytes(path, b"".join(content.lines))
    return aside


def _free_name(path: Path) -> Path:
    number = 1
    while (name := path.with_name(f"{path.stem}-damaged-{number}{path.suffix}")).exists():
        number += 1
    return name
