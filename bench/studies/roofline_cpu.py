"""The CPU's roof: how fast fp32 matrices multiply here, at the network's own shapes.

    python -m depthport.bench.studies.roofline_cpu [--threads 1,2]

The rate is that of the BLAS that numpy brings, the best of several repetitions: what
this machine can do, not what it does while others use it. A cell's share of it is `network FLOP / latency / rate`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from dataclasses import asdict, dataclass

# (rows, inner, columns): the four linear layers of da3-small's blocks at 1297 tokens, and one that fills every cache.
SHAPES = ((1297, 384, 1152), (1297, 384, 384), (1297, 384, 1536), (1297, 1536, 384), (2048, 2048, 2048))
REPETITIONS = 12


@dataclass(frozen=True)
class Roof:
    """sgemm on `threads` threads."""

    threads: int
    gflop_s: float
    """Best over shapes, by the clock."""
    gflop_s_per_cpu_second: float
    """The same by CPU time, which others' load changes less."""


def measure(threads: int) -> Roof:
    """The roof, in a process of its own: BLAS libraries read their thread count once, when they are loaded."""
    counts = {name: str(threads) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
    done = subprocess.run(
        [sys.executable, "-c", "from depthport.bench.studies.roofline_cpu import print_rates; print_rates()"],
        env={**os.environ, **counts}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    clock, cpu = json.loads(done.stdout)
    return Roof(threads, clock, cpu)


def print_rates() -> None:
    """Best GFLOP/s by the clock and by CPU time, as a JSON pair on stdout; what :func:`measure` starts."""
    import numpy as np

    rng = np.random.default_rng(0)
    best_clock = best_cpu = 0.0
    for rows, inner, columns in SHAPES:
        a = rng.standard_normal((rows, inner), dtype=np.float32)
        b = rng.standard_normal((inner, columns), dtype=np.float32)
        out = np.empty((rows, columns), np.float32)
        for _ in range(REPETITIONS):
            clock, cpu = time.perf_counter(), time.process_time()
            np.matmul(a, b, out=out)
            gflop = 2e-9 * rows * inner * columns
            best_cpu = max(best_cpu, gflop / max(time.process_time() - cpu, 1e-9))
            best_clock = max(best_clock, gflop / (time.perf_counter() - clock))
    print(json.dumps([best_clock, best_cpu]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--threads", default=None, help="comma-separated; default: 1 and what the cgroup allows")
    text = parser.parse_args().threads
    if text is None:
        from depthport.runtimes.host.threads import allowed_threads

        counts = sorted({1, allowed_threads()})
    else:
        counts = [int(part) for part in text.split(",")]
    print(json.dumps([asdict(measure(count)) for count in counts], indent=1))


if __name__ == "__main__":
    main()
