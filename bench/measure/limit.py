"""Time limit of a whole run, exports and reference included."""

from __future__ import annotations

import time
from typing import ClassVar

EXPORTS_SHARE = 0.6
"""Largest share of a limited run's time for its exports: the rest is for measuring them."""
ONE_EXPORTS_SHARE = 0.5
"""Largest share of the remaining time for one export: a slow one must not cost those after it."""


class Limit:
    """A share of a number of seconds, from now on; None: any time."""

    REASON: ClassVar[str] = "the time was up"

    def __init__(self, seconds: float | None, share: float = 1.0) -> None:
        self._end = None if seconds is None else time.monotonic() + share * seconds

    def within(self, timeout_s: float, share: float = 1.0) -> float:
        """The timeout, or that share of what is left where it is less."""
        return timeout_s if self._end is None else min(timeout_s, share * (self._end - time.monotonic()))

    def over(self) -> bool:
        """Return whether what is left is too little to begin anything."""
        return self.within(2.0) <= 1.0
