"""Provenance of an artifact: versions and hashes."""

from __future__ import annotations

import hashlib
import json
import platform
import sys
from collections.abc import Iterable
from contextlib import suppress
from importlib import metadata
from pathlib import Path

_CHUNK_BYTES = 1 << 25
"""Large, because a thread that hashes asks for the interpreter's lock after each chunk, and may wait 5 ms for it."""


def file_sha256(path: Path) -> str:
    """Hex sha256 of a file, read in chunks."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def canonical_sha256(data: object) -> str:
    """Hex sha256 of the canonical JSON form (sorted keys, no spaces, no NaN) of `data`."""
    text = json.dumps(data, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def package_version(name: str) -> str | None:
    """Version of an installed distribution without importing it, or None."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def package_versions(names: Iterable[str]) -> dict[str, str]:
    """Versions of those of `names` that are installed, plus Python's own."""
    found = {name: version for name in names if (version := package_version(name)) is not None}
    return {"python": platform.python_version(), **found}


def peak_rss_mib() -> float | None:
    """Peak resident memory of this process in MiB so far; None where the system does not say (Windows).

    On Linux `VmHWM`: `ru_maxrss` of a program begins at the peak of the process that started it (kept over `exec`), so a
    small program's would be its parent's.
    """
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / (1 << 10)
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)
