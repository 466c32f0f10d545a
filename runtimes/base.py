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
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import ClassVar

import numpy as np

from depthport.exporters.core.artifact import Artifact, TensorSpec
from depthport.exporters.core.errors import InputError, RunError, UnavailableError, UnsupportedError, UsageError
from depthport.exporters.core.open_dims import bound_sizes, resolve
from depthport.exporters.da3.host import apply
from depthport.exporters.inputs.cameras import check_poses
from depthport.runtimes.arrays import check_arrays, check_finite
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

Arrays = dict[str, np.ndarray]


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

    def bind(self, inputs: Mapping[str, np.ndarray], *, checked: bool = False) -> None:
        """Put host arrays where `run` wants them (copied to the device where there is one).

        Args:
            inputs: by name.
            checked: these very numbers were bound before: only names, shapes and dtypes are looked at, so that no timed
                call pays for what no deployment does.

        Raises:
            InputError: a name, shape or dtype other than the manifest's, a size outside of an open dimension's limits,
                NaN or infinity, or poses that no camera has.
        """
        self._open()
        manifest = self.artifact.manifest
        check_arrays(inputs, manifest.inputs, InputError, "input")
        if manifest.dynamic:
            self._sizes = bound_sizes(inputs, manifest.inputs, manifest.limits)
        if not checked:
            check_finite(inputs)
        if "extrinsics" in inputs and not checked:
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
    def _bind(self, inputs: Mapping[str, np.ndarray]) -> None: ...

    @abstractmethod
    def _run(self) -> None: ...

    @abstractmethod
    def _synchronize(self) -> None: ...

    @abstractmethod
    def _outputs(self) -> Arrays: ...

    @abstractmethod
    def _close(self) -> None: ...


class Runtime(ABC):
    """Stateless; constructing one imports nothing heavy. What others must know of a runtime is an attribute of its
    class: nothing outside of its own module names it."""

    name: ClassVar[str]
    """As the entry point has it."""
    formats: ClassVar[tuple[str, ...]]
    """Artifact formats it executes."""
    title: ClassVar[str] = ""
    """The product as its makers write it; empty: the name."""
    licence: ClassVar[str | None] = None
    """Its own, not the weights': an SPDX identifier where there is one; None: not known."""
    packages: ClassVar[tuple[str, ...]] = ()
    """Distributions whose versions belong to a measurement."""
    builds: ClassVar[tuple[str, ...]] = ()
    """Distributions that overwrite each other's files: at most one of them may be installed."""
    variables: ClassVar[tuple[str, ...]] = ()
    """Environment variables that change how fast it runs or what it computes, by their exact names: results show them."""
    quantized: ClassVar[tuple[str, ...]] = ()
    """Quantized policies it can compute; a device lists those that are worth it there."""
    baseline_mode: ClassVar[str | None] = None
    """The mode that is upstream's own forward, as its users run it; None: it has none."""
    compiles: ClassVar[Mapping[str, str] | None] = None
    """Modes that compile the network when they load it, each with the mode that runs the same network as it stands;
    None: what it runs was compiled by the export."""
    profiled: ClassVar[tuple[str, ...]] = ()
    """Modes whose operators :meth:`profile` can time, slowest first."""

    bound: ClassVar[bool] = False
    """Whether its artifacts run only on what they were built for: ask :meth:`mismatch` before loading one."""

    def mismatch(self, artifact: Artifact, device: str) -> Mismatch | None:
        """Why an artifact has to be built anew for a device of this machine; None where it can be loaded as it is.

        Raises:
            ArtifactError, LoadError, UnavailableError: it can't be told.
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
        raise UnsupportedError(f"runtime {self.name!r} shows no operators to time")

    @abstractmethod
    def probe(self) -> list[Device]:
        """Every device this runtime could use, available or not, with reasons; quick, and never raises."""

    def groups(self, names: Iterable[str]) -> list[Device]:
        """Of `names`, those that are several of its devices at once (`cuda:0+1`), which :meth:`probe` does not list.

        Raises:
            UsageError, UnavailableError: as :meth:`device` does.
        """
        return []

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
            own = " or ".join(self.formats)
            raise UnsupportedError(f"runtime {self.name!r} runs {own}, not {artifact.manifest.format!r}")
        return self._load(artifact, device, options)

    @abstractmethod
    def _load(self, artifact: Artifact, device: str, options: LoadOptions) -> Session: ...

    def device(self, name: str) -> Device:
        """The probed device called `name`, available.

        Raises:
            UsageError: this runtime knows no such device.
            UnavailableError: it does, but not here; the message holds the remedy.
        """
        for device in (devices := self.probe()):
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
