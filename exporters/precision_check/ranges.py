"""Activations near fp16's largest number, and the parts that should therefore stay fp32."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from depthport.exporters.base import Progress
from depthport.exporters.onnx.graph_file import read_graph
from depthport.exporters.onnx.probes import Probe, expose, fetch, groups, probes, session

FP16_MAX = 65504.0
LIMIT = FP16_MAX / 4
"""Other images than the ones looked at must have room."""
_PROPOSALS: Mapping[frozenset[str], str] = {
    frozenset(): "fp16",
    frozenset(("head",)): "fp16-mixed",
    frozenset(("backbone",)): "bf16-fp16",
    frozenset(("backbone", "head")): "bf16",
}


@dataclass(frozen=True)
class Hot:
    """A tensor that fp16 would store and that comes near its limit."""

    name: str
    operator: str
    scope: str
    largest: float


@dataclass(frozen=True)
class RangeReport:
    """Findings."""

    checked: int
    largest: Hot | None
    """The tensor with the largest magnitude of those fp16 would store."""
    hot: tuple[Hot, ...]
    """Those over :data:`LIMIT`, in the network's order."""

    @property
    def parts(self) -> frozenset[str]:
        """Parts of the network with a tensor over the limit."""
        return frozenset("head" if "head" in hot.scope.split(".") else "backbone" for hot in self.hot)

    @property
    def proposal(self) -> str:
        """The precision policy that keeps those parts out of fp16."""
        return _PROPOSALS[self.parts]

    def to_json(self) -> dict[str, object]:
        return {
            "checked": self.checked, "limit": LIMIT, "largest": asdict(self.largest) if self.largest else None,
            "hot": [asdict(hot) for hot in self.hot], "proposal": self.proposal,
        }  # fmt: skip


def check_ranges(
    fp32: Path, fp16: Path, images: Iterable[NDArray[np.float32]], progress: Progress = lambda _: None
) -> RangeReport:
    """Magnitudes, in fp32, of the tensors that the fp16 graph stores in fp16.

    Args:
        fp32, fp16: the same network's graphs.
        images: inputs (B, N, 3, H, W).
    """
    stored = {probe.name for probe in probes(read_graph(fp16)) if probe.dtype == "FLOAT16"}
    chosen = [probe for probe in probes(read_graph(fp32)) if probe.name in stored]
    largest = dict.fromkeys((probe.name for probe in chosen), 0.0)
    inputs = list(images)
    for group in groups(chosen):
        progress(f"ranges of {len(group)} layers")
        names = [probe.name for probe in group]
        model = read_graph(fp32)
        expose(model, names)
        with session(model) as native:
            for image in inputs:
                for name, value in fetch(native, names, {"image": image}).items():
                    largest[name] = max(largest[name], float(np.abs(value).max(initial=0.0)))
    return report(chosen, largest)


def report(chosen: Sequence[Probe], largest: Mapping[str, float]) -> RangeReport:
    """The report of measured magnitudes."""
    every = [Hot(probe.name, probe.operator, probe.scope, largest[probe.name]) for probe in chosen]
    top = max(every, key=lambda hot: hot.largest, default=None)
    return RangeReport(len(every), top, tuple(hot for hot in every if not hot.largest <= LIMIT))
