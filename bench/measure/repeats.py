"""Which blocks are run again because other work on the machine kept their threads waiting for a CPU."""

from __future__ import annotations

from collections import deque

RESTLESS = 0.05
"""Share of a block spent waiting for a CPU from which it is run again."""
ATTEMPTS = 3
"""Times that a block is run at most in one visit; the calmest of them counts (bench/analysis/samples.py)."""
HOPE, LATEST = 0.1, 16
"""Share of the latest blocks that were calm, below which none is run again: where others never pause it would not help."""


class Repeats:
    """Decides it by how long blocks waited, never by how long they took."""

    def __init__(self, attempts: int = ATTEMPTS) -> None:
        self._attempts = attempts
        self._calm = deque([True], LATEST)

    def again(self, calm_share: float | None, attempts: int) -> bool:
        """Return whether a block that was run `attempts` times in this visit is run once more.

        Args:
            calm_share: of the last attempt, what its threads did not wait; None where that is unknown.
        """
        calm = calm_share is None or calm_share > 1.0 - RESTLESS
        self._calm.append(calm)
        return not calm and attempts < self._attempts and sum(self._calm) >= HOPE * len(self._calm)
