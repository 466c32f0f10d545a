"""A run, complete: what to measure, on which inputs, how."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from depthport.bench.inputs.inputs import Scene, describe
from depthport.bench.measure.deciding import deciding
from depthport.bench.measure.regime_run import Regime
from depthport.bench.plan.cells import CellSpec
from depthport.bench.plan.protocol import Protocol
from depthport.exporters.core.provenance import canonical_sha256


@dataclass(frozen=True)
class Plan:
    """A run, complete: what to measure, on which inputs, how."""

    cells: tuple[CellSpec, ...]
    scenes: tuple[Scene, ...]
    protocol: Protocol
    weights: dict[str, Any]
    """{id, sha256, synthetic, licence, note} of the model's weights."""
    pose_input: bool = False
    preprocess: bool = False
    suite: str = ""
    truth: tuple[Scene, ...] = ()
    """Scenes with exact truth that every cell computes once, untimed (bench/analysis/ground_truth.py)."""
    regime: Regime | None = None
    """Another regime than `burst` (bench/measure/regime_run.py)."""
    parity: bool = True
    """Compute upstream's outputs and compare every cell with them."""
    yardstick: bool = True
    """Also compute upstream in fp64, which says what fp32 itself is worth."""

    def fingerprint(self) -> str:
        """Changes when the plan does, or versions or source that decide what is measured: a journal of another is not
        gone on with."""
        return canonical_sha256(
            {
                "cells": [
                    [c.id, c.export.arguments(), c.load_arguments(), c.python, c.baseline, c.unavailable]
                    for c in self.cells
                ],
                "inputs": describe((*self.scenes, *self.truth)),
                "protocol": self.protocol.to_json(),
                "weights": self.weights["sha256"],
                "regime": asdict(self.regime) if self.regime else None,
                "deciding": deciding(self.cells),
            }
        )
