"""Conditions for measuring on a machine: cool, on mains, otherwise idle."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from filelock import Timeout

from depthport.bench.environment.telemetry import Telemetry
from depthport.bench.fleet.description import Conditions
from depthport.bench.results.sections import Reading
from depthport.exporters.core.errors import DepthportError
from depthport.exporters.core.files.locking import exclusive
from depthport.exporters.core.files.private import cache_root

LOOK_S = 1.0
"""Time for which others' use of the CPUs is watched."""
AGAIN_S = 5.0
LOCK = "measuring.lock"


class NotNow(DepthportError):
    """The machine did not meet the conditions in time."""

    exit_code = os.EX_TEMPFAIL if hasattr(os, "EX_TEMPFAIL") else 75


def look() -> Reading:
    """The machine over one second, as bench/environment/telemetry.py reads it."""
    telemetry = Telemetry()
    try:
        token = telemetry.before(())
        time.sleep(LOOK_S)
        return telemetry.after(token, None)
    finally:
        telemetry.close()


def hindrance(seen: Reading, conditions: Conditions) -> str | None:
    """Return why a machine in that state is not measured, in a few words; None: nothing is known to be in the way."""
    if seen.get("on_battery") and not conditions.on_battery:
        return "on battery: plug it in"
    gpus = seen.get("gpus") or ()
    heat = [t for t in (seen.get("cpu_temperature_c"), *(g.get("temperature_c") for g in gpus)) if t is not None]
    if conditions.max_temperature_c is not None and heat and max(heat) > conditions.max_temperature_c:
        return f"hot: {max(heat):.0f} °C, over {conditions.max_temperature_c:.0f} °C"
    if conditions.max_load is not None:
        for what, share in (
            ("CPUs", seen.get("foreign_cpu_share")),
            *((f"GPU {g.get('index', 0)}", (g.get("utilization_percent") or 0) / 100) for g in gpus),
        ):
            if share is not None and share > conditions.max_load:
                return f"busy: others use {share:.0%} of its {what}, over {conditions.max_load:.0%}"
    return None


@contextmanager
def fit(
    conditions: Conditions,
    waiting: Callable[[str], None],
    *,
    observe: Callable[[], Reading] = look,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[None]:
    """Hold the machine for one measurement once it meets the conditions: no other fleet's runs at the same time.

    Dask's resources know one scheduler's tasks alone; two fleets may have a machine each their own way, so that one
    measures at a time is a lock of the machine's user.

    Args:
        waiting: called with the reason for as long as there is one.

    Raises:
        NotNow: it was not fit within `conditions.wait_s`.
    """
    until = clock() + conditions.wait_s
    while True:
        with ExitStack() as held:
            try:
                held.enter_context(exclusive(cache_root() / "fleet" / LOCK, timeout_s=0))
                reason = hindrance(observe(), conditions)
            except Timeout:
                reason = "busy: another fleet measures on it"
            if reason is None:
                yield
                return
        if clock() >= until:
            raise NotNow(f"{reason}; waited {conditions.wait_s:.0f} s: run the fleet again later")
        waiting(reason)
        sleep(AGAIN_S)
