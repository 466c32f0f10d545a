"""The codes of :mod:`depthport.bench.analysis.advice` and their words: what was noticed, and what to do about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum


class Code(str, Enum):
    """Codes of everything that can be noticed."""

    # about the run
    CONTROL_FAILED = "control-failed"
    NOISE_FLOOR = "noise-floor"
    SYNTHETIC_WEIGHTS = "synthetic-weights"
    MEMORY_RELAUNCH = "memory-relaunch"
    PARKED_NOISE = "parked-noise"
    ON_BATTERY = "on-battery"
    LOW_POWER = "low-power"
    # about a cell, or about the machine
    THROTTLED = "throttled"
    FOREIGN_PROCESS = "foreign-process"
    # about a cell
    NO_STEADY_STATE = "no-steady-state"
    UNSTABLE = "unstable"
    DRIFTING = "drifting"
    NOT_DETERMINISTIC = "not-deterministic"
    FALLBACK = "fallback"
    HOST_BOUND = "host-bound"
    TRANSFER_BOUND = "transfer-bound"
    SLOW_SYNC = "slow-sync"


TEXTS: Mapping[Code, tuple[str, str]] = {
    Code.CONTROL_FAILED: (
        "a comparison with a known answer came out wrong: {detail}",
        "do not trust this run's ratios: close other programs, let the machine cool, give a larger time"
        " budget, then run again",
    ),
    Code.NOISE_FLOOR: (
        "the same cell against itself is only known to {interval}: smaller differences are noise today",
        "close other programs, fix the clocks, or give a larger time budget",
    ),
    Code.SYNTHETIC_WEIGHTS: (
        "random weights ({weights}): timing and parity are valid, depth values are not",
        "give the real checkpoint with --weights",
    ),
    Code.MEMORY_RELAUNCH: (
        "the workers did not fit in memory together: each was restarted for every visit",
        "pairing is looser and warm-up repeats: free memory, or measure fewer cells or a smaller shape",
    ),
    Code.PARKED_NOISE: (
        "parked workers used {share} of a CPU while others were timed",
        "a runtime's thread pool spins while idle: turn its spinning off, or measure that runtime in a run of its own",
    ),
    Code.ON_BATTERY: ("the machine ran on battery in {blocks}", "plug it in: power limits differ on battery"),
    Code.LOW_POWER: ("a low-power mode was on in {blocks}", "switch the system to its normal or performance power mode"),
    Code.THROTTLED: (
        "clocks were held down: {causes}",
        "improve cooling, raise the power limit or lock the clocks; compare only with runs throttled alike",
    ),
    Code.FOREIGN_PROCESS: (
        "others used this machine: {causes}",
        "close other programs, or reserve the machine and its device",
    ),
    Code.NO_STEADY_STATE: (
        "latency had not settled when the warm-up budget ended",
        "its figures hold for a process this young: allow a longer warm-up, or use the sustained regime",
    ),
    Code.UNSTABLE: (
        "latency varies by {cv} (coefficient of variation; over {limit} is unstable)",
        "read the interval and the percentiles, not the median alone; look for what else the machine did",
    ),
    Code.DRIFTING: (
        "latency {direction} by {drift} a minute",
        "the machine warms up or cools down: use the sustained regime to see where it settles",
    ),
    Code.NOT_DETERMINISTIC: (
        "the same input gave different bits {where}",
        "expect parity to vary by as much; for repeatable bits fix the kernels (deterministic algorithms, no"
        " autotuning, a kept engine or timing cache)",
    ),
    Code.FALLBACK: (
        "part of the model ran elsewhere than on {device}: {what}",
        "see the cell's placement; export it with operators that are supported, or choose another runtime",
    ),
    Code.HOST_BOUND: (
        "host-bound: enqueueing takes {share} of the device's time",
        "use a CUDA graph or a compiled mode, or run more scenes at once",
    ),
    Code.TRANSFER_BOUND: (
        "transfer-bound: from numpy to numpy takes {ratio} times the time on the device",
        "keep inputs and outputs on the device, use pinned memory, or ask for fewer outputs",
    ),
    Code.SLOW_SYNC: (
        "waiting for a device that has nothing to do takes {sync}, {share} of a call",
        "device figures spread it over grouped calls; a program that waits after every call pays it in full",
    ),
}
"""Message and advice of each code; the message's fields are filled from the facts."""


@dataclass(frozen=True)
class Advice:
    """One thing noticed."""

    code: Code
    message: str
    advice: str

    @classmethod
    def of(cls, code: Code, **figures: str) -> Advice:
        """Fill the code's message with figures."""
        message, advice = TEXTS[code]
        return cls(code, message.format(**figures), advice)

    def to_json(self) -> dict[str, str]:
        """Return the form of `Cell.advice` and `Results.warnings`."""
        return {"code": self.code.value, "message": self.message, "advice": self.advice}
