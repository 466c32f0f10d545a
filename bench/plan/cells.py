"""Cells to measure: one :class:`CellSpec` per row of the matrix, before anything ran."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypedDict

from depthport.bench.results.cell_id import cell_id
from depthport.exporters.da3.request import ExportRequest

UNTIMED = "it was checked, not timed"
"""Reason a cell of an untimed protocol has no time."""


class LoadArguments(TypedDict):
    """Of a worker's request to load (bench/workers/messages.py), in JSON types."""

    runtime: str
    device: str
    mode: str
    threads: int | None
    memory_fraction: float | None
    extra: dict[str, object]


@dataclass(frozen=True)
class CellSpec:
    """A cell: an artifact, the runtime that executes it, where and how."""

    export: ExportRequest
    """Request of the artifact that it runs; cells with equal requests share it."""
    runtime: str
    device: str
    mode: str
    mode_description: str = ""
    mode_aliases: tuple[str, ...] = ()
    """Other names of the mode, by which it may be asked for (`minimal`, `balanced`, `max`)."""
    baseline: bool = False
    threads: int | None = None
    memory_fraction: float | None = None
    extra: Mapping[str, object] = field(default_factory=dict)
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
    """Reason its times are not those of the devices that the runtime is for (`Device.off_target`)."""
    numerics_only: str | None = None
    """Reason its time is not valid (:attr:`depthport.runtimes.base.Device.numerics_only`): outputs are compared, no timing
    is kept."""

    @property
    def id(self) -> str:
        """`runtime/device/mode/precision`, with target, open dimensions and label where they tell it from others."""
        opened = f"dynamic-{'-'.join(self.export.dynamic)}" if self.export.dynamic else None
        more = filter(None, (self.export.target, opened, self.label))
        return cell_id(self.runtime, self.device, self.mode, self.export.precision, more)

    def untimed(self) -> CellSpec:
        """The same cell, of which no time is kept."""
        return replace(self, numerics_only=self.numerics_only or UNTIMED)

    def with_tag(self, tag: str, label: str) -> CellSpec:
        """A second cell of the same kind, e.g. for a control."""
        return replace(self, baseline=False, label=label, tags=(*self.tags, tag))

    def load_arguments(self) -> LoadArguments:
        """Return the worker's arguments for loading the cell (JSON types only)."""
        return {
            "runtime": self.runtime,
            "device": self.device,
            "mode": self.mode,
            "threads": self.threads,
            "memory_fraction": self.memory_fraction,
            "extra": dict(self.extra),
        }


def asked_of(cells: Sequence[CellSpec]) -> dict[str, object]:
    """Return a run's request for its artifacts beyond model, shape and weights, as needed to repeat a cell."""
    exports = [cell.export for cell in cells]
    return {
        "pose_input": any(export.pose_input for export in exports),
        "preprocess": any(export.preprocess for export in exports),
        "source_size": next((list(export.source_size) for export in exports if export.source_size), None),
        "dynamic": list(dict.fromkeys(name for export in exports for name in export.dynamic)),
    }
