"""Every reader of a file that may come from a stranger, on damaged and hostile variants of good ones.

What a reader may raise is one typed error of one line; anything else is a fault. By hand:

    python -m tests.support.trials.fuzz all --seconds 600 --seed 1 --jobs 9

The exit code is 1 where a reader let anything else through. A reader whose package is not installed is not tried, and said;
DEPTHPORT_CORE_ML_PACKAGE names a Core ML package to damage where none can be converted.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
import tempfile
import time
import traceback
import zipfile
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from depthport.exporters.core.errors import DepthportError
from tests.support import results as fixtures
from tests.support.fake_runtime import fake_artifact
from tests.support.trials.models import model_json, model_yaml
from tests.support.trials.mutations import damage, json_bytes, mutate
from tests.support.trials.packages import PACKAGE, core_ml, program


@dataclass
class Count:
    """What came of it."""

    inputs: int = 0
    read: int = 0
    refused: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    """Untyped exceptions by kind and place."""


def _manifest(folder: Path) -> Callable[[Random], None]:
    from depthport.bench.cli.artifact_view import artifact_table
    from depthport.exporters.core.artifact import MANIFEST, load_artifact

    path = fake_artifact(folder / "artifact").path
    good = json.loads((path / MANIFEST).read_text())
    good |= {
        "host_steps": [{"name": "sky_fill", "reads": ["depth"], "writes": ["depth"], "parameters": {"quantile": 0.9}}],
        "limits": {"views": [1, 8, 1]}, "dynamic": ["views"], "export_s": 1.5, "parity": {"x": {"depth": {"rel_l2": 1e-7}}},
    }  # fmt: skip

    def read(random: Random) -> None:
        (path / MANIFEST).write_bytes(json_bytes(good, random))
        artifact = load_artifact(path)
        artifact.verify()
        json.dumps(artifact_table(artifact).to_json(), ensure_ascii=False).encode()

    return read


def _results(folder: Path) -> Callable[[Random], None]:
    from depthport.bench.choice.choose import choose
    from depthport.bench.choice.compare import compare
    from depthport.bench.choice.reproduce import reproduce
    from depthport.bench.report.write import write_report
    from depthport.bench.results.load_results import load_results

    good = fixtures.cpu_server(fixtures.FEW).to_json()

    def read(random: Random) -> None:
        (folder / "results.json").write_bytes(json_bytes(good, random))
        loaded = load_results(folder)
        uses: tuple[Callable[[], Any], ...] = (
            lambda: write_report([loaded], folder / "out", ("md",)),
            lambda: write_report([loaded], folder / "out", ("html",)),
            lambda: choose(loaded.results),
            lambda: compare(loaded.results, loaded.results),
            lambda: reproduce(loaded.results, loaded.results.cells[0].id if loaded.results.cells else "x"),
        )
        random.choice(uses)()

    return read


def _journal(folder: Path) -> Callable[[Random], None]:
    from depthport.bench.results.journal import Journal
    from depthport.bench.results.journal_file import summed
    from depthport.bench.results.records import Header

    path = folder / "journal.jsonl"
    good = [
        {"kind": "header", "plan": "x", "created": "2026-01-01T00:00:00+00:00", "epoch_s": 1.0},
        {"kind": "artifact", "cell": "a", "origin": "built", "export_s": 1.0, "facts": {"key": "k"}},
        {
            "kind": "block",
            "cell": "a",
            "launch": 0,
            "round": 0,
            "visit": 0,
            "calls": 1,
            "input": 0,
            "outputs_sha256": "0",
            "device_ns": [1, 2, 3],
            "host_ns": None,
            "starts_s": [0.1, 0.2, 0.3],
        },
        {"kind": "failed", "cell": "b", "status": "run_failed", "reason": "x"},
    ]

    def read(random: Random) -> None:
        content = b"".join(
            summed(json.dumps(mutate(entry, random) if random.random() < 0.4 else entry).encode()) for entry in good
        )
        for leftover in folder.glob("journal*"):
            leftover.unlink()
        path.write_bytes(damage(content, random) if random.random() < 0.7 else content)
        with Journal(path) as journal:
            journal.of(Header)

    return read


_CAMERAS = {
    "extrinsics": [[[1.0, 0, 0, 0], [0, 1.0, 0, 0], [0, 0, 1.0, 0], [0, 0, 0, 1.0]]] * 2,
    "intrinsics": [[[50.0, 0, 49.0], [0, 50.0, 35.0], [0, 0, 1.0]]] * 2,
}


def _poses(folder: Path) -> Callable[[Random], None]:
    from depthport.bench.inputs.pose_files import read_poses

    path = folder / "poses.json"

    def read(random: Random) -> None:
        path.write_bytes(json_bytes(_CAMERAS, random))
        read_poses(path)

    return read


def _npz(folder: Path) -> Callable[[Random], None]:
    from depthport.bench.inputs.pose_files import read_poses

    path = folder / "poses.npz"
    odd = (
        np.zeros((2, 4, 4), object), np.zeros((2, 4, 4), "U3"), np.zeros((0, 4, 4)), np.zeros(3),
        np.full((2, 3, 4), np.nan), np.zeros((2, 4, 4), "datetime64[s]"), np.zeros((2, 4, 4), complex),
        np.zeros(2, [("a", "f4")]),
    )  # fmt: skip

    def read(random: Random) -> None:
        arrays = {name: np.asarray(value) for name, value in _CAMERAS.items()}
        if random.random() < 0.3:
            arrays[random.choice(list(arrays))] = random.choice(odd)
        buffer = io.BytesIO()
        save: Any = np.savez_compressed if random.random() < 0.5 else np.savez
        save(buffer, **arrays)
        content = buffer.getvalue()
        if random.random() < 0.4:  # damage inside an archive that is whole
            with zipfile.ZipFile(buffer) as source:
                members = {name: source.read(name) for name in source.namelist()}
            name = random.choice(list(members))
            members[name] = damage(members[name], random)
            again = io.BytesIO()
            with zipfile.ZipFile(again, "w", zipfile.ZIP_DEFLATED) as target:
                for member, part in members.items():
                    target.writestr(member, part)
            content = again.getvalue()
        path.write_bytes(damage(content, random) if random.random() < 0.6 else content)
        read_poses(path)

    return read


READERS: dict[str, Callable[[Path], Callable[[Random], None]]] = {
    "manifest": _manifest, "results": _results, "journal": _journal, "model.json": model_json, "model.yaml": model_yaml,
    "poses.json": _poses, "npz": _npz, "core-ml": core_ml, "program": program,
}  # fmt: skip

NEEDS = {"model.yaml": "omegaconf", "core-ml": "coremltools", "program": "torch"}


def fuzz(reader: str, folder: Path, *, seed: int, inputs: int | None = None, seconds: float | None = None) -> Count:
    """Give a reader `inputs` variants, or as many as `seconds` allow."""
    read, count, began = READERS[reader](folder), Count(), time.monotonic()
    while (inputs is None or count.inputs < inputs) and (seconds is None or time.monotonic() - began < seconds):
        random = Random(f"{reader}-{seed}-{count.inputs}")
        count.inputs += 1
        try:
            read(random)
            count.read += 1
        except DepthportError as error:
            count.refused += 1
            text = str(error)
            if not text.isprintable() or len(text) > 1000:
                count.faults[f"a message that is not one printable line of 1,000 characters: {ascii(text)[:200]}"] += 1
        except Exception as error:  # noqa: BLE001 - what is looked for
            frames = traceback.extract_tb(error.__traceback__)
            ours = next((frame for frame in reversed(frames) if "depthport" in frame.filename), frames[-1])
            place = f"{Path(ours.filename).name}:{ours.lineno}"
            count.faults[f"{type(error).__name__} at {place} (input {count.inputs - 1})"] += 1
    return count


def needed(reader: str) -> str | None:
    """The package that a reader can't do without and that is not here."""
    package = NEEDS.get(reader)
    if package is None or find_spec(package) is not None or (reader == "core-ml" and os.environ.get(PACKAGE)):
        return None
    return package


def trial(reader: str, seed: int, seconds: float) -> tuple[str, bool]:
    """What a reader made of `seconds` of damage: one line, the faults below it, and whether it held."""
    if (missing := needed(reader)) is not None:
        return f"{reader}: not tried, {missing} is not installed", True
    with tempfile.TemporaryDirectory() as folder:
        count = fuzz(reader, Path(folder), seed=seed, seconds=seconds)
    faults = count.faults.total()
    line = f"{reader}: {count.inputs} inputs, {count.read} read, {count.refused} refused, {faults} untyped exceptions"
    return "\n".join([line, *(f"  {number} x {fault}" for fault, number in count.faults.most_common(20))]), not faults


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("reader", choices=[*READERS, "all"])
    parser.add_argument("--seconds", type=float, default=60, help="for each reader")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1, help="readers at once")
    arguments = parser.parse_args()
    readers = list(READERS) if arguments.reader == "all" else [arguments.reader]
    held = True
    with ProcessPoolExecutor(arguments.jobs, get_context("spawn")) as pool:
        for done in as_completed([pool.submit(trial, reader, arguments.seed, arguments.seconds) for reader in readers]):
            said, good = done.result()
            held = held and good
            print(said, flush=True)
    sys.exit(not held)


if __name__ == "__main__":
    main()
