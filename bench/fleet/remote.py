"""Functions that a machine runs for the fleet, called by name through Dask.

Dask pickles a function of a module by its name, so both sides need depthport and Dask, in whatever Python. Nothing else
is sent but text, numbers and bytes. The work itself is a command in a separate process: what it needs is imported there,
and a crash takes neither the worker nor the connection with it.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from depthport.exporters.core.files.private import cache_root, private_folder
from depthport.exporters.core.provenance import file_sha256

if TYPE_CHECKING:
    from distributed import Worker

    from depthport.bench.results.sections import Reading

CHUNK_BYTES = 8 << 20
LEFT_OUT = ("work", "journal", ".")
"""Prefixes of the files in a job's folder that stay on the machine: a run needs them to resume."""
_RUNNING: dict[str, subprocess.Popen[str]] = {}
"""Running processes by topic."""


def root() -> Path:
    """Folder of the fleet's bundles, results and artifacts on this machine."""
    return private_folder(cache_root() / "fleet")


def bundle_folder(sha256: str) -> Path:
    """Folder of a bundle on this machine."""
    return root() / "bundles" / sha256


def job_folder(sha256: str, machine: str, job: str) -> Path:
    """Folder of a job's results on this machine."""
    return _results(sha256) / machine / job


def _results(sha256: str) -> Path:
    return root() / "results" / sha256[:16]


def missing(files: dict[str, str]) -> list[str]:
    """Return the hashes among a bundle's files (name -> sha256) that this machine does not have yet."""
    blobs = root() / "blobs"
    return [digest for digest in dict.fromkeys(files.values()) if not (blobs / digest).is_file()]


def put(digest: str, offset: int, data: bytes, last: bool) -> None:
    """A part of a file, in order; with the last one the whole must have the hash.

    Raises:
        OSError: the disk is full, or what came is not what was sent.
    """
    blobs = root() / "blobs"
    blobs.mkdir(exist_ok=True)
    part = blobs / f"{digest}.part"
    with part.open("r+b" if offset else "wb") as stream:
        stream.seek(offset)
        stream.write(data)
    if last:
        if file_sha256(part) != digest:
            part.unlink()
            raise OSError(f"file {digest[:12]} arrived damaged")
        part.replace(blobs / digest)


def unpack(sha256: str, text: str, files: dict[str, str]) -> None:
    """Lay out a bundle whose files have come."""
    folder = bundle_folder(sha256)
    folder.mkdir(parents=True, exist_ok=True)
    for name, digest in files.items():
        target = folder / name
        if not target.is_file() or file_sha256(target) != digest:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(root() / "blobs" / digest, target)
    (folder / "bundle.json").write_text(text, encoding="utf-8")


async def offer(name: str, dask_worker: Worker) -> None:
    """Have the worker take the machine's tasks: those that ask for its resource, one at a time."""
    await dask_worker.set_resources(**{name: 1})


async def condition() -> Reading:
    """Return the machine's present condition."""
    from depthport.bench.fleet.conditions import look

    return await asyncio.to_thread(look)


def perform(order: str) -> str:
    """Do one job: `python -m depthport fleet work`; what it tells goes out as Dask's events. JSON in, JSON out.

    The command ends with this process, however that ends: it watches its standard input.
    """
    from distributed import get_worker

    asked = json.loads(order)
    sha256, machine, job, topic = asked["bundle"], asked["machine"], asked["job"], asked["topic"]
    log = _results(sha256) / machine / f"{job}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [
        sys.executable, "-m", "depthport", "fleet", "work", str(bundle_folder(sha256)), "--machine", machine, "--job", job,
        "--out", str(_results(sha256)), "--artifacts", str(root() / "artifacts"), "--json", "--end-with-stdin",
    ]  # fmt: skip
    worker, told = get_worker(), ""
    with log.open("w", encoding="utf-8") as errors:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True, encoding="utf-8",
            errors="replace", cwd=root(), env={**os.environ, "PYTHONIOENCODING": "utf-8"},
        )  # fmt: skip
        _RUNNING[f"{machine} {job}"] = process
        try:
            assert process.stdout is not None
            for line in process.stdout:
                told = line
                worker.log_event(topic, {"machine": machine, "line": line})
            code = process.wait()
        finally:
            _RUNNING.pop(f"{machine} {job}", None)
    said = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return json.dumps({"code": code, "told": told, "last": said[-1][-400:] if said else ""})


def stop() -> None:
    """Stop the running job, as Ctrl-C does: its measurements are kept."""
    for process in list(_RUNNING.values()):
        if process.stdin is not None:
            with suppress(OSError):
                process.stdin.close()


def results_of(sha256: str, machine: str, job: str) -> list[tuple[str, int, str]]:
    """Name, size in bytes and sha256 of every file that a job left; empty where it left none."""
    folder = job_folder(sha256, machine, job)
    found = [path for path in sorted(folder.rglob("*")) if path.is_file() and not path.is_symlink()]
    names = [(path, path.relative_to(folder).as_posix()) for path in found]
    kept = [(path, name) for path, name in names if not name.startswith(LEFT_OUT)]
    return [(name, path.stat().st_size, file_sha256(path)) for path, name in kept]


def get(sha256: str, machine: str, job: str, name: str, offset: int) -> bytes:
    """A part of one of those files."""
    with (job_folder(sha256, machine, job) / name).open("rb") as stream:
        stream.seek(offset)
        return stream.read(CHUNK_BYTES)
