"""What is to be exported."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from depthport.exporters.core.artifact import HostStep, Shape
from depthport.exporters.core.precision import PrecisionPolicy
from depthport.exporters.da3.registry import get_model
from depthport.exporters.da3.weights_ref import WeightsRef


@dataclass(frozen=True)
class ExportRequest:
    """One artifact to make, complete and validated."""

    model: str
    """What :func:`depthport.exporters.da3.registry.get_model` takes."""
    format: str
    policy: PrecisionPolicy
    shape: Shape
    weights: WeightsRef
    outputs: tuple[str, ...]
    ray_pose: bool = False
    """Let the host fit the poses to the rays (:mod:`depthport.exporters.da3.host.rays`) in place of the camera
    decoder's."""
    target: str | None = None
    """What the artifact is for, in the format's own terms: `ort-cpu`, `ort-cuda`, `sm89`, `iOS17`; None: portable."""
    dynamic: tuple[str, ...] = ()
    pose_input: bool = False
    preprocess: bool = False
    """Take uint8 (B, N, H', W', 3) and normalise it inside the graph."""
    source_size: tuple[int, int] | None = None
    """(H', W') of photographs that the graph resizes to H×W before it normalises; None: they are H×W."""
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def model_name(self) -> str:
        """The model's name; `model` is what it is found by, which may be a file."""
        return get_model(self.model).name

    @property
    def host_steps(self) -> tuple[HostStep, ...]:
        """What the host has to do to the outputs of the graph."""
        from depthport.exporters.da3.models import host_steps

        return host_steps(get_model(self.model), self.outputs, ray_pose=self.ray_pose)
