"""Error rates of the harness on this machine: real runs of a small model whose right answer is known.

    python -m depthport.bench.studies.false_alarms --runs 40

Every run measures da3-small at 70×98 on ONNX Runtime beside its two controls: A/A (the same cell in a second process;
"faster" or "slower" is a false alarm) and +5 % (a calibrated delay; anything but "slower" is a miss).
"""

from __future__ import annotations

import argparse
import collections
import tempfile
from dataclasses import replace
from pathlib import Path

from depthport.bench.measure import engine
from depthport.bench.measure.api import plan
from depthport.bench.measure.observer import Observer
from depthport.bench.plan.protocol import RIGOROUS
from depthport.bench.plan.request import Filters
from depthport.exporters.core.store import ArtifactStore


def main() -> None:
    """Run the study, and print how often the verdicts were wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=40)
    parser.add_argument("--budget", type=float, default=RIGOROUS.budget_s, help="timed seconds per run")
    parser.add_argument("--launches", type=int, default=RIGOROUS.launches, help="default: chosen by the budget")
    arguments = parser.parse_args()
    verdicts: dict[str, collections.Counter[str]] = {"aa": collections.Counter(), "plus5": collections.Counter()}
    with tempfile.TemporaryDirectory() as folder:
        store = ArtifactStore(Path(folder) / "store")
        template = plan(
            "da3-small",
            height=70,
            width=98,
            weights="synthetic:0",
            filters=Filters(runtimes=("onnxruntime",), devices=("cpu",)),
            budget_s=arguments.budget,
            launches=arguments.launches,
        )
        cell = replace(next(c for c in template.cells if c.runtime == "onnxruntime"), baseline=True)
        for number in range(arguments.runs):
            request = replace(template.request, protocol=replace(template.protocol, seed=number))
            the_plan = replace(template, cells=(cell,), request=request, parity=False)
            results = engine.run(the_plan, Path(folder) / f"run-{number}", store, Observer())
            for name, control in results.controls.items():
                verdicts[name][control.verdict] += 1
                print(f"run {number} {name}: {control.reason}", flush=True)
    false_alarms = verdicts["aa"]["faster"] + verdicts["aa"]["slower"]
    found = verdicts["plus5"]["slower"]
    print(f"A/A: {dict(verdicts['aa'])}: {false_alarms} of {arguments.runs} false alarms")
    print(f"+5 %: {dict(verdicts['plus5'])}: found in {found} of {arguments.runs}")


if __name__ == "__main__":
    main()
