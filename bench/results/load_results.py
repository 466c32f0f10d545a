"""Read a `results.json` that may be incomplete, damaged or hostile, and say in one line why one can't be read.

A results file travels: it comes by mail, from another version, from a run that was killed. So nothing in it
is believed. What is missing becomes its default, what has the wrong type, an absurd value or an unknown name is left
out (a cell that does not say what it is, whole), and each such repair is
a line in :attr:`ResultsFile.notes`, which reports print. Three things are refused, because no honest table
can be made of them: a file that is not valid JSON, one of another schema, and one without a list of cells.

Every string is cleaned on the way in (control and bidirectional-override characters, lone surrogates, endless names),
so that no renderer, terminal included, meets them. Every number is finite: `NaN` and `Infinity`, which Python's own
writer emits though JSON has neither, become null. A sample without a positive latency is dropped with its time stamp.

The types of `bench/results/model.py` say what fits (bench/results/tolerant.py): a field added there is read here.
"""

from __future__ import annotations

import gc
import re
import types
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from depthport.bench.results.cell_id import short_id
from depthport.bench.results.model import SCHEMA, Cell, Results
from depthport.bench.results.tolerant import Notes, read
from depthport.exporters.core.errors import UsageError
from depthport.exporters.core.files.atomic import read_json
from depthport.exporters.core.text import clean_json, clean_text

MAX_BYTES = 1 << 30
"""Largest file read: 10^7 samples fit; a larger one is refused before it fills the memory."""

_FAMILY, _VERSION = SCHEMA.rsplit("/", 1)
_MIGRATIONS: Mapping[int, Callable[[dict[str, object]], dict[str, object]]] = types.MappingProxyType({})
"""Schema version -> a function that lifts a file of it to the next one. Version 1 is the first that was published."""


class ResultsError(UsageError):
    """A file that can't be read as results; the message says why in one line."""


@dataclass(frozen=True)
class ResultsFile:
    """Results as read, with where they came from."""

    results: Results
    folder: Path | None = None
    """Folder that the cells' picture paths are relative to; None for results that never were a file."""
    notes: tuple[str, ...] = ()
    """One line for each thing that was missing or wrong and how it was read."""


def load_results(path: Path | str) -> ResultsFile:
    """Read one results file, or the `results.json` in a folder.

    Raises:
        ResultsError: it is missing, too large, not valid JSON, of another schema, or has no list of cells.
    """
    source = Path(path)
    if source.is_dir():
        source = source / "results.json"
    with _uncollected():
        results, notes = _load(source, clean_text(str(source)))
    return ResultsFile(results, source.parent, notes)


def _load(source: Path, shown: str) -> tuple[Results, tuple[str, ...]]:
    try:
        data = read_json(source, MAX_BYTES)
    except FileNotFoundError:
        raise ResultsError(f"{shown} does not exist: make it with `depthport run`") from None
    except OSError as error:
        raise ResultsError(f"{shown} can't be read ({error.strerror}): name a results.json that you may read") from None
    except ValueError as error:  # also integers of more digits than Python converts
        raise ResultsError(f"{shown} is not valid JSON ({clean_text(str(error))[:120]}): it may be cut short") from None
    try:
        return parse_results(data)
    except ResultsError as error:
        raise ResultsError(f"{shown}: {error}") from None


@contextmanager
def _uncollected() -> Iterator[None]:
    """Decoded JSON has no cycles to look for, and collecting while it grows takes longer than reading it."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def parse_results(data: object) -> tuple[Results, tuple[str, ...]]:
    """Results and notes from decoded JSON.

    Raises:
        ResultsError: another schema, or no list of cells.
    """
    if not isinstance(data, dict):
        raise ResultsError("it is not a depthport results file (its top level is not an object)")
    data = _migrated(data)
    if not isinstance(data.get("cells"), list):
        raise ResultsError("it has no list of cells: run the benchmark again")
    notes = Notes()
    clean = clean_json(data)
    assert isinstance(clean, dict)
    results = read(Results, clean, notes)
    return msgspec.structs.replace(results, cells=_unique_ids(results.cells, notes)), notes.lines()


def _migrated(data: dict[str, object]) -> dict[str, object]:
    """`data` lifted to this version's schema."""
    name = data.get("schema")
    match = re.fullmatch(r"(.+)/(\d{1,6})", name) if isinstance(name, str) else None
    if match is None or match[1] != _FAMILY:
        shown = clean_text(repr(name))[:60]
        raise ResultsError(f"it is not a depthport results file (schema {shown}, expected {SCHEMA!r})")
    version, wanted = int(match[2]), int(_VERSION)
    if version > wanted:
        raise ResultsError(f"schema {match[0]!r} is newer than this version's {SCHEMA!r}: update depthport")
    while version < wanted:
        lift = _MIGRATIONS.get(version)
        if lift is None:
            raise ResultsError(f"schema {match[0]!r} is older than this version reads: run the benchmark again")
        data, version = lift(data), version + 1
    return data


def _unique_ids(cells: list[Cell], notes: Notes) -> list[Cell]:
    """The cells by their short names, with a number appended to those that occur twice: an id names one row everywhere."""
    seen: dict[str, int] = {}
    out = []
    for found in cells:
        cell = msgspec.structs.replace(found, id=short_id(found.id))
        seen[cell.id] = seen.get(cell.id, 0) + 1
        if seen[cell.id] > 1:
            notes.add(f"cell id {cell.id[:60]!r} occurs more than once: numbered")
            cell = msgspec.structs.replace(cell, id=f"{cell.id} ({seen[cell.id]})")
        out.append(cell)
    return out
