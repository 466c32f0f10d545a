"""Requests to the exporting worker (bench/workers/export_worker.py).

Apart from bench/workers/messages.py: a cell's worker may run in an interpreter that has none of what exporting needs.
"""

from __future__ import annotations

from msgspec import Struct

from depthport.bench.results.model import Status
from depthport.bench.workers.messages import Done, Request
from depthport.exporters.core.artifact import Origin
from depthport.exporters.da3.request import ExportRequest


class Exported(Struct, frozen=True):
    """An artifact that was made or found."""

    artifact: str
    """Its folder."""
    origin: Origin
    damage: str | None
    """Damage of the one that had to be rebuilt."""


class Export(Request[Exported], frozen=True, tag="export"):
    """Make or find one artifact."""

    reply = Exported
    failed = Status.EXPORT_FAILED
    doing = "exporting"
    request: ExportRequest
    store: str


class ComputeReference(Request[Done], frozen=True, tag="reference"):
    """Upstream's own outputs (bench/workers/reference.py): `fp32-<i>.npz` for every input, and `fp64-0.npz`."""

    reply = Done
    failed = Status.EXPORT_FAILED
    doing = "computing the reference"
    request: ExportRequest
    """Whose model, weights, outputs and host steps are wanted."""
    inputs: tuple[str, ...]
    """`.npz` files, images normalised."""
    folder: str
    device: str
    fp64: bool
    """Also in fp64."""


ExportingRequest = Export | ComputeReference
