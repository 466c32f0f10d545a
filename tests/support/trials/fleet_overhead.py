"""What being a machine of a fleet costs a measurement: the same session with the fleet's processes running and stopped.

    python -m tests.support.trials.fleet_overhead MODEL.onnx --pairs 60

A worker of a fleet that has a job under way (its command waits) is let run and is stopped (SIGSTOP) in mirrored order,
every pair in one process and on one session of ONNX Runtime, so that what else the machine does falls on both. Printed:
the ratio with / without and its 95 % interval, the same of two halves of the blocks without (A/A), and the CPU time that
the fleet's processes took a second, with this project's settings and with Dask's own.
"""

from __future__ import annotations

import argparse
import math
import os
import signal
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from tests.bench.fleet.test_dask import fleet_run
from tests.support.fleet import Host, describe, hosts, journals, wait_for

SETTLE_S = 0.05


def cpu_s(pids: list[int]) -> float:
    """CPU time of processes so far."""
    ticks = 0
    for pid in pids:
        fields = (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def block(session: Any, feed: dict[str, Any], calls: int) -> float:
    """Median seconds of some calls in a row."""
    times = []
    for _ in range(calls):
        began = time.perf_counter()
        session.run(None, feed)
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def interval(logs: list[float]) -> str:
    mean = statistics.fmean(logs)
    half = 1.96 * statistics.stdev(logs) / math.sqrt(len(logs))
    return f"{math.exp(mean):.4f} [{math.exp(mean - half):.4f}, {math.exp(mean + half):.4f}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--pairs", type=int, default=60)
    parser.add_argument("--calls", type=int, default=10)
    parser.add_argument("--plain", action="store_true", help="with Dask's own settings in place of ours")
    asked = parser.parse_args()
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(asked.model), options, providers=["CPUExecutionProvider"])
    spec = session.get_inputs()[0]
    feed = {spec.name: np.random.default_rng(0).standard_normal([int(d) for d in spec.shape]).astype(np.float32)}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        description = describe(folder, ["box"])
        fleet_run(description, folder / "out")
        plain = {"DEPTHPORT_PLAIN_DASK": "1"} if asked.plain else {}
        box = Host(description, "box", folder, seconds=3600, environment=plain)
        with hosts(box):
            wait_for(lambda: bool(journals(box)), 120)
            time.sleep(5)
            pids = [box.process.pid, *box.workers()]
            before, began = cpu_s(pids), time.monotonic()
            time.sleep(20)
            used = (cpu_s(pids) - before) / (time.monotonic() - began)
            print(f"CPU of the fleet's {len(pids)} processes: {1000 * used:.1f} ms a second", flush=True)
            block(session, feed, asked.calls)
            with_: list[float] = []
            without: list[float] = []
            for pair in range(asked.pairs):
                order = (True, False, False, True) if pair % 2 == 0 else (False, True, True, False)
                for running in order:
                    for pid in pids:
                        os.kill(pid, signal.SIGCONT if running else signal.SIGSTOP)
                    time.sleep(SETTLE_S)
                    (with_ if running else without).append(math.log(block(session, feed, asked.calls)))
            for pid in pids:
                os.kill(pid, signal.SIGCONT)
    both = [sum(with_[2 * i : 2 * i + 2]) / 2 - sum(without[2 * i : 2 * i + 2]) / 2 for i in range(asked.pairs)]
    own = [without[2 * i] - without[2 * i + 1] for i in range(asked.pairs)]
    print(f"with / without the fleet: {interval(both)}, {asked.pairs} mirrored pairs of {2 * asked.calls} calls")
    print(f"without / without (A/A):  {interval(own)}")
    print(f"median call {1000 * math.exp(statistics.median(without)):.2f} ms, load average {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
