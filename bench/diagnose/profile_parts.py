"""Parts of Depth Anything 3 that operators belong to, and their times at the device's own rates."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from depthport.bench.statistics.student_t import student_t_quantile
from depthport.runtimes.base import DeviceRates, OperatorTime

PATCHES = "patch embedding"
LOCAL, GLOBAL = "attention within a view", "attention across views"
PROJECTIONS, MLP = "attention's linear layers", "MLP"
NORMS = "norms, residuals, rotary embedding"
TOKENS = "reference view and camera tokens"
STAGE, FUSION, RESIZE, OUTPUT = "head stage", "head fusion", "head resizes", "head output"
CAMERA = "camera decoder and pose"
OTHER = "other"
ORDER = (PATCHES, LOCAL, GLOBAL, PROJECTIONS, MLP, NORMS, TOKENS, STAGE, FUSION, RESIZE, OUTPUT, CAMERA, OTHER)
"""Parts as the data passes them; a stage or fusion is followed by its level, 1 the finest."""

_ATTENTION = ("attention", "scaled_dot_product_attention")
_LINEAR = ("linear", "linear_gelu")
_RESIZES = ("upsample_bilinear2d", "merge_maps", "upsampled_convolution", "upsampled_depth")
_NORMS = ("branch_norm", "residual_norm", "feature_norm", "layer_norm")


@dataclass(frozen=True)
class PartTime:
    """One part of the network in one call."""

    name: str
    ms: float
    """Mean over the calls."""
    ms_ci95: tuple[float, float] | None
    """Its 95 % interval (Student's t over the calls); None where there was one call."""
    share: float
    """Share of all parts' time, 0..1."""
    gflop: float
    mib: float
    """Least traffic: arguments and results of its operators."""
    roof_ms: float
    """Its operators at the measured rates, each bound by arithmetic or by memory."""

    @property
    def of_roof(self) -> float | None:
        """Roof over measured time, at most 1: what ran faster than its roof had its data in a cache, so it is at it."""
        return min(1.0, self.roof_ms / self.ms) if self.ms > 0 else None


def part_of(operator: OperatorTime, views: int, started: bool) -> str:
    """The part an operator belongs to.

    Args:
        operator: by its module's path in the static or the fused network, and its name.
        views: B·N. Attention whose operands have fewer groups than that goes across views.
        started: an operator of a block has come before it; before that the backbone embeds patches.
    """
    path, name = operator.path, operator.operator
    if path.startswith("backbone"):
        if name in _ATTENTION:
            return LOCAL if operator.shapes[0][0] >= views else GLOBAL
        if ".attn" in path and name in _LINEAR:
            return PROJECTIONS
        if ".mlp" in path or name == "linear_gelu" or (started and name == "linear"):
            return MLP
        if not started and ".blocks" not in path:
            return PATCHES
        if name in _NORMS or ".blocks" in path or ".norm" in path:
            return NORMS
        return TOKENS
    if path.startswith("head"):
        if name in _RESIZES:
            return RESIZE
        for prefix, part in (("stages.", STAGE), ("fusions.", FUSION)):
            if prefix in path:
                return f"{part} {int(path.partition(prefix)[2].partition('.')[0]) + 1}"
        return OUTPUT
    if path.startswith(("camera", "pose")) or name == "pose_matrices":
        return CAMERA
    return OTHER


def add_up(operators: Iterable[OperatorTime], rates: DeviceRates, views: int) -> tuple[PartTime, ...]:
    """The parts in the order of :data:`ORDER`, with their share of the time and their roof."""
    found: dict[str, list[OperatorTime]] = {}
    started = False
    for operator in operators:
        started = started or ".blocks." in operator.path
        found.setdefault(part_of(operator, views, started), []).append(operator)
    total = sum(fmean(operator.seconds) for group in found.values() for operator in group) or 1.0
    return tuple(_part(name, found[name], rates, total) for name in sorted(found, key=_rank))


def roof_s(operator: OperatorTime, rates: DeviceRates) -> float:
    """The least time of one operator: its arithmetic or its traffic, whichever takes longer."""
    return max(operator.flop / rates.matmul_flop_s, operator.moved_bytes / rates.bytes_s(operator.moved_bytes))


def mean_ci95(samples: Sequence[float]) -> tuple[float, tuple[float, float] | None]:
    """The mean of independent samples and its 95 % interval by Student's t, not below 0; None for a single one."""
    mean = fmean(samples)
    if len(samples) < 2:
        return mean, None
    half = student_t_quantile(0.975, len(samples) - 1) * stdev(samples) / len(samples) ** 0.5
    return mean, (max(0.0, mean - half), mean + half)


def _part(name: str, group: list[OperatorTime], rates: DeviceRates, total: float) -> PartTime:
    calls = [1e3 * sum(seconds) for seconds in zip(*(operator.seconds for operator in group), strict=True)]
    ms, interval = mean_ci95(calls)
    return PartTime(
        name,
        ms,
        interval,
        ms / (1e3 * total),
        sum(operator.flop for operator in group) / 1e9,
        sum(operator.moved_bytes for operator in group) / (1 << 20),
        1e3 * sum(roof_s(operator, rates) for operator in group),
    )


def _rank(name: str) -> tuple[int, str]:
    base = name.rstrip("0123456789 ")
    return ORDER.index(base), name
