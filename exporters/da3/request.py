"""Request for an export: made by keyword, resolved once, and the same value from there to the manifest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypedDict

from depthport.exporters.core.artifact import HostStep, Shape
from depthport.exporters.core.precision import PrecisionPolicy
from depthport.exporters.da3.models import ModelSpec, host_steps
from depthport.exporters.da3.weights_ref import WeightsRef


class NetworkKeywords(TypedDict, total=False):
    """Keywords of both `depthport.export` and `depthport.run`."""

    batch: int
    """B, scenes in one call; 1 if not given."""
    views: int
    """N, views of one scene; 1 if not given."""
    height: int
    width: int
    """H and W in pixels, multiples of 14; 504 if not given."""
    weights: str | WeightsRef | None
    """Hugging Face id, local file or folder, `synthetic:SEED`; None: the model's own checkpoint. Where
    that is not available, an export refuses; a run takes synthetic weights, and every page of its report says so."""
    dynamic: Sequence[str]
    """Dimensions to leave open: any of `views`, `size`, `batch`. A run measures such artifacts beside the static ones."""
    pose_input: bool
    preprocess: bool
    source_size: tuple[int, int] | None
    """As :class:`ExportRequest` has them; a source size implies `preprocess`."""


class ExportKeywords(NetworkKeywords, total=False):
    """Keywords of `depthport.export` beside the format."""

    precision: str
    """A policy's name (exporters/core/precision.py), `auto` being upstream's choice for the CPU; fp32 if not given."""
    outputs: Sequence[str] | None
    """Names of the outputs wanted, in any order; None for the model's default ones. What the host needs to finish them
    comes too (`host_steps` of the manifest)."""
    target: str | None
    ray_pose: bool
    options: Mapping[str, object] | None
    """As :class:`ExportRequest` has them."""


@dataclass(frozen=True)
class ExportRequest:
    """One artifact to make, complete and validated (:func:`depthport.exporters.api.prepare` makes it).

    JSON types all the way down: what one process resolved, another carries out.
    """

    model: ModelSpec
    format: str
    policy: PrecisionPolicy
    shape: Shape
    weights: WeightsRef
    outputs: tuple[str, ...]
    ray_pose: bool = False
    """Let the host fit the poses to the rays (:mod:`depthport.exporters.da3.host.rays`) in place of the camera
    decoder's."""
    target: str | None = None
    """Target of the artifact, in the format's own terms: `ort-cpu`, `ort-cuda`, `sm89`, `iOS17`; None: portable."""
    dynamic: tuple[str, ...] = ()
    pose_input: bool = False
    """Take known extrinsics and intrinsics as inputs."""
    preprocess: bool = False
    """Take uint8 (B, N, H', W', 3) and normalise it inside the graph."""
    source_size: tuple[int, int] | None = None
    """(H', W') of photographs that the graph resizes to H×W before it normalises; None: they are H×W."""
    options: Mapping[str, object] = field(default_factory=dict)
    """The format's own."""

    @property
    def precision(self) -> str:
        """The policy's name."""
        return self.policy.name

    @property
    def host_steps(self) -> tuple[HostStep, ...]:
        """Steps of the host on the outputs of the graph."""
        return host_steps(self.model, self.outputs, ray_pose=self.ray_pose)
