"""Files between here and a machine by content hash: what the other side has is not sent, what came is what was sent."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from depthport.bench.fleet import remote
from depthport.bench.fleet.bundle import Bundle, is_inside
from depthport.bench.fleet.work import MADE, finished
from depthport.exporters.core.artifact import MANIFEST, load_artifact
from depthport.exporters.core.errors import ArtifactError, DepthportError
from depthport.exporters.core.files.atomic import storage_errors
from depthport.exporters.core.provenance import file_sha256
from depthport.exporters.core.text import quoted

MOST_FILES, MOST_BYTES = 10_000, 1 << 38
"""Limits of one job's result."""


class TransferError(DepthportError):
    """A machine sent something it was not asked for, or not what it announced."""


class Ask(Protocol):
    """Calls one of :mod:`depthport.bench.fleet.remote`'s functions on a machine."""

    def __call__(self, function: Callable[..., Any], *args: Any) -> Any: ...


def send_bundle(ask: Ask, bundle: Bundle, folder: Path) -> None:
    """Send a machine the bundle; files it has from an earlier one are not sent again."""
    files = bundle.files()
    places = {digest: folder / name for name, digest in files.items()}
    for digest in ask(remote.missing, files):
        if digest in places:
            _send(ask, digest, places[digest])
    ask(remote.unpack, bundle.sha256, json.dumps(bundle.to_json()), files)


def _send(ask: Ask, digest: str, path: Path) -> None:
    size, offset = path.stat().st_size, 0
    with path.open("rb") as stream:
        while True:
            data = stream.read(remote.CHUNK_BYTES)
            last = offset + len(data) >= size
            ask(remote.put, digest, offset, data, last)
            offset += len(data)
            if last:
                return


def fetch_job(ask: Ask, bundle: Bundle, machine: str, job: str, out: Path) -> bool:
    """Fetch a machine's files of a job to `out/MACHINE/JOB`, whole or not at all; return whether it had a result.

    Nothing that comes is run. Names are those of files below the job's folder, results are read as a stranger's, and an
    artifact has the hashes that its manifest gives.

    Raises:
        TransferError: what came is not what was announced, or is of another bundle.
        StorageError: `out` can't be written to.
    """
    listed = ask(remote.results_of, bundle.sha256, machine, job)
    if not listed:
        return False
    wrong = next((str(name) for name, _, _ in listed if not is_inside(str(name))), None)
    if wrong is not None or len(listed) > MOST_FILES or sum(int(size) for _, size, _ in listed) > MOST_BYTES:
        raise TransferError(f"{machine} offers unexpected files ({quoted(wrong or len(listed))}): check the machine")
    target = out / machine / job
    partial = target.with_name(f".{job}.partial")
    with storage_errors(out):
        for name, size, digest in listed:
            path = partial / name
            path.parent.mkdir(parents=True, exist_ok=True)
            held = next((p for p in (path, target / name) if p.is_file() and file_sha256(p) == digest), None)
            if held is None:
                _fetch(ask, (bundle.sha256, machine, job, name), path, int(size), str(digest))
            elif held != path:
                shutil.copyfile(held, path)
        names = {name for name, _, _ in listed}
        for path in [p for p in partial.rglob("*") if p.is_file()]:  # what another try left
            if path.relative_to(partial).as_posix() not in names:
                path.unlink()
        _check(partial, bundle, machine, job)
        shutil.rmtree(target, ignore_errors=True)
        partial.replace(target)
    return True


def _fetch(ask: Ask, what: tuple[str, str, str, str], path: Path, size: int, digest: str) -> None:
    found, offset = hashlib.sha256(), 0
    with path.open("wb") as stream:
        while offset < size:
            data = ask(remote.get, *what, offset)
            if not data:
                break
            stream.write(data)
            found.update(data)
            offset += len(data)
    if found.hexdigest() != digest:
        path.unlink()
        raise TransferError(f"{what[1]}'s {what[3]} arrived damaged: collect again")


def _check(folder: Path, bundle: Bundle, machine: str, job: str) -> None:
    """Raise TransferError where a job's folder is not what it says."""
    if bundle.contents.jobs[job].kind == "bench":
        return
    try:
        for manifest in folder.glob(f"*/{MANIFEST}"):
            load_artifact(manifest.parent).verify()
    except ArtifactError as error:
        raise TransferError(f"{machine}'s artifact of {job} is damaged ({error}): export it again") from None
    if (folder / MADE).is_file() and finished(folder, bundle.ref(machine, job)) is None:
        raise TransferError(f"{machine}'s artifact of {job} belongs to another bundle: collect it again")
