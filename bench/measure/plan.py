"""A run, complete: what to measure, on which inputs, how."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import msgspec

from depthport.bench.inputs.inputs import Scene, describe
from depthport.bench.measure.deciding import deciding
from depthport.bench.plan.cells import CellSpec
from depthport.bench.plan.protocol import Protocol
from depthport.bench.plan.request import MeasureRequest
from depthport.bench.results.model import BundleRef
from depthport.bench.workers.reference import reference_device, reference_key
from depthport.exporters.core.provenance import canonical_sha256
from depthport.exporters.da3.request import ExportRequest


@dataclass(frozen=True)
class RunPlan:
    """A run, complete: what to measure, on which inputs, how."""

    request: MeasureRequest
    cells: tuple[CellSpec, ...]
    scenes: tuple[Scene, ...]
    ground_truth: tuple[Scene, ...] = ()
    """Scenes with exact truth that every cell computes once, untimed (bench/analysis/ground_truth.py)."""
    parity: bool = True
    """Compute upstream's outputs and compare every cell with them."""
    fp64: bool = True
    """Also compute upstream in fp64, which says what fp32 itself is worth."""
    bundle: BundleRef | None = None
    """The fleet's suite that the run is a part of; decides nothing of what is measured."""

    @property
    def protocol(self) -> Protocol:
        return self.request.protocol

    @property
    def export(self) -> ExportRequest:
        """Request that the artifacts of all cells have in common."""
        return self.request.export

    def fingerprint(self) -> str:
        """Return a hash of the plan and of the versions and source that decide what is measured.

        A journal with another fingerprint is not resumed.
        """
        return canonical_sha256(
            {
                "cells": [
                    [c.id, _asked(c.export), c.load_arguments(), c.python, c.baseline, c.unavailable] for c in self.cells
                ],
                "inputs": describe((*self.scenes, *self.ground_truth)),
                "protocol": self.protocol.to_json(),
                "weights": self.export.weights.sha256,
                "regime": asdict(self.request.regime) if self.request.regime else None,
                "deciding": deciding(self.cells),
            }
        )

    def reference_name(self) -> str:
        """Name that its reference is kept under; it changes with everything that the reference depends on."""
        inputs = canonical_sha256([describe(self.scenes), self.export.pose_input, self.export.preprocess])
        return reference_key(self.export, inputs, reference_device(self.cells))[:16]


def _asked(request: ExportRequest) -> dict[str, object]:
    """The request without its weights: where they lie, and what is noted of them, decides nothing."""
    asked: dict[str, object] = msgspec.to_builtins(request)
    return {name: value for name, value in asked.items() if name != "weights"}
