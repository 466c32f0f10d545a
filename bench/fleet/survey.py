"""Present condition of the fleet's machines, for `fleet status`."""

from __future__ import annotations

from typing import cast

from depthport.bench.fleet import remote
from depthport.bench.fleet.cluster import connected, is_from
from depthport.bench.fleet.conditions import hindrance
from depthport.bench.fleet.description import Fleet
from depthport.bench.results.sections import Reading
from depthport.exporters.core.errors import DepthportError, one_line


def survey(fleet: Fleet, scheduler: str | None) -> dict[str, str]:
    """One line a machine; where no scheduler answers, that."""
    try:
        with connected(fleet, scheduler or fleet.scheduler) as cluster:
            workers = cluster.workers()
            said = {}
            for name, machine in fleet.machine.items():
                address, seen_s = workers.get(name, (None, 0.0))
                if address is None:
                    said[name] = "not connected"
                elif not is_from(machine, address):
                    said[name] = f"a worker of this name came from {address}, not from {machine.address}"
                elif seen_s > 20:
                    said[name] = f"silent for {seen_s:.0f} s"
                else:
                    said[name] = _condition(fleet, name, cluster.ask(address, remote.condition))
            return said
    except (DepthportError, OSError) as error:
        return dict.fromkeys(fleet.machine, f"not asked: {one_line(error)}")


def _condition(fleet: Fleet, name: str, seen: object) -> str:
    if not isinstance(seen, dict):
        return "connected, but gives no details"
    return f"connected; {hindrance(cast(Reading, seen), fleet.conditions_of(name)) or 'ready to measure'}"
