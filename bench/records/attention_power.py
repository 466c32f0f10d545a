"""What limits attention across views on an NVIDIA GPU: the same kernel on random numbers and on zeros, with its power.

    python bench/records/attention_power.py --tokens 41504 166016 --seconds 3

Zeros switch no transistors of the multipliers: what the kernel gains on them is what the card's power limit takes away.
TFLOP/s count 4 · tokens² · channels; power, clock and the reason for the clock are NVML's, every 20 ms.
"""

from __future__ import annotations

import argparse
import statistics
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

from depthport.exporters.core.nvidia import nvml


class Reading(NamedTuple):
    """What the driver says at one moment."""

    watts: float
    mhz: int
    capped: bool
    """The power limit holds the clock down."""


def main() -> None:
    """Print a line for each number of tokens and kind of operands."""
    import torch

    from depthport.exporters.da3.kernels.attention import LOG2_E, attention

    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tokens", type=int, nargs="+", default=[41504, 166016])
    parser.add_argument("--heads", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=3.0)
    given = parser.parse_args()
    for tokens in given.tokens:
        size = (1, tokens, given.heads, 64)
        noise = [torch.randn(size, device="cuda", dtype=torch.bfloat16) for _ in range(3)]
        # Queries that hold the scale, as in the network, and scores that stay in range.
        noise[0] *= LOG2_E / 8
        for name, operands in (("random", noise), ("zeros", [torch.zeros_like(part) for part in noise])):

            def run(operands: list[torch.Tensor] = operands) -> None:
                q, k, v = operands
                attention(q, k, v, 1.0, True)
                torch.cuda.synchronize()

            ms, readings = timed(run, given.seconds)
            tflops = 4 * tokens**2 * given.heads * 64 / ms / 1e9
            watts, mhz = (statistics.median(column) for column in list(zip(*readings, strict=True))[:2])
            capped = sum(reading.capped for reading in readings) / len(readings)
            print(
                f"{tokens} tokens, {name}: {ms:.2f} ms, {tflops:.0f} TFLOP/s, {watts:.0f} W, {mhz:.0f} MHz, "
                f"clock held down by the power limit in {capped:.0%} of {len(readings)} readings"
            )


def timed(run: Callable[[], None], seconds: float) -> tuple[float, list[Reading]]:
    """Median ms of calls for `seconds` after two that do not count, and what the driver said meanwhile."""
    run()
    run()
    readings: list[Reading] = []
    done = threading.Event()
    watcher = threading.Thread(target=_watch, args=(readings, done))
    watcher.start()
    samples, end = [], time.perf_counter() + seconds
    while time.perf_counter() < end:
        begin = time.perf_counter()
        run()
        samples.append(1e3 * (time.perf_counter() - begin))
    done.set()
    watcher.join()
    return statistics.median(samples), readings


def _watch(readings: list[Reading], done: threading.Event) -> None:
    with nvml() as library:
        handle = library.nvmlDeviceGetHandleByIndex(0)
        while not done.wait(0.02):
            reasons = library.nvmlDeviceGetCurrentClocksEventReasons(handle)
            readings.append(
                Reading(
                    library.nvmlDeviceGetPowerUsage(handle) / 1e3,
                    library.nvmlDeviceGetClockInfo(handle, library.NVML_CLOCK_SM),
                    bool(reasons & library.nvmlClocksEventReasonSwPowerCap),
                )
            )


if __name__ == "__main__":
    main()
