"""Every reader of a file that may come from a stranger, on damaged and hostile variants of good ones.

What a reader may raise is one typed error of one line; anything else is a fault. By hand:

    python -m tests.support.trials.fuzz manifest --seconds 600 --seed 1
"""

from __future__ import annotations

import argparse
import io
import json
import tempfile
import time
import traceback
import zipfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from depthport.exporters.core.errors import DepthportError
from tests.support import results as fixtures
from tests.support.fake_runtime import fake_artifact
from tests.support.trials.mutations import damage, json_bytes, mutate
from tests.support.trials.packages import core_ml, program


@dataclass
class Count:
    """What came of it."""

    inputs: int = 0
    read: int = 0
    refused: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    """Untyped exceptions by kind and place."""


def _manifest(folder: Path) -> Callable[[Random], None]:
    from depthport.bench.cli.inspect import _manifest as table
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
        json.dumps(table(artifact).to_json(), ensure_ascii=False).encode()

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


_YAML = """
__object__: {path: depth_anything_3.model.da3, name: DepthAnything3Net, args: as_params}
net:
  __object__: {path: depth_anything_3.model.dinov2.dinov2, name: DinoV2, args: as_params}
  name: vits
  out_layers: [5, 7, 9, 11]
  alt_start: 4
  qknorm_start: 4
  rope_start: 4
  cat_token: true
head:
  __object__: {path: depth_anything_3.model.dualdpt, name: DualDPT, args: as_params}
  dim_in: 768
  output_dim: 2
  features: 64
  out_channels: &o [48, 96, 192, 384]
cam_enc:
  __object__: {path: depth_anything_3.model.cam_enc, name: CameraEnc, args: as_params}
  dim_out: 384
cam_dec:
  __object__: {path: depth_anything_3.model.cam_dec, name: CameraDec, args: as_params}
  dim_in: 768
"""


def _model_json(folder: Path) -> Callable[[Random], None]:
    import yaml

    from depthport.exporters.da3.config import load_model

    good = yaml.safe_load(_YAML)
    path = folder / "model.json"

    def read(random: Random) -> None:
        wrapped = random.choice((good, {"config": good}, {"model_name": "da3-small"}))
        path.write_bytes(json_bytes(wrapped, random))
        load_model(str(path))

    return read


def _model_yaml(folder: Path) -> Callable[[Random], None]:
    import yaml

    from depthport.exporters.da3.config import load_model

    good = yaml.safe_load(_YAML)
    path = folder / "model.yaml"

    def read(random: Random) -> None:
        if random.random() < 0.5:
            content = yaml.safe_dump(mutate(good, random), allow_unicode=False).encode("utf-8", "surrogatepass")
        else:
            content = _YAML.encode()
        path.write_bytes(damage(content, random) if random.random() < 0.7 else content)
        load_model(str(path))

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
    "manifest": _manifest, "results": _results, "journal": _journal, "model.json": _model_json, "model.yaml": _model_yaml,
    "poses.json": _poses, "npz": _npz, "core-ml": core_ml, "program": program,
}  # fmt: skip


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("reader", choices=[*READERS, "all"])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    for reader in READERS if arguments.reader == "all" else [arguments.reader]:
        with tempfile.TemporaryDirectory() as folder:
            count = fuzz(reader, Path(folder), seed=arguments.seed, seconds=arguments.seconds)
        faults = sum(count.faults.values())
        print(f"{reader}: {count.inputs} inputs, {count.read} read, {count.refused} refused, {faults} faults", flush=True)
        for fault, number in count.faults.most_common(20):
            print(f"  {number} x {fault}")


if __name__ == "__main__":
    main()
