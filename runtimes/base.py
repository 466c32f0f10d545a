"""The interface of a runtime: one class per runtime, found through the entry-point group `depthport.runtimes`.

A :class:`Runtime` is stateless: it says what it can run on and loads artifacts. A :class:`Session` is one loaded
model. Public methods validate, the `_underscored` ones an adapter implements do the work, so every adapter is held to
the same contract (`runtimes/contract/` runs it over all of them):

* `run()` only has to *enqueue*; `synchronize()` returns when the outputs are truly there.
* Outputs are numpy arrays, float32 (int64 for `reference_view`), by name, of the manifest's shapes.
* A session never moves to another device silently: what it could not place where it was asked to is a
  :class:`~depthport.exporters.core.errors.PlacementError` or is named in :attr:`Placement.fallback`.

Two boundaries are timed from outside with the same four calls:
`device`: `run(); synchronize()` with inputs bound before; `host`: `bind(numpy); run(); synchronize(); outputs()`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import ClassVar

from depthport.exporters.core.artifact import Artifact
from depthport.exporters.core.errors import UnavailableError, UnsupportedError, UsageError
from depthport.runtimes.session import Arrays, Session
from depthport.runtimes.terms import (
    Device,
    DeviceRates,
    LoadOptions,
    Mismatch,
    Mode,
    OperatorTime,
    Placement,
    SessionMemory,
)

__all__ = [
    "Arrays", "Device", "DeviceRates", "LoadOptions", "Mode", "OperatorTime", "Placement", "Runtime", "Session",
    "SessionMemory",
]  # fmt: skip


class Runtime(ABC):
    """The base of all runtimes: stateless, and constructing one imports nothing heavy.

    What others must know of a runtime is an attribute of its class: nothing outside its own module names it.
    """

    name: ClassVar[str]
    """Name in the entry point."""
    formats: ClassVar[tuple[str, ...]]
    """Artifact formats it executes."""
    title: ClassVar[str] = ""
    """The product as its makers write it; empty: the name."""
    licence: ClassVar[str | None] = None
    """Licence of the runtime, not of the weights: an SPDX identifier where there is one; None: unknown."""
    packages: ClassVar[tuple[str, ...]] = ()
    """Distributions whose versions belong to a measurement."""
    builds: ClassVar[tuple[str, ...]] = ()
    """Distributions that overwrite each other's files: at most one of them may be installed."""
    variables: ClassVar[tuple[str, ...]] = ()
    """Environment variables that change how fast it runs or what it computes, by their exact names: results show them."""
    quantized: ClassVar[tuple[str, ...]] = ()
    """Policies made on photographs (8 bits, or bf16 that keeps poses) that it can compute; a device lists those that are
    worth it there."""
    baseline_mode: ClassVar[str | None] = None
    """The mode that is upstream's own forward, as its users run it; None: it has none."""
    compiles: ClassVar[Mapping[str, str] | None] = None
    """Modes that compile the network when they load it, each with the mode that runs the same network uncompiled;
    None: what it runs was compiled by the export."""
    preferred: ClassVar[tuple[str, ...]] = ()
    """Modes to run in where nobody chooses, the fastest first; empty: in the order in which devices list them."""
    profiled: ClassVar[tuple[str, ...]] = ()
    """Modes whose operators :meth:`profile` can time, slowest first."""

    bound: ClassVar[bool] = False
    """True if its artifacts run only on what they were built for: ask :meth:`mismatch` before loading one."""

    def mismatch(self, artifact: Artifact, device: str) -> Mismatch | None:
        """Return why an artifact must be rebuilt for a device of this machine; None where it can be loaded as it is.

        Raises:
            ArtifactError, LoadError, UnavailableError: it can't be determined.
        """
        return None

    def default_target(self, device: str, precision: str) -> str | None:
        """The export target that beats the portable artifact on a kind of device (`cpu`, not `cuda:1`); None: none."""
        return None

    def target(self, device: str, mode: Mode, precision: str) -> str | None:
        """The export target of the artifact to run in a mode of a device; None: the portable one."""
        return mode.target or self.default_target(device.partition(":")[0], precision)

    def profile(self, session: Session, calls: int) -> tuple[list[OperatorTime], DeviceRates]:
        """Time every operator of a bound session in one of the modes `profiled`, and the device's own rates.

        Raises:
            UnsupportedError: this runtime shows no operators.
        """
        raise UnsupportedError(f"runtime {self.name!r} does not report its operators")

    @abstractmethod
    def probe(self) -> list[Device]:
        """Every device this runtime could use, available or not, with reasons; quick, from any thread, and never raises."""

    def gains(self, device: Device) -> dict[str, float]:
        """How many times as fast as in fp32 this machine multiplies in policies that pay on some machines only.

        Measured when asked, in a second or two, where :meth:`probe` only looks; empty: nothing to measure.
        """
        return {}

    def groups(self, names: Iterable[str]) -> list[Device]:
        """Return those of `names` that are several of its devices at once (`cuda:0+1`), which :meth:`probe` does not list.

        Raises:
            UsageError, UnavailableError: as :meth:`device` does.
        """
        return []

    def begin(self, device: str | None) -> None:  # noqa: B027 - most have nothing to begin
        """Begin, in the background, what a session on `device` will need whatever the artifact; None: any device.

        For callers that have something else to do before they load. Returns at once and never raises; nothing is begun
        by default.
        """

    def load(self, artifact: Artifact, device: str, options: LoadOptions | None = None) -> Session:
        """Load an artifact onto a device.

        Raises:
            UnsupportedError: another format than this runtime's.
            UsageError: a device or mode it does not have.
            UnavailableError: the runtime or device is not available on this machine.
            LoadError: the runtime refused the artifact.
            PlacementError: part of the model can't run on `device`.
        """
        if (found := artifact.manifest.format) not in self.formats:
            raise UnsupportedError(f"runtime {self.name!r} runs {' or '.join(self.formats)}, not {found!r}")
        return self._load(artifact, device, options or LoadOptions())

    @abstractmethod
    def _load(self, artifact: Artifact, device: str, options: LoadOptions) -> Session: ...

    def device(self, name: str) -> Device:
        """The probed device called `name`, available.

        Raises:
            UsageError: this runtime has no such device.
            UnavailableError: the device is not available on this machine; the message holds the remedy.
        """
        for device in (devices := self.probe()):
            if device.name == name:
                if device.unavailable is not None:
                    remedy = f": {device.remedy}" if device.remedy else ""
                    raise UnavailableError(f"{self.name} on {name}: {device.unavailable}{remedy}")
                return device
        known = ", ".join(d.name for d in devices)
        raise UsageError(f"runtime {self.name!r} has no device {name!r}: choose one of {known}")

    def by_preference(self, device: Device) -> list[Mode]:
        """A device's modes, the one to run in where nobody chooses first."""
        ranks = {name: rank for rank, name in enumerate(self.preferred)}
        return sorted(device.modes, key=lambda mode: (mode.alternative, ranks.get(mode.name, len(ranks))))

    def mode(self, device: Device, name: str | None) -> Mode:
        """The device's mode called `name` (or an alias of it); its first for None.

        Raises:
            UsageError: it has no such mode.
        """
        for mode in device.modes:
            if name is None or name == mode.name or name in mode.aliases:
                return mode
        known = ", ".join(m.name for m in device.modes)
        raise UsageError(f"runtime {self.name!r} has no mode {name!r} on {device.name}: choose one of {known}")
