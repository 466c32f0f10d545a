"""One loaded model: the calls that are timed from outside, and the flow of many scenes through it."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from depthport.exporters.core.artifact import Artifact, TensorSpec
from depthport.exporters.core.errors import InputError, RunError
from depthport.exporters.core.open_dims import bound_sizes, resolve
from depthport.exporters.da3.host import apply
from depthport.exporters.inputs.cameras import check_poses
from depthport.runtimes.arrays import check_arrays, check_finite
from depthport.runtimes.terms import LoadOptions, Placement, SessionMemory

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
        """Inputs of the manifest; open dimensions are those of the bound arrays."""
        specs = self.artifact.manifest.inputs
        return resolve(specs, self._sizes) if self._sizes else specs

    @property
    def output_specs(self) -> tuple[TensorSpec, ...]:
        """Outputs of the manifest; open dimensions follow from the bound arrays."""
        specs = self.artifact.manifest.outputs
        return resolve(specs, self._sizes) if self._sizes else specs

    def bind(self, inputs: Mapping[str, np.ndarray], *, checked: bool = False) -> None:
        """Put host arrays where `run` wants them (copied to the device where there is one).

        Args:
            inputs: by name.
            checked: these numbers were bound before: only names, shapes and dtypes are checked, so that no timed
                call pays for what no deployment does.

        Raises:
            InputError: a name, shape or dtype other than the manifest's, a size outside of an open dimension's limits,
                NaN or infinity, or invalid poses.
        """
        self.check(inputs, checked=checked)
        self._bind(inputs)
        self._bound = True

    def check(self, inputs: Mapping[str, np.ndarray], *, checked: bool = False) -> None:
        """Check the inputs of :meth:`bind`; same arguments and errors."""
        self._open()
        manifest = self.artifact.manifest
        check_arrays(inputs, manifest.inputs, InputError, "input")
        if manifest.dynamic:
            self._sizes = bound_sizes(inputs, manifest.inputs, manifest.limits)
        if not checked:
            check_finite(inputs)
        if "extrinsics" in inputs and not checked:
            check_poses(inputs["extrinsics"], inputs["intrinsics"])

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
            RunError: nothing has run, an output is missing or has a wrong shape or dtype, or a host step finds no
                answer in them.
        """
        self._open()
        if not self._ran:
            raise RunError("outputs() before run(): run the session first")
        return self.finished(self._outputs())

    def finished(self, arrays: Arrays) -> Arrays:
        """Return the runtime's outputs, checked against the manifest, with the host steps done."""
        check_arrays(arrays, self.output_specs, RunError, "output")
        steps = self.artifact.manifest.host_steps
        return apply(steps, arrays) if steps else arrays

    def flow(self) -> Flow:
        """Many scenes through this session, overlapped as far as the runtime can."""
        return Flow(self)

    def clock(self) -> int:
        """Clock in nanoseconds, monotonic: it may stop during transfers that no deployment has."""
        return time.perf_counter_ns()

    def placement(self) -> Placement:
        """Return where the model ran; call after the first `run`."""
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

    def __exit__(self, *raised: object) -> None:
        self.close()

    def _open(self) -> None:
        if self._closed:
            raise RunError("the session is closed: load the artifact again")

    def device_decoder(self) -> DeviceDecoder | None:
        """Decodes JPEG files straight into the device's memory; None: it can't."""
        return None

    def own_pipeline(self) -> FilesPipeline | None:
        """Pipeline of this session's own software from files to outputs; None: it has none."""
        return None

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


Ready = Callable[[], Arrays]
"""Waits for the outputs of a scene and gives them, as :meth:`Session.outputs` does; to be called once."""

DeviceDecoder = Callable[[Sequence[bytes]], Sequence[object]]
"""JPEG files to pixels (H, W, 3) uint8 RGB in the device's memory, which only :meth:`Flow.submit` reads. Safe
to call from other threads than the flow's. Raises InputError where one of them can't be decoded."""


class FilesPipeline(ABC):
    """Pipeline from the encoded photographs of a scene to its outputs."""

    @abstractmethod
    def __call__(self, files: Sequence[bytes]) -> Arrays:
        """Return the outputs of one scene alone, by the manifest's names as far as it has them.

        Raises:
            InputError: a file is not a photograph, or leads to a size other than the artifact's.
            RunError: the runtime failed.
        """

    @abstractmethod
    def stream(self, scenes: Iterable[Sequence[bytes]]) -> Iterator[Arrays]:
        """Scene after scene, in order, as fast as it goes; raises as a call does."""

    @abstractmethod
    def stages_ns(self, files: Sequence[bytes]) -> dict[str, int]:
        """Return the durations of a call's parts, in order, each waited for."""


class Flow:
    """Scenes through a session, one after the other, from one thread.

    This one does each whole when it is submitted. A runtime that can copy the next scene in and the last one out while
    the present one is computed has a subclass.
    """

    ahead: ClassVar[int] = 0
    """Number of scenes worth submitting before the first result is asked for."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def submit(self, inputs: Mapping[str, Any], *, checked: bool = False) -> Ready:
        """Begin a scene.

        Args:
            inputs: as :meth:`Session.bind` takes them; `image` may also be the N views of a scene that the session's own
                device decoder gave, where it has one.
            checked: as of :meth:`Session.bind`.

        Raises:
            InputError, RunError: as :meth:`Session.bind` and :meth:`Session.run` raise them.
        """
        session = self._session
        session.bind(inputs, checked=checked)
        session.run()
        session.synchronize()
        found = session.outputs()
        return lambda: found
