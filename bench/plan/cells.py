"""What is to be measured: one :class:`CellSpec` a row of the matrix, before anything ran."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from depthport.exporters.core.artifact import Shape
from depthport.exporters.da3.models import validate_outputs
from depthport.exporters.da3.registry import get_model


@dataclass(frozen=True)
class ExportSpec:
    """Which artifact a cell runs; cells with equal specs share it."""

    model: str
    format: str
    precision: str
    shape: Shape
    weights: str | None = None
    outputs: tuple[str, ...] | None = None
    target: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    dynamic: tuple[str, ...] = ()
    pose_input: bool = False
    preprocess: bool = False
    source_size: tuple[int, int] | None = None
    ray_pose: bool = False
    """Poses fitted to the rays on the host."""
    model_source: str | None = None
    """Where the model is found if not by its name: the configuration of the user's own."""
    weights_source: str | None = None
    """Where the weights are found if not by their id: a local file."""

    @property
    def found_model(self) -> str:
        return self.model_source or self.model

    @property
    def found_weights(self) -> str | None:
        return self.weights_source or self.weights

    def output_names(self) -> list[str]:
        """The outputs the artifact has: those asked for, and what the host needs to finish them."""
        return list(validate_outputs(get_model(self.found_model), self.outputs, ray_pose=self.ray_pose))

    def arguments(self) -> dict[str, Any]:
        """Keyword arguments of :func:`depthport.exporters.export` (JSON types only)."""
        return {
            "model": self.found_model,
            "format": self.format,
            "precision": self.precision,
            "batch": self.shape.batch,
            "views": self.shape.views,
            "height": self.shape.height,
            "width": self.shape.width,
            "weights": self.found_weights,
            "outputs": list(self.outputs) if self.outputs is not None else None,
            "target": self.target,
            "ray_pose": self.ray_pose,
            "options": dict(self.options),
            "dynamic": list(self.dynamic),
            "pose_input": self.pose_input,
            "preprocess": self.preprocess,
            "source_size": self.source_size,
        }


@dataclass(frozen=True)
class CellSpec:
    """A cell: an artifact, the runtime that executes it, where and how."""

    export: ExportSpec
    runtime: str
    device: str
    mode: str
    mode_description: str = ""
    mode_aliases: tuple[str, ...] = ()
    """Other names of the mode, by which it may be asked for (`minimal`, `balanced`, `max`)."""
    baseline: bool = False
    threads: int | None = None
    memory_fraction: float | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    """The runtime's own load options."""
    python: str | None = None
    """Interpreter of the worker, for runtimes whose requirements conflict; None: this one."""
    label: str | None = None
    """Distinguishes cells that differ in options only."""
    tags: tuple[str, ...] = ()
    artifact: str | None = None
    """Folder of an artifact made elsewhere; None: exported (or found) by the run itself."""
    unavailable: str | None = None
    """Known before running: why this cell can't run here."""
    unsupported: str | None = None
    off_target: str | None = None
    """Why its times are not those of the devices that the runtime is for (`Device.off_target`)."""

    @property
    def id(self) -> str:
        """`runtime/device/mode/precision`, with the target, what is dynamic and the label where a cell has them."""
        parts = [self.runtime, self.device, self.mode, self.export.precision]
        if self.export.target:
            parts.append(self.export.target)
        if self.export.dynamic:
            parts.append(f"dynamic-{'-'.join(self.export.dynamic)}")
        if self.label:
            parts.append(self.label)
        return "/".join(parts)

    def with_tag(self, tag: str, label: str) -> CellSpec:
        """A second cell of the same kind, e.g. for a control."""
        return replace(self, baseline=False, label=label, tags=(*self.tags, tag))

    def load_arguments(self) -> dict[str, Any]:
        """What the worker needs to load the cell (JSON types only)."""
        return {
            "runtime": self.runtime,
            "device": self.device,
            "mode": self.mode,
            "threads": self.threads,
            "memory_fraction": self.memory_fraction,
            "extra": dict(self.extra),
        }


def asked_of(cells: Sequence[CellSpec]) -> dict[str, Any]:
    """What a run asked of its artifacts beyond model, shape and weights: what repeating one of its cells needs."""
    exports = [cell.export for cell in cells]
    return {
        "pose_input": any(export.pose_input for export in exports),
        "preprocess": any(export.preprocess for export in exports),
        "source_size": next((list(export.source_size) for export in exports if export.source_size), None),
        "dynamic": list(dict.fromkeys(name for export in exports for name in export.dynamic)),
    }
