"""How wide and how right the verdicts of a build are, on CPUs that are not quiet: real runs whose right answer is known.

    python -m depthport.bench.studies.verdicts run --package . --store STORE --cpus 0,1 --load busy --runs 20 >> lines.jsonl
    python -m depthport.bench.studies.verdicts summary lines.jsonl

`run` prints one JSON line a run. A run is either a `pair` (da3-small on PyTorch and ONNX Runtime beside upstream: how wide
is the ratio of the fastest?) or `controls` (ONNX Runtime alone with its A/A and +5 % twins: how often is the verdict
wrong?). Everything runs on the CPUs given, the load too: busy processes that end with the study. `--package` is the
checkout or installation whose `depthport` is tried, so that two builds can be compared on one machine. Exports come from
the store, or are made there by the first run.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

LOADS = {"idle": (0, 0.0), "20%": (None, 0.2), "busy": (1, 1.0)}
"""Busy processes (None: one a CPU) and the share of the time that each is busy."""
KINDS = ("pair", "controls")
_BURST_S = 0.02, 0.4
_LONGEST_S = 3600.0


def main() -> None:
    """Run the study, or sum up its lines."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="real runs, a JSON line each")
    run.add_argument("--package", type=Path, required=True, help="folder that holds the package `depthport`")
    run.add_argument("--store", type=Path, required=True, help="artifacts, made beforehand or by the first run")
    run.add_argument("--cpus", help="such as 0,1; default: all")
    run.add_argument("--load", choices=LOADS, default="idle")
    run.add_argument("--kind", choices=KINDS, default="pair")
    run.add_argument("--size", default="504x504")
    run.add_argument("--budget", type=float, default=120.0)
    run.add_argument("--runs", type=int, default=20)
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
    if asked.cpus:
        os.sched_setaffinity(0, {int(cpu) for cpu in asked.cpus.split(",")})  # children inherit it
    package = asked.package.resolve()
    environment = {**os.environ, "PYTHONPATH": str(package), "PYTHONSAFEPATH": "1"}
    for number in range(asked.runs):
        options = {
            "kind": asked.kind,
            "size": asked.size,
            "budget": asked.budget,
            "seed": asked.seed + number,
            "store": str(asked.store.resolve()),
        }
        with under_load(asked.load, asked.seed + number):
            ended = subprocess.run(
                [sys.executable, __file__, "one", json.dumps(options)],
                env=environment,
                stdout=subprocess.PIPE,
                text=True,
                check=True,
            )
        found = json.loads(ended.stdout.splitlines()[-1])
        line = {"package": package.name, "load": asked.load, "cpus": len(os.sched_getaffinity(0)), **options, **found}
        del line["store"]
        print(json.dumps(line), flush=True)


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
    """A table row for each package, kind and load: median half-width with quartiles, false alarms, delays found."""
    groups: dict[tuple[str, ...], list[dict[str, object]]] = {}
    for line in lines:
        key = tuple(str(line[name]) for name in ("package", "kind", "size", "budget", "load"))
        groups.setdefault(key, []).append(line)
    rows = ["| package | kind | size | s | load | runs | wall, s | ratio ± (quartiles) | A/A ± | A/A false | +5 % found |"]
    rows.append("|---|---|---|---|---|---|---|---|---|---|---|")
    for key, group in sorted(groups.items()):
        false = sum(line.get("aa") in ("faster", "slower") for line in group)
        found = sum(line.get("plus5") == "slower" for line in group)
        walls, ratios, aa = (_figures(group, name) for name in ("wall_s", "half_width", "aa_half_width"))
        spread = f"{_percent(ratios, 0.5)} ({_percent(ratios, 0.25)}–{_percent(ratios, 0.75)})" if ratios else "–"
        rows.append(
            f"| {' | '.join(key)} | {len(group)} | {statistics.median(walls):.0f} | {spread} |"
            f" {_percent(aa, 0.5)} | {false} | {found} |"
        )
    return rows


def _figures(group: list[dict[str, object]], name: str) -> list[float]:
    return sorted(float(str(line[name])) for line in group if line.get(name) is not None)


def _percent(values: list[float], quantile: float) -> str:
    return f"{100 * values[round(quantile * (len(values) - 1))]:.2f} %" if values else "–"


if __name__ == "__main__":
    main()
