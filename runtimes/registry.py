"""Finding runtimes by name: ours and third parties', through the entry-point group `depthport.runtimes`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from depthport.exporters.core import install
from depthport.exporters.core.errors import DepthportError, UsageError, one_line
from depthport.exporters.core.plugins import entry_points, installed_plugin, load_plugin
from depthport.runtimes.base import Device, Runtime

GROUP = "depthport.runtimes"


def runtimes() -> list[str]:
    """Names of every installed runtime adapter."""
    return list(entry_points(GROUP))


def get_runtime(name: str) -> Runtime:
    """The adapter called `name`; imports only its module.

    Raises:
        UsageError: no adapter of that name is installed.
    """
    # Abstract classes may be asked for: what is found is a concrete one.
    runtime: Runtime = load_plugin(GROUP, name, "runtime", Runtime)  # type: ignore[type-abstract]
    return runtime


def installed_runtime(name: str) -> Runtime | None:
    """The adapter registered as `name`; None where none is or it does not import. For names that a file gives."""
    runtime: Runtime | None = installed_plugin(GROUP, name)
    return runtime


def installed_runtimes() -> Iterator[Runtime]:
    """Every registered adapter that imports."""
    return (runtime for name in runtimes() if (runtime := installed_runtime(name)) is not None)


@dataclass(frozen=True)
class Surveyed:
    """Survey of this machine by one installed adapter; a broken one reports nothing and blocks no other."""

    name: str
    runtime: Runtime | None = None
    devices: tuple[Device, ...] = ()
    problem: str | None = None
    """Reason it can't be asked, in one line."""


def survey() -> Iterator[Surveyed]:
    """Every installed adapter with its devices, whatever anyone's adapter does when it is asked."""
    for name in runtimes():
        try:
            runtime = get_runtime(name)
            if not isinstance(runtime, Runtime):
                raise TypeError(f"{type(runtime).__name__} is not a depthport.runtimes.base.Runtime")
            devices = tuple(runtime.probe())
            if not all(isinstance(device, Device) for device in devices):
                raise TypeError("probe() returned something other than devices")
        except DepthportError as error:
            yield Surveyed(name, problem=str(error))
        except (Exception, SystemExit) as error:  # noqa: BLE001 - see above
            problem = f"runtime {name!r} is broken ({type(error).__name__}: {one_line(error, 120)}): reinstall or remove it"
            yield Surveyed(name, problem=problem)
        else:
            yield Surveyed(name, runtime, devices)


def baseline_runtime() -> Runtime:
    """The adapter that runs upstream as its users do.

    Raises:
        UsageError: none is installed.
    """
    for runtime in installed_runtimes():
        if runtime.baseline_mode is not None:
            return runtime
    raise UsageError(f"no installed runtime runs upstream itself: {install.ITSELF}")
