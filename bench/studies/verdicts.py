"""How wide and how right the verdicts of a build are, on CPUs that are not quiet: real runs whose right answer is known.

    python -m depthport.bench.studies.verdicts run --package OLD --package . --store STORE --at-once 16 >> lines.jsonl
    python -m depthport.bench.studies.verdicts summary lines.jsonl

`run` prints one JSON line a run: `--runs` of every package, kind and load, in turns. A run is either a `pair` (da3-small on
PyTorch and ONNX Runtime beside upstream: how wide is the ratio of the fastest?) or `controls` (ONNX Runtime alone with its
A/A and +5 % twins: how often is the verdict wrong?). It shares its CPUs with its load alone: busy processes.
`--at-once` runs several side by side, on CPUs none of which shares a physical core with another run's. A `--package` is the
checkout or installation whose `depthport` is tried, so that two builds can be compared on one machine. Exports are made
first, in a store for each package.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import os
import queue
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

LOADS = {"idle": (0, 0.0), "20%": (None, 0.2), "busy": (1, 1.0)}
"""Busy processes (None: one a CPU) and the share of the time that each is busy."""
KINDS = {"pair": ("504x504", 120.0), "controls": ("70x98", 30.0)}
"""Image size and seconds of each."""
_BURST_S = 0.02, 0.4
_LONGEST_S = 3600.0
_CPUS_EACH = 2
_Z95 = 1.96


def main() -> None:
    """Run the study, or sum up its lines."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="real runs, a JSON line each")
    run.add_argument(
        "--package", type=Path, action="append", required=True, help="folder that holds the package `depthport`"
    )
    run.add_argument("--store", type=Path, required=True, help="folder for the artifacts")
    run.add_argument("--load", choices=LOADS, action="append", help="default: all")
    run.add_argument("--kind", choices=KINDS, action="append", help="default: both")
    run.add_argument("--runs", type=_count, default=20, help="of each package, kind and load (default %(default)s)")
    run.add_argument("--at-once", type=_count, default=1, help="runs side by side, on two cores each (default %(default)s)")
    run.add_argument("--seed", type=int, default=0, help="of the first run")
    one = commands.add_parser("one", help="(what `run` starts with the package's own code)")
    one.add_argument("options")
    load = commands.add_parser("load", help="(a busy process)")
    load.add_argument("share", type=float)
    load.add_argument("seed", type=int)
    commands.add_parser("summary", help="tables of the lines of one or more files").add_argument(
        "files", nargs="+", type=Path
    )
    asked = parser.parse_args()
    if asked.command == "one":
        print(json.dumps(one_run(json.loads(asked.options))))
    elif asked.command == "load":
        be_busy(asked.share, asked.seed, os.getppid())
    elif asked.command == "summary":
        lines = [json.loads(line) for file in asked.files for line in file.read_text(encoding="utf-8").splitlines()]
        print("\n".join(summary(lines)))
    else:
        study(asked)


def study(asked: argparse.Namespace) -> None:
    """Print the line of each run as it ends."""
    slots = cpu_slots(os.sched_getaffinity(0), asked.at_once)
    free: queue.Queue[set[int]] = queue.Queue()
    for slot in slots:
        free.put(slot)

    def run(package: Path, kind: str, load: str, seed: int, budget_s: float) -> dict[str, object]:
        cpus = free.get()
        try:
            os.sched_setaffinity(0, cpus)  # of this thread, and of what it starts
            return measured(package.resolve(), kind, load, seed, budget_s, asked.store.resolve())
        finally:
            free.put(cpus)

    kinds, loads = asked.kind or list(KINDS), asked.load or list(LOADS)
    for package, kind in itertools.product(asked.package, kinds):
        run(package, kind, "idle", asked.seed, 1.0)  # makes the exports
    with ThreadPoolExecutor(len(slots)) as pool:
        runs = [
            pool.submit(run, package, kind, load, asked.seed + number, KINDS[kind][1])
            for number, kind, load, package in itertools.product(range(asked.runs), kinds, loads, asked.package)
        ]
        for ended in as_completed(runs):
            print(json.dumps(ended.result()), flush=True)


def cpu_slots(cpus: set[int], count: int) -> list[set[int]]:
    """`count` sets of CPUs, each a CPU of two physical cores that no other set uses; all `cpus` for a single one.

    Raises:
        SystemExit: there are not so many cores.
    """
    if count == 1:
        return [cpus]
    cores: dict[str, int] = {}
    for cpu in sorted(cpus):
        siblings = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
        cores.setdefault(siblings.read_text(encoding="ascii") if siblings.exists() else str(cpu), cpu)
    ours = list(cores.values())
    if len(ours) < count * _CPUS_EACH:
        raise SystemExit(f"{count} runs at once need {count * _CPUS_EACH} physical cores, not {len(ours)}")
    return [set(ours[i * _CPUS_EACH : (i + 1) * _CPUS_EACH]) for i in range(count)]


def measured(package: Path, kind: str, load: str, seed: int, budget_s: float, store: Path) -> dict[str, object]:
    """One run under a load; its line."""
    environment = {**os.environ, "PYTHONPATH": str(package), "PYTHONSAFEPATH": "1"}
    options = {"kind": kind, "size": KINDS[kind][0], "budget": budget_s, "seed": seed, "store": str(store / package.name)}
    with under_load(load, seed):
        command = [sys.executable, __file__, "one", json.dumps(options)]
        ended = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    found = json.loads(ended.stdout.splitlines()[-1])
    del options["store"]
    return {"package": package.name, "load": load, "cpus": len(os.sched_getaffinity(0)), **options, **found}


@contextmanager
def under_load(name: str, seed: int) -> Iterator[None]:
    """Keep the CPUs of this process busy as `LOADS` says."""
    processes, share = LOADS[name]
    count = len(os.sched_getaffinity(0)) if processes is None else processes
    busy = [subprocess.Popen([sys.executable, __file__, "load", str(share), str(seed * 100 + i)]) for i in range(count)]
    try:
        yield
    finally:
        for process in busy:
            process.kill()
            process.wait()


def be_busy(share: float, seed: int, parent: int) -> None:
    """Spin for bursts of 0.02 to 0.4 s and sleep between them, until the parent is gone or an hour has passed."""
    draw, end = random.Random(seed), time.monotonic() + _LONGEST_S
    while os.getppid() == parent and time.monotonic() < end:
        burst_s = draw.uniform(*_BURST_S)
        stop = time.perf_counter() + burst_s
        while time.perf_counter() < stop:
            pass
        time.sleep(burst_s * (1.0 - share) / share * draw.uniform(0.5, 1.5))


def one_run(options: dict[str, object]) -> dict[str, object]:
    """A run with the package that is imported here; what its verdicts were."""
    from depthport.bench.measure import engine
    from depthport.bench.measure.api import plan
    from depthport.bench.measure.observer import Observer
    from depthport.bench.plan.request import Filters
    from depthport.exporters.core.store import ArtifactStore

    height, width = map(int, str(options["size"]).split("x"))
    alone = options["kind"] == "controls"
    the_plan = plan(
        "da3-small",
        height=height,
        width=width,
        weights="synthetic:0",
        filters=Filters(runtimes=("onnxruntime",) if alone else ("onnxruntime", "pytorch"), devices=("cpu",)),
        budget_s=float(str(options["budget"])),
        seed=int(str(options["seed"])),
    )
    if alone:
        cell = next(c for c in the_plan.cells if c.runtime == "onnxruntime")
        the_plan = replace(the_plan, cells=(replace(cell, baseline=True),))
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        the_plan = replace(the_plan, parity=False, ground_truth=())
        results = engine.run(the_plan, Path(folder) / "out", ArtifactStore(Path(str(options["store"]))), Observer())
    found: dict[str, object] = {"wall_s": round(time.monotonic() - began, 1)}
    ratios = {c.id: c.speedup["device"] for c in results.cells if "device" in c.speedup}
    if ratios:
        pick = max(ratios, key=lambda name: ratios[name].ratio or 0.0)
        ratio = ratios[pick]
        found |= {"pick": pick, "ratio": ratio.ratio, "half_width": half_width(ratio.ci95), "verdict": ratio.verdict}
    for name, control in results.controls.items():
        found |= {name: control.verdict, f"{name}_ratio": control.ratio, f"{name}_half_width": half_width(control.ci95)}
    return found


def half_width(ci95: tuple[float, float] | None) -> float | None:
    """Half an interval of a ratio on the log scale."""
    return None if ci95 is None else math.log(ci95[1] / ci95[0]) / 2.0


def summary(lines: list[dict[str, object]]) -> list[str]:
    """A table row for each kind, load and package: half-widths (median and range), false alarms, delays found."""
    groups: dict[tuple[str, ...], list[dict[str, object]]] = {}
    for line in lines:
        key = tuple(str(line[name]) for name in ("kind", "size", "budget", "load", "package"))
        groups.setdefault(key, []).append(line)
    rows = ["| kind | size | s | load | package | runs | wall, s | ratio | ratio ± | A/A ± | A/A false | +5 % found |"]
    rows.append("|---|---|---|---|---|---|---|---|---|---|---|---|")
    for key, group in sorted(groups.items()):
        walls, ratios = _figures(group, "wall_s"), _figures(group, "ratio")
        false = sum(line.get("aa") in ("faster", "slower") for line in group)
        found = sum(line.get("plus5") == "slower" for line in group)
        cells = [
            *key,
            str(len(group)),
            f"{statistics.median(walls):.0f}",
            f"{statistics.median(ratios):.3g}" if ratios else "–",
            _spread(_figures(group, "half_width")),
            _spread(_figures(group, "aa_half_width")),
            _share(false, len(group)),
            _share(found, len(group)),
        ]
        rows.append(f"| {' | '.join(cells)} |")
    return rows


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"a whole number above 0, not {text!r}")
    return int(text)


def wilson(hits: int, runs: int) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson 1927)."""
    share, z2 = hits / runs, _Z95**2 / runs
    middle = (share + z2 / 2.0) / (1.0 + z2)
    half = math.sqrt(share * (1.0 - share) * z2 + z2 * z2 / 4.0) / (1.0 + z2)
    return middle - half, middle + half


def _figures(group: Sequence[dict[str, object]], name: str) -> list[float]:
    return sorted(float(str(line[name])) for line in group if line.get(name) is not None)


def _spread(values: list[float]) -> str:
    return f"{statistics.median(values):.2%} ({values[0]:.2%}–{values[-1]:.2%})" if values else "–"


def _share(hits: int, runs: int) -> str:
    low, high = wilson(hits, runs)
    return f"{hits} ({max(0.0, low):.0%}–{high:.0%})"


if __name__ == "__main__":
    main()
