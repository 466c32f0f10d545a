"""What a runtime is: one class a runtime, found through the entry-point group `depthport.runtimes`.

A :class:`Runtime` is stateless: it says what it can run on and loads artifacts. A :class:`Session` is one loaded
model. Public methods validate, the `_underscored` ones an adapter implements do the work, so every adapter is held to
the same contract (`runtimes/contract.py` runs it over all of them):

* `run()` only has to *enqueue*; `synchronize()` returns when the outputs are truly there.
* Outputs are numpy arrays, float32 (int64 for `reference_view`), by name, of the manifest's shapes.
* A session never moves to another device silently: what it could not place where it was asked to is a
  :class:`~depthport.exporters.core.errors.PlacementError` or is named in :attr:`Placement.fallback`.

Two boundaries are timed from outside with the same four calls:
`device`: `run(); synchronize()` with inputs bound before; `host`: `bind(numpy); run(); synchronize(); outputs()`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar

from numpy.typing import NDArray

from depthport.exporters.core.artifact import Artifact, TensorSpec
from depthport.exporters.core.errors import InputError, RunError, UnavailableError, UnsupportedError, UsageError
from depthport.exporters.core.open_dims import bound_sizes, resolve
from depthport.exporters.inputs.poses import check_poses
from depthport.runtimes.arrays import check_arrays

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Mode:
    """One named configuration of a runtime: an execution provider, a compute unit, eager or compiled."""

    name: str
    description: str
    """One sentence: what this mode does differently from the others."""
    aliases: tuple[str, ...] = ()
    """Other names people know it by (the seed report's `minimal`, `balanced`, `max`)."""
    target: str | None = None
    """Export target of the artifacts it runs; None: portable ones."""
    precisions: tuple[str, ...] = ()
    """Policies worth running in it, best-known first; empty: the device's."""
    export_options: tuple[tuple[str, Any], ...] = ()
    """The format's own options of the artifacts it runs, name and value; empty: its defaults."""


@dataclass(frozen=True)
class Device:
    """One place where a runtime can, or could, run."""

    name: str
    """`cpu`, `cuda`, `cuda:1`, `mps`, `ane`, `gpu`, `npu`."""
    description: str
    """The hardware's name, e.g. `AMD EPYC 7763, 2 cores`."""
    modes: tuple[Mode, ...] = ()
    precisions: tuple[str, ...] = ()
    """Policies worth running here, best-known first; others may load and are allowed."""
    unavailable: str | None = None
    """Why it can't run here; None where it can."""
    remedy: str | None = None
    """The line that installs or enables what is missing."""
    notes: tuple[str, ...] = ()

    @property
    def available(self) -> bool:
        return self.unavailable is None


@dataclass(frozen=True)
class LoadOptions:
    """How to load; the same fields for all runtimes, each uses what it knows and refuses nothing silently."""

    mode: str | None = None
    """One of the device's modes; None: its first."""
    threads: int | None = None
    """Intra-op threads on the CPU; None: what the cgroup allows this process."""
    memory_fraction: float | None = None
    """Share of the device's memory this process may take (0, 1]."""
    cache_dir: Path | None = None
    """Where compiled forms of the artifact are kept between processes; None: inside the artifact's folder."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """The runtime's own options; an unknown one is a UsageError."""


@dataclass(frozen=True)
class Placement:
    """Proof of where the model ran."""

    device: str
    details: dict[str, Any] = field(default_factory=dict)
    """Providers, node counts, threads, kernels: what this runtime can show."""
    fallback: tuple[str, ...] = ()
    """Names of operators or subgraphs that ran elsewhere than `device`; empty in a good cell."""
    delegated_share: float | None = None
    """Share of nodes (0..1) that ran on `device`, where the runtime can count them."""


@dataclass(frozen=True)
class SessionMemory:
    """Peaks since the session was loaded, in MiB; None where it can't be known."""

    device_peak_mib: float | None = None


class Session(ABC):
    """One loaded model. Use as a context manager; not thread-safe."""

    def __init__(self, artifact: Artifact, device: str, options: LoadOptions) -> None:
        self.artifact = artifact
        self.device = device
        self.options = options
        self._sizes: dict[str, int] = {}
        self._bound = False
        self._ran = False
        self._closed = False

    @property
    def input_specs(self) -> tuple[TensorSpec, ...]:
        """The manifest's; open dimensions are those of what is bound."""
        specs = self.artifact.manifest.inputs
        return resolve(specs, self._sizes) if self._sizes else specs

    @property
    def output_specs(self) -> tuple[TensorSpec, ...]:
        """The manifest's; open dimensions are those that what is bound leads to."""
        specs = self.artifact.manifest.outputs
        return resolve(specs, self._sizes) if self._sizes else specs

    def bind(self, inputs: Mapping[str, NDArray[Any]]) -> None:
        """Put host arrays where `run` wants them (copied to the device where there is one).

        Raises:
            InputError: a name, shape or dtype other than the manifest's, a size outside of an open dimension's limits,
                or poses that no camera has.
        """
        self._open()
        manifest = self.artifact.manifest
        check_arrays(inputs, manifest.inputs, InputError, "input")
        if manifest.dynamic:
            self._sizes = bound_sizes(inputs, manifest.inputs, manifest.limits)
        if "extrinsics" in inputs:
            check_poses(inputs["extrinsics"], inputs["intrinsics"])
        self._bind(inputs)
        self._bound = True

    def run(self) -> None:
        """Enqueue one inference on the bound inputs.

        Raises:
            RunError: the session is closed, nothing is bound, or the runtime failed.
        """
        if not self._bound:
            self._open()
            raise RunError("run() before bind(): bind inputs first")
        self._run()
        self._ran = True

    def synchronize(self) -> None:
        """Return when everything enqueued is done; outputs are final afterwards.

        Raises:
            RunError: the session is closed, or what was enqueued failed.
        """
        self._open()
        self._synchronize()

    def outputs(self) -> Arrays:
        """The last run's outputs as host arrays, checked against the manifest, its host steps done.

        Raises:
            RunError: nothing has run, an output is missing or has another shape or dtype, or a host step finds no
                answer in them.
        """
        self._open()
        if not self._ran:
            raise RunError("outputs() before run(): run the session first")
        arrays = self._outputs()
        check_arrays(arrays, self.output_specs, RunError, "output")
        steps = self.artifact.manifest.host_steps
        if steps:
            from depthport.exporters.da3.host import apply

            arrays = apply(steps, arrays)
        return arrays

    def placement(self) -> Placement:
        """Where the model ran; call after the first `run`."""
        return Placement(self.device)

    def memory(self) -> SessionMemory:
        """Peak memory of this session; call after the runs."""
        return SessionMemory()

    def close(self) -> None:
        """Free everything; a second call does nothing."""
        if not self._closed:
            self._closed = True
            self._bound = self._ran = False
            self._close()

    def __enter__(self) -> Session:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _open(self) -> None:
        if self._closed:
            raise RunError("the session is closed: load the artifact again")

    @abstractmethod
    def _bind(self, inputs: Mapping[str, NDArray[Any]]) -> None: ...

    @abstractmethod
    def _run(self) -> None: ...

    @abstractmethod
    def _synchronize(self) -> None: ...

    @abstractmethod
    def _outputs(self) -> Arrays: ...

    @abstractmethod
    def _close(self) -> None: ...


class Runtime(ABC):
    """Stateless; constructing one imports nothing heavy."""

    name: ClassVar[str]
    formats: ClassVar[tuple[str, ...]]
    """Artifact formats it executes."""
    packages: ClassVar[tuple[str, ...]] = ()
    """Distributions whose versions belong to a measurement."""

    @abstractmethod
    def probe(self) -> list[Device]:
        """Every device this runtime could use, available or not, with reasons; quick, and never raises."""

    def load(self, artifact: Artifact, device: str, options: LoadOptions | None = None) -> Session:
        """Load an artifact onto a device.

        Raises:
            UnsupportedError: another format than this runtime's.
            UsageError: a device or mode it does not have.
            UnavailableError: the runtime or device is not here.
            LoadError: the runtime refused the artifact.
            PlacementError: part of the model can't run on `device`.
        """
        options = options or LoadOptions()
        if artifact.manifest.format not in self.formats:
            raise UnsupportedError(
                f"runtime {self.name!r} runs {' or '.join(self.formats)}, not {artifact.manifest.format!r}"
            )
        return self._load(artifact, device, options)

    @abstractmethod
    def _load(self, artifact: Artifact, device: str, options: LoadOptions) -> Session: ...

    def device(self, name: str) -> Device:
        """The probed device called `name`, available.

        Raises:
            UsageError: this runtime knows no such device.
            UnavailableError: it does, but not here; the message holds the remedy.
        """
        devices = self.probe()
        for device in devices:
            if device.name == name:
                if device.unavailable is not None:
                    remedy = f": {device.remedy}" if device.remedy else ""
                    raise UnavailableError(f"{self.name} on {name}: {device.unavailable}{remedy}")
                return device
        known = ", ".join(d.name for d in devices)
        raise UsageError(f"runtime {self.name!r} has no device {name!r}: choose one of {known}")

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
