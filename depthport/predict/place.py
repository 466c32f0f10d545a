"""Choice of the runtime and device for an artifact."""

from __future__ import annotations

from dataclasses import dataclass

from depthport.exporters.core.errors import UnavailableError, UnsupportedError
from depthport.runtimes.base import Device, Runtime
from depthport.runtimes.registry import get_runtime, runtimes


@dataclass(frozen=True)
class Place:
    """Runtime and device for an artifact."""

    runtime: Runtime
    device: Device
    mode: str | None = None
    threads: int | None = None


def choose_place(format: str, runtime: str | None, device: str | None, mode: str | None, threads: int | None) -> Place:
    """The runtime and device that are asked for, or the first that fit: accelerators before CPUs.

    What is not deployed where it would run here (a browser's page, a phone's kernels, a runtime that only shows numbers)
    comes last.

    Raises:
        UnsupportedError: the runtime doesn't run the format.
        UnavailableError: nothing here does.
    """
    if runtime is not None:
        chosen = get_runtime(runtime)
        if format not in chosen.formats:
            raise UnsupportedError(f"runtime {runtime!r} runs {' or '.join(chosen.formats)}, not {format!r}")
        candidates = [chosen]
    else:
        candidates = [one for name in runtimes() if format in (one := get_runtime(name)).formats]
    reasons = []
    found: list[Place] = []
    for one in candidates:
        one.begin(device)
        for place in (*one.probe(), *one.groups([device] if device else [])):
            if device is not None and place.name != device:
                continue
            if place.available:
                found.append(Place(one, place, one.mode(place, mode).name if mode else None, threads))
            else:
                reasons.append(
                    f"{one.name} on {place.name}: {place.unavailable}" + (f": {place.remedy}" if place.remedy else "")
                )
    if not found:
        wanted = f"device {device!r}" if device else "device"
        raise UnavailableError(
            reasons[0] if reasons else f"no {wanted} here runs format {format!r}: see `depthport doctor`"
        )
    return min(found, key=lambda place: (*place.device.preference, place.device.name == "cpu"))
