"""The regimes beside `burst` as data: `sustained` (latency over minutes) and `fixed-rate` (deadlines at a frame rate)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from depthport.exporters.core.asked import FRAMES, MINUTES, RATE_HZ, known_name
from depthport.exporters.core.errors import UsageError

MIN_SUSTAINED_S = 600.0
NAMED = ("burst", "sustained")
"""Names that `--regime` takes; a fixed rate is asked for by the rate."""


@dataclass(frozen=True)
class Regime:
    """Load on every cell: always at the host boundary, numpy in and numpy out."""

    kind: Literal["sustained", "fixed-rate"]
    seconds: float
    rate_hz: float | None = None

    def __post_init__(self) -> None:
        if self.kind == "sustained":
            check_sustained(self.seconds)
        else:
            frames_in(self.rate_hz or 0.0, self.seconds)


def parse_regime(name: str, minutes: float | None, rate_hz: float | None) -> Regime | None:
    """The regime the command line asks for; None for `burst`, the default.

    Raises:
        UsageError: an unknown regime, or a time or rate it does not take.
    """
    if rate_hz is not None:
        known_name("regime", name, ("burst", "sustained", "fixed-rate"))
        if name == "sustained":
            raise UsageError("--rate-hz sets the regime itself: leave --regime out")
        return Regime("fixed-rate", 60 * (1.0 if minutes is None else minutes), rate_hz)
    if name == "burst":
        if minutes is not None:
            raise UsageError("--minutes goes with --regime sustained or --rate-hz; burst takes --budget")
        return None
    known_name("regime", name, NAMED, "give --rate-hz")
    return Regime("sustained", 60 * (10.0 if minutes is None else minutes))


def check_sustained(seconds: float) -> None:
    """Raise UsageError for a sustained run too short to show what it is for."""
    MINUTES.check(seconds / 60)
    if seconds < MIN_SUSTAINED_S:
        raise UsageError(
            f"a sustained run takes at least {MIN_SUSTAINED_S:.0f} s, not {seconds:g}: a chip needs minutes to warm up"
        )


def frames_in(rate_hz: float, seconds: float) -> int:
    """Return the number of frames due within `seconds`, all deadlines included.

    Raises:
        UsageError: the rate or the time is not a positive number, or less than one frame fits.
    """
    RATE_HZ.check(rate_hz)
    MINUTES.check(seconds / 60)
    FRAMES.check(max(1.0, rate_hz * seconds))
    frames = math.floor(rate_hz * seconds + 1e-9)
    if frames < 1:
        raise UsageError(f"no frame fits into {seconds:g} s at {rate_hz:g} Hz: give a longer time")
    return frames
