"""Every reader of a file that may come from a stranger, on damaged and hostile variants of good ones.

What a reader may raise is one typed error of one line; anything else is a fault. By hand:

    python -m tests.support.fuzz manifest --seconds 600 --seed 1
"""

from __future__ import annotations

import argparse
import copy
import io
import json
import shutil
import tempfile
import time
import traceback
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from depthport.exporters.core.errors import DepthportError
from tests.support import results as fixtures
from tests.support.fake_runtime import fake_artifact

NASTY: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**63, -(2**70), 10**400, 0.0, -0.0, 1e308, -1e-308, 1e-5, "", "x", "x" * 5000,
    "\x1b[31m", "\u202e", "\ud800", "\x00", "../../etc/passwd", "/etc/passwd", "C:\\x", "os:system", "a/0", "batch*0/0",
    "nan", "1e999", [], [[]], [[[[]]]], {}, {"x": {}}, [None], [1, "x"], {"kind": "x"}, "float32", "depthport.artifact/1",
)  # fmt: skip
_INSERTED = (b"\xff\xfe", b"\x00" * 8, b"[" * 3000, b"NaN", b"9" * 5000, b'"', b"{", b"\n", b"PK")


@dataclass
class Count:
    """What came of it."""

    inputs: int = 0
    read: int = 0
    refused: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    """Untyped exceptions by kind and place."""


def mutate(data: Any, random: Random) -> Any:
    """A copy of JSON data with one to four places changed."""
    data = json.loads(json.dumps(data))
    for _ in range(random.randint(1, 4)):
        places = list(_places(data))
        if not places:
            break
        holder, key = random.choice(places)
        change = random.random()
        if change < 0.7:
            holder[key] = copy.deepcopy(random.choice(NASTY))
        elif change < 0.85 and isinstance(holder, dict):
            holder[random.choice(("x", "__proto__", "\x1b", "schema", "kind", ""))] = holder.pop(key)
        elif isinstance(holder, list):
            holder.insert(random.randrange(len(holder) + 1), copy.deepcopy(random.choice(NASTY)))
        else:
            del holder[key]
    return data


def _places(node: Any, depth: int = 0) -> Iterator[tuple[Any, Any]]:
    if depth > 12:
        return
    items = node.items() if isinstance(node, dict) else enumerate(node[:8]) if isinstance(node, list) else ()
    for key, value in list(items):
        yield node, key
        yield from _places(value, depth + 1)


def damage(content: bytes, random: Random) -> bytes:
    """Bytes with some flipped, cut out, doubled, put in, or the end missing."""
    found = bytearray(content)
    for _ in range(random.randint(1, 6)):
        at = random.randrange(len(found) + 1)
        kind = random.random()
        if kind < 0.4 and at < len(found):
            found[at] = random.randrange(256)
        elif kind < 0.6:
            del found[at : at + random.choice((1, 4, 64, 4096))]
        elif kind < 0.8:
            found[at:at] = random.choice(
                (b"\xff\xfe", b"\x00" * 8, b"[" * 3000, b"NaN", b"9" * 5000, b'"', b"{", b"\n", b"PK")
            )
        elif kind < 0.9:
            found[at:at] = found[at : at + 64]
        else:
            del found[at:]
    return bytes(found)


def _json_bytes(data: Any, random: Random) -> bytes:
    content = json.dumps(mutate(data, random) if random.random() < 0.9 else data).encode("utf-8", "surrogatepass")
    return damage(content, random) if random.random() < 0.4 else content


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
        (path / MANIFEST).write_bytes(_json_bytes(good, random))
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
        (folder / "results.json").write_bytes(_json_bytes(good, random))
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
        path.write_bytes(_json_bytes(wrapped, random))
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
        path.write_bytes(_json_bytes(_CAMERAS, random))
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
        (np.savez_compressed if random.random() < 0.5 else np.savez)(buffer, **arrays)  # type: ignore[operator]
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


def _core_ml(folder: Path) -> Callable[[Random], None]:
    from depthport.exporters.coreml.inspect import inspect_package
    from tests.support.coreml.damage import MODEL, WEIGHTS
    from tests.support.coreml.mini import mini_package

    good = mini_package(folder / "store")
    names = (MODEL, WEIGHTS, "Manifest.json")
    contents = {name: (good / name).read_bytes() for name in names}
    path = folder / "model.mlpackage"

    def read(random: Random) -> None:
        shutil.rmtree(path, ignore_errors=True)
        shutil.copytree(good, path)
        for name in random.sample(names, random.choice((1, 1, 2))):
            (path / name).write_bytes(damage(contents[name], random))
        inspect_package(path, run=False)

    return read


def _program(folder: Path) -> Callable[[Random], None]:
    """The archive of a PyTorch program, on a small one made here."""
    import torch

    from depthport.exporters.pytorch.program import strip
    from depthport.runtimes.pytorch.archive import checked_archive
    from depthport.runtimes.pytorch.program import is_operator

    class Small(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(3, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.nn.functional.gelu(self.layer(x)).sum(-1)

    program = torch.export.export(Small(), (torch.zeros(4, 3),), strict=False)
    strip(program)
    good = folder / "good.pt2"
    torch.export.save(program, good, extra_files={"parameters.json": "{}"})
    with zipfile.ZipFile(good) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    checked_archive(good, is_operator)
    path = folder / "program.pt2"

    def read(random: Random) -> None:
        changed = dict(entries)
        name = random.choice([n for n in entries if n.endswith(".json")])
        changed[name] = _json_bytes(json.loads(entries[name]), random)
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as target:
            for entry, content in changed.items():
                target.writestr(entry, content)
        path.write_bytes(damage(buffer.getvalue(), random) if random.random() < 0.3 else buffer.getvalue())
        checked_archive(path, is_operator)

    return read


READERS: dict[str, Callable[[Path], Callable[[Random], None]]] = {
    "manifest": _manifest, "results": _results, "journal": _journal, "model.json": _model_json, "model.yaml": _model_yaml,
    "poses.json": _poses, "npz": _npz, "core-ml": _core_ml, "program": _program,
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
