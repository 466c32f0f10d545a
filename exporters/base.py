"""The interface of an exporter: one class per format, found through the entry-point group `depthport.exporters`.

An exporter turns the static network into files. It does not choose weights, build the network, hash, lock or write
manifests: :func:`depthport.exporters.api.export` does that the same way for all of them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from depthport.exporters.core.artifact import Artifact, Manifest
from depthport.exporters.core.errors import UnsupportedError
from depthport.exporters.core.files.atomic import copy_whole
from depthport.exporters.core.inspection import Table
from depthport.exporters.core.json_types import JsonObject
from depthport.exporters.core.options import Options, read_options
from depthport.exporters.da3.request import ExportRequest

if TYPE_CHECKING:
    from torch import Tensor, nn


Progress = Callable[[str], None]
"""Called with a short present-tense phrase when a step begins (`"tracing"`, `"writing 1,340 MiB"`)."""


@dataclass(frozen=True)
class ExportResult:
    """An exporter's additions to the manifest."""

    extra: JsonObject = field(default_factory=dict)
    target: dict[str, object] = field(default_factory=dict)


class ExportContext:
    """Services for an exporter while it writes; each is made once, when first asked for."""

    def __init__(
        self,
        request: ExportRequest,
        network: Callable[[], nn.Module],
        state_dict: Callable[[], dict[str, Tensor]],
        dependency: Callable[..., Artifact],
        progress: Progress,
    ) -> None:
        self.request = request
        self.network = network
        """The network of this request, eval mode, on the CPU: static, or dynamic where dimensions are open; float where
        the policy quantizes."""
        self.state_dict = state_dict
        """Upstream's parameters in fp32, upstream's keys without the `model.` prefix."""
        self.dependency = dependency
        """`dependency(format, **changes)`: the artifact of the same request in another format (cached). An exporter that
        asks for one repeats that exporter's :attr:`Exporter.packages` and imports its module: both decide the key."""
        self.progress = progress


class Exporter(ABC):
    """The base of all exporters: stateless; one instance serves all requests."""

    format: ClassVar[str]
    packages: ClassVar[tuple[str, ...]] = ()
    """Distributions whose versions decide the output; part of the key."""
    default: ClassVar[bool] = False
    """True for the format that is exported by default: one of them."""
    slow: ClassVar[bool] = False
    """True if it takes minutes where others take seconds; such exporters come last where time is short."""
    one_artifact_many_shapes: ClassVar[bool] = False
    """True if an artifact with open dimensions is worth measuring beside the static one."""
    main_file: ClassVar[str | None] = None
    """The file or package (a folder) of an artifact that its runtime is given; None: the artifact's folder."""
    targets: ClassVar[tuple[str, ...]] = ()
    """Names that `--target` takes, for its help; :meth:`options` checks them."""
    takes: ClassVar[tuple[type[Options], ...]] = ()
    """The options of this format; several types where they depend on what is asked for."""
    keeps_poses: ClassVar[tuple[str, ...]] = ()
    """Policies with an fp32 camera token (`bf16-poses`, ...) that it has: weights are rounded against photographs."""
    package_suffix: ClassVar[str | None] = None
    """Suffix of packages that :meth:`inspect_package` reads without a manifest; None: none."""

    @abstractmethod
    def probe(self) -> str | None:
        """None where this exporter can run; else why not and the line that installs what is missing."""

    def options(self, request: ExportRequest) -> dict[str, object]:
        """The request's options, checked, with this format's defaults filled in, as the manifest has them (JSON types).

        Raises:
            UsageError: an option this format does not have, or a value it does not take.
            UnsupportedError: a precision, target or dynamic dimension this format can't express.
        """
        read_options(Options, request.options, f"format {self.format!r}")
        return {"target": request.target}

    @abstractmethod
    def write(self, context: ExportContext, directory: Path) -> ExportResult:
        """Write the artifact's files into `directory` (empty, temporary: renamed by the store when complete).

        Raises:
            ExportError: the framework failed, or the written file did not pass the format's own checker.
        """

    def copy_to(self, artifact: Artifact, path: Path) -> None:
        """Put an artifact's main file or package where the user wants it, under the user's name, whole or not at all.

        Raises:
            UnsupportedError: this format has none.
            StorageError: it can't be written there.
        """
        if self.main_file is None:
            raise UnsupportedError(f"format {self.format!r} is written as a folder, not a file: name a folder with --out")
        copy_whole(artifact.path / self.main_file, path)

    def declares(self, manifest: Manifest) -> tuple[tuple[str, str], ...]:
        """Return the requirements of an artifact's files on their runtime, as (name, value) to show."""
        return ()

    def rebuild(self, artifact: Artifact, directory: Path, progress: Progress) -> ExportResult:
        """Rebuild an artifact for the hardware and versions of this machine, into `directory` as :meth:`write` does.

        Raises:
            ArtifactError: what it was built from is gone.
            UnsupportedError: this format is not bound to hardware.
            ExportError: as :meth:`write`.
        """
        raise UnsupportedError(f"format {self.format!r} can't be rebuilt from an artifact: export it again")

    def inspect(
        self, artifact: Artifact, arrays: Mapping[str, np.ndarray] | None = None, run: bool = True
    ) -> tuple[Table, ...]:
        """Return what only this format can say about an artifact beyond its manifest; nothing by default.

        Args:
            artifact: of this format, its file hashes checked.
            arrays: inputs by name, of the manifest's shapes, for what depends on values; None: the exporter's own.
            run: also what takes as long as running the network.

        Raises:
            ArtifactError: a file is damaged.
            UnsupportedError: what is asked needs something that is not here.
        """
        return ()

    def inspect_package(self, path: Path, run: bool = True) -> tuple[Table, ...]:
        """The same of a package of any origin, which has no manifest.

        Args:
            path: ends in `package_suffix`.
            run: also what takes as long as running the network.

        Raises:
            ArtifactError: it is damaged.
            UnsupportedError: what is asked needs something that is not here, or there are no such packages.
        """
        raise UnsupportedError(f"format {self.format!r} can't be inspected without its manifest")
