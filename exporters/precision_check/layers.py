"""The comparison layer by layer (`depthport check --debug-layers`): the first one that leaves its tolerance.

Errors are relative L2 to the fp32 graph on the same input. They grow along the network; a jump says where to look.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from depthport.exporters.base import Progress
from depthport.exporters.core.precision import PrecisionPolicy
from depthport.exporters.onnx.graph_file import read_graph
from depthport.exporters.onnx.probes import Probe, expose, fetch, groups, probes, session
from depthport.exporters.precision_check.emulate import emulate

Arrays = Mapping[str, np.ndarray]
Runner = Callable[[Sequence[Probe], Arrays], Arrays]
"""Values of some tensors for some inputs."""

TOLERANCES: Mapping[str, float] = {"float32": 1e-3, "float16": 2e-2, "bfloat16": 1e-1}
"""Tolerances by the backbone's dtype: some thirty roundings of a unit in the last place, over a network of this depth."""
QUANTIZED_TOLERANCE = 0.3


@dataclass(frozen=True)
class LayerError:
    """One tensor, compared."""

    name: str
    operator: str
    scope: str
    relative: float
    """‖x − reference‖ / ‖reference‖; infinite where x is not finite."""
    largest: float
    """Largest magnitude in the reference."""

    def to_json(self) -> dict[str, object]:
        return {**asdict(self), "relative": None if np.isinf(self.relative) else self.relative}


@dataclass(frozen=True)
class Comparison:
    """All layers in order."""

    layers: tuple[LayerError, ...]
    tolerance: float
    executed: str
    """Runtime that computed the compared layers."""

    @property
    def first(self) -> LayerError | None:
        """The first layer that leaves the tolerance."""
        return next((layer for layer in self.layers if layer.relative > self.tolerance), None)


def tolerance_of(policy: PrecisionPolicy) -> float:
    """The tolerance of a policy's layers."""
    return QUANTIZED_TOLERANCE if policy.quantization else TOLERANCES[policy.backbone]


def compare(
    reference: Path, run: Runner, typed: Sequence[Probe], inputs: Arrays, tolerance: float, executed: str,
    progress: Progress = lambda _: None,
) -> Comparison:  # fmt: skip
    """Compare tensors of a typed graph, as `run` computes them, with the fp32 graph's of the same names.

    Args:
        reference: the fp32 graph.
        run: computes the typed graph's tensors.
        typed: the typed graph's probes.
        inputs: `image` (B, N, 3, H, W) fp32 and what else the graphs take.
    """
    known = {probe.name for probe in probes(read_graph(reference))}
    shared = [probe for probe in typed if probe.name in known]
    found: list[LayerError] = []
    for group in groups(shared):
        progress(f"comparing layers {len(found) + 1} to {len(found) + len(group)} of {len(shared)}")
        names = [probe.name for probe in group]
        model = read_graph(reference)
        expose(model, names)
        with session(model) as native:
            wanted = fetch(native, names, inputs)
        values = run(group, inputs)
        found += [_error(probe, values[probe.name], wanted[probe.name]) for probe in group]
    return Comparison(tuple(found), tolerance, executed)


def emulated(path: Path) -> Runner:
    """A typed graph in ONNX Runtime, rounding as its types say."""

    def run(group: Sequence[Probe], inputs: Arrays) -> Arrays:
        model = read_graph(path)
        emulate(model)
        names = [probe.name for probe in group]
        expose(model, names)
        with session(model) as native:
            return fetch(native, names, inputs)

    return run


def _error(probe: Probe, value: np.ndarray, wanted: np.ndarray) -> LayerError:
    exact, found = wanted.astype(np.float64), np.asarray(value).astype(np.float64)
    largest = float(np.abs(exact).max(initial=0.0))
    norm = float(np.linalg.norm(exact))
    if not np.isfinite(found).all():
        relative = float("inf")
    else:
        relative = float(np.linalg.norm(found - exact)) / norm if norm else float(np.linalg.norm(found))
    return LayerError(probe.name, probe.operator, probe.scope, relative, largest)
