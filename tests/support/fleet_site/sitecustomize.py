"""In place of measuring: an engine that takes a given time, keeps a journal as ours does, and gives made-up figures.

On the path of the processes that stand for a fleet's machines (tests/support/fleet.py): what carries a suite to a machine,
starts it, loses it and goes on is the real thing, what it carries takes a second.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

STEPS = 10


@dataclass(frozen=True)
class FakePlan:
    asked: dict[str, Any]
    bundle: Any = None


def install(seconds: float) -> None:
    from depthport.bench.measure import api, engine
    from depthport.bench.measure.signals import exit_code_of

    def run(plan: FakePlan, out: Path, store: Any, observer: Any, *, overwrite: bool = False) -> Any:
        from depthport.bench.results.model import Cell, Control, Results, Timing
        from depthport.exporters.core.files.atomic import storage_errors, write_json
        from depthport.exporters.core.files.locking import exclusive

        with storage_errors(out), exclusive(out / ".lock", timeout_s=0):
            journal = out / "journal.jsonl"
            journal.touch()
            observer.stage("measuring")
            try:
                while (done := len(journal.read_text().splitlines())) < STEPS:
                    time.sleep(seconds / STEPS)
                    with journal.open("a") as stream:
                        stream.write(f"{os.getpid()}:{time.time()}\n")
                    observer.budget(done + 1, STEPS)
            except KeyboardInterrupt as stop:
                raise engine.Interrupted("stopped", exit_code_of(stop)) from None
            (out / "pictures").mkdir(exist_ok=True)
            (out / "pictures" / "depth.png").write_bytes(bytes(int(os.environ.get("DEPTHPORT_FAKE_BYTES", "1000"))))
            ms = float(os.environ.get("DEPTHPORT_FAKE_MS", "10"))
            timing = Timing(ms, (ms * 0.99, ms * 1.01), ms, 0.1, ms, None, None, None, 20, 1000 / ms)
            asked = plan.asked
            cell = Cell(
                id="onnxruntime/cpu/default/fp32", model=asked["model"], batch=asked["batch"], views=asked["views"],
                height=asked["height"], width=asked["width"], weights=asked["weights"].id, format="onnx",
                runtime="onnxruntime", device="cpu", mode="default", precision="fp32", timing={"host": timing},
            )  # fmt: skip
            results = Results(
                environment={"cpu": {"model": os.environ.get("DEPTHPORT_FAKE_CPU", "A CPU"), "usable_cores": 2}},
                protocol={"name": "quick"},
                inputs={"notes": journal.read_text().split()},
                weights={asked["model"]: {"id": asked["weights"].id, "synthetic": True}},
                cells=[cell],
                controls={"aa": Control(1.0, (0.99, 1.01), "equivalent", "equivalent", True)},
                created="2026-03-01T10:00:00+00:00",
                bundle=plan.bundle,
            )
            write_json(out / "results.json", results.to_json())
            return results

    api.plan = lambda model, **asked: FakePlan({"model": model, **asked})  # type: ignore[assignment]
    engine.run = run  # type: ignore[assignment]


if "DEPTHPORT_PLAIN_DASK" in os.environ:  # to see what Dask's own settings cost (tests/support/trials/fleet_overhead.py)
    from depthport.bench.fleet import cluster

    cluster.QUIET.clear()

if "DEPTHPORT_FAKE_S" in os.environ:
    install(float(os.environ["DEPTHPORT_FAKE_S"]))
