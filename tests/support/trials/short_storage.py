"""Run where storage runs short or is not one's own, and show that nothing measured is lost.

    python -m tests.support.trials.short_storage --tries 10        # of each kind; needs root and Linux

* `full`: results, store or both on a small tmpfs, which is filled to a random size; room is made afterwards.
* `quota`: the same on btrfs with a quota (EDQUOT, which tmpfs does not know).
* `read-only`: a store with everything in it, mounted read-only.
* `foreign`: a store of another user's, with everything in it, which may be read and not be written.

After each first run the journal is intact; the same command then goes on from it and finishes with every cell measured,
and with its parity where upstream's outputs were there. In the last two kinds the first run does.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from depthport.bench.measure import engine
from depthport.bench.measure.observer import Observer
from depthport.bench.measure.run_journal import RESULTS
from depthport.bench.results.journal import NAME as JOURNAL_NAME
from depthport.bench.results.journal_file import parse
from depthport.exporters.core.errors import DepthportError
from depthport.exporters.core.files.npz import write_npz
from depthport.exporters.core.store import ArtifactStore
from tests.support.fake_runtime import fake_outputs
from tests.support.paths import ROOT
from tests.support.trials.kills import short_plan

KINDS = ("full", "quota", "read-only", "foreign")
STRANGER = 54321
_CAPABILITIES = "-dac_override,-dac_read_search,-fowner,-sys_resource"
"""Without them root is refused what other users are."""
_LONGEST_S = 120.0
_MOST_RUNS = 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tries", type=int, default=10)
    parser.add_argument("--kind", choices=KINDS, action="append")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--run", nargs=2, type=Path, metavar=("OUT", "STORE"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.run:
        sys.exit(_run(*arguments.run))
    short: Counter[str] = Counter()
    lost: list[str] = []
    for kind in arguments.kind or KINDS:
        for number in range(arguments.tries):
            refused, problems = attempt(kind, random.Random(f"{kind} {number} {arguments.seed}"))
            short[kind] += refused
            lost += [f"{kind} {number}: {problem}" for problem in problems]
        print(f"{kind}: {arguments.tries} tries, {short[kind]} of them cut short; lost so far: {len(lost)}", flush=True)
    print("\n".join(lost))
    sys.exit(bool(lost))


def attempt(kind: str, chance: random.Random) -> tuple[bool, list[str]]:
    """(whether the first run was cut short, what was lost) of one try."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        out, store = folder / "out", folder / "store"
        if kind in ("full", "quota"):
            small = folder / "small"
            small.mkdir()
            places = chance.choice([("out",), ("store",), ("out", "store")])
            out, store = ((small if place in places else folder) / place for place in ("out", "store"))
            mount = _small_disk if kind == "full" else _quota
            with mount(small, chance.randrange(8, 320)) as make_room:
                return _tried(out, store, make_room, wants_parity=False)
        with _foreign(store) if kind == "foreign" else _read_only(store):
            return _tried(out, store, lambda: None, wants_parity=True)


def _tried(out: Path, store: Path, make_room: Callable[[], None], wants_parity: bool) -> tuple[bool, list[str]]:
    problems = []
    code, said = _start(out, store)
    cut_short = not _complete(out)
    if code not in (0, 2) or "Traceback" in said or (code == 2 and said.count("\n") != 1):
        problems.append(f"exit code {code}: {said[-300:]}")
    if wants_parity and cut_short:
        problems.append(f"not finished: {said[-300:]}")
    journal = _journal(out)
    make_room()
    for _ in range(_MOST_RUNS):
        if _complete(out):
            break
        code, said = _start(out, store)
        if not _journal(out).startswith(journal):
            problems.append("entries were lost")
        journal = _journal(out)
    else:
        return cut_short, [*problems, f"it does not finish, exit code {code}: {said[-300:]}"]
    cells = json.loads((out / RESULTS).read_text())["cells"]
    problems += [f"{c['id']}: {c['status']}: {c['reason']}" for c in cells if c["status"] != "ok" or not c["timing"]]
    problems += [f"{c['id']} has no parity" for c in cells if wants_parity and not c["parity"]]
    return cut_short, problems


def _start(out: Path, store: Path) -> tuple[int, str]:
    command = [sys.executable, "-m", "tests.support.trials.short_storage", "--run", str(out), str(store)]
    limited = ["setpriv", f"--bounding-set={_CAPABILITIES}", *command]
    done = subprocess.run(limited, cwd=ROOT, capture_output=True, text=True, timeout=_LONGEST_S, check=False)
    return done.returncode, done.stderr


def _run(out: Path, store: Path) -> int:
    plan = replace(short_plan(), parity=True, fp64=False)
    if not (store / "references").exists():
        plan = replace(plan, parity=False)
    try:
        engine.run(plan, out, ArtifactStore(store), Observer())
    except DepthportError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


def _complete(out: Path) -> bool:
    results = out / RESULTS
    return results.exists() and json.loads(results.read_text())["complete"]


def _journal(out: Path) -> bytes:
    """The intact lines of a run's journal."""
    path = out / JOURNAL_NAME
    return b"".join(parse(path.read_bytes()).lines) if path.exists() else b""


def _fill(store: Path) -> None:
    """Everything that a run of the short plan takes from a store: its artifact and upstream's outputs."""
    plan = short_plan()
    with tempfile.TemporaryDirectory() as out:
        engine.run(plan, Path(out), ArtifactStore(store), Observer())
    artifact, *_ = ArtifactStore(store).artifacts()
    folder = store / "references" / plan.reference_name()
    folder.mkdir(parents=True)
    for index, scene in enumerate(plan.scenes):
        write_npz(folder / f"fp32-{index}.npz", fake_outputs(scene.image, artifact.manifest.outputs))


@contextmanager
def _mounted(folder: Path, *arguments: str) -> Iterator[None]:
    folder.mkdir(exist_ok=True)
    subprocess.run(["mount", *arguments, str(folder)], check=True, capture_output=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def _done(command: list[str]) -> None:
    subprocess.run(command, check=True, capture_output=True)


@contextmanager
def _small_disk(folder: Path, kib: int) -> Iterator[Callable[[], None]]:
    with _mounted(folder, "-t", "tmpfs", "-o", f"size={kib}k", "tmpfs"):
        yield lambda: _done(["mount", "-o", "remount,size=64m", str(folder)])


@contextmanager
def _quota(folder: Path, kib: int) -> Iterator[Callable[[], None]]:
    with tempfile.NamedTemporaryFile() as image:
        os.truncate(image.name, 300 << 20)
        subprocess.run(["mkfs.btrfs", "-q", "-f", image.name], check=True, capture_output=True)
        with _mounted(folder, "-o", "loop", image.name):
            subprocess.run(["btrfs", "quota", "enable", str(folder)], check=True, capture_output=True)
            # What is made below counts towards the top level's group; its own metadata are some 16 KiB.
            limit = ["btrfs", "qgroup", "limit"]
            subprocess.run([*limit, f"{kib + 64}K", "0/5", str(folder)], check=True, capture_output=True)
            yield lambda: _done([*limit, "none", "0/5", str(folder)])


@contextmanager
def _read_only(store: Path) -> Iterator[None]:
    with _mounted(store, "-t", "tmpfs", "tmpfs"):
        _fill(store)
        subprocess.run(["mount", "-o", "remount,ro", str(store)], check=True)
        yield


@contextmanager
def _foreign(store: Path) -> Iterator[None]:
    _fill(store)
    for path in (store, *store.rglob("*")):
        os.chown(path, STRANGER, STRANGER)
    yield
    shutil.rmtree(store)


if __name__ == "__main__":
    main()
