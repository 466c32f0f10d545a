"""Requests as the command line would make them, of formats that need not be installed."""

from __future__ import annotations

from typing import Any

from depthport.bench.measure.plan import RunPlan
from depthport.bench.plan.cells import CellSpec
from depthport.bench.plan.protocol import Protocol
from depthport.bench.plan.request import MeasureRequest
from depthport.exporters.core.artifact import Shape
from depthport.exporters.core.precision import resolve_policy
from depthport.exporters.da3.models import validate_outputs
from depthport.exporters.da3.registry import get_model
from depthport.exporters.da3.request import ExportRequest
from depthport.exporters.da3.weights_ref import WeightsRef

WEIGHTS = WeightsRef("synthetic:0", "0" * 64, synthetic=True, licence="none", seed=0)


def request_for(
    shape: Shape,
    format: str = "fake",
    precision: str = "fp32",
    *,
    model: str = "da3-small",
    weights: WeightsRef = WEIGHTS,
    **changes: Any,
) -> ExportRequest:
    spec = get_model(model)
    return ExportRequest(spec, format, resolve_policy(precision), shape, weights, validate_outputs(spec, None), **changes)


def plan_of(cells: tuple[CellSpec, ...], scenes: Any, protocol: Protocol, **changes: Any) -> RunPlan:
    """A plan of cells that no suite has; what they have in common is the first one's."""
    return RunPlan(MeasureRequest(cells[0].export, protocol), cells, scenes, **changes)
