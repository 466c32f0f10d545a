"""What is to be measured: one :class:`CellSpec` a row of the matrix, before anything ran."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from exporters.artifact import Shape


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

    def arguments(self) -> dict[str, Any]:
        """Keyword arguments of :func:`exporters.export` (JSON types only)."""
        return {
            "model": self.model,
            "format": self.format,
            "precision": self.precision,
            "batch": self.shape.batch,
            "views": self.shape.views,
            "height": self.shape.height,
            "width": self.shape.width,
            "weights": self.weights,
            "outputs": list(self.outputs) if self.outputs is not None else None,
            "target": self.target,
            "options": dict(self.options),
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

    @property
    def id(self) -> str:
        """`runtime/device/mode/precision`, with the target and the label where a cell has one."""
        parts = [self.runtime, self.device, self.mode, self.export.precision]
        if self.export.target:
            parts.append(self.export.target)
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
