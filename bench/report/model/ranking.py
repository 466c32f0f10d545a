"""Ranking of cells within one group (one workload on one machine): order, ties, means by an axis.

Nothing is computed here that `bench` has not put into the file, except plain means of throughputs, which the
first report has ("by precision", "by mode") and which are labelled as such.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from depthport.bench.report.model.merge import Group, Row
from depthport.bench.results.metrics import default_boundary, parity_figure
from depthport.bench.results.model import Boundary, Speedup, Timing

BOUNDARY_TEXT: dict[Boundary, str] = {
    "device": "inputs and outputs resident on the device",
    "host": "numpy in, numpy out, transfers included",
    "pipeline": "encoded photographs in, depth and poses as numpy out, one scene alone",
    "stream": "the same for scene after scene, stages overlapped",
}
OTHER: dict[Boundary, Boundary] = {"device": "host", "host": "device", "pipeline": "stream", "stream": "pipeline"}
"""Texts shown beside a boundary."""


def timing(row: Row, boundary: Boundary) -> Timing | None:
    """The row's timing at a boundary, if it was measured there."""
    found = row.cell.timing.get(boundary)
    return found if found is not None and found.median_ms is not None else None


def speedup(row: Row, boundary: Boundary) -> Speedup | None:
    """The row's ratio to the baseline at a boundary; None where it was not formed."""
    found = row.cell.speedup.get(boundary)
    return found if found is not None and found.ratio is not None else None


def median(row: Row, boundary: Boundary) -> float:
    """Median latency in ms; infinite where there is none, so that such rows sort last."""
    found = timing(row, boundary)
    return float("inf") if found is None or found.median_ms is None else found.median_ms


def img_s(row: Row, boundary: Boundary) -> float | None:
    """Images per second: B·N / median latency."""
    found = timing(row, boundary)
    return None if found is None else found.img_s


def main_boundary(rows: Iterable[Row]) -> Boundary:
    """The boundary a group is ranked at. Never both."""
    return default_boundary(row.cell for row in rows)


def ranked(rows: Iterable[Row], boundary: Boundary) -> list[Row]:
    """The rows that ran and passed parity, fastest first."""
    return sorted((r for r in rows if r.ok and timing(r, boundary)), key=lambda r: median(r, boundary))


@dataclass(frozen=True)
class AxisMean:
    """The cells that share one value of an axis (a precision, a mode)."""

    value: str
    cells: int
    mean_img_s: float
    best: Row
    description: str = ""


def by_axis(rows: Sequence[Row], axis: str, boundary: Boundary) -> list[AxisMean]:
    """Mean throughput by `precision` or `mode`, highest first; cells that failed are not in it."""
    groups: dict[str, list[Row]] = {}
    for row in ranked(rows, boundary):
        if img_s(row, boundary) is not None:
            groups.setdefault(getattr(row.cell, axis), []).append(row)
    means = [
        AxisMean(
            value,
            len(members),
            sum(img_s(m, boundary) or 0.0 for m in members) / len(members),
            members[0],
            members[0].cell.mode_description if axis == "mode" else "",
        )
        for value, members in groups.items()
    ]
    return sorted(means, key=lambda mean: -mean.mean_img_s)


def by_device(group: Group) -> dict[str, list[Row]]:
    """The group's rows by device, in the order met: cells on different devices are ranked together but listed apart."""
    devices: dict[str, list[Row]] = {}
    for row in group.rows:
        devices.setdefault(row.cell.device, []).append(row)
    return devices


def compiled(row: Row) -> bool | None:
    """Return whether a compiler rewrote the network at load time; None where the format itself is the compiled form."""
    return row.runtime.compiled(row.cell.mode)


def depth_error(row: Row) -> float | None:
    """Relative L2 of depth against upstream fp32."""
    return parity_figure(row.cell, "depth", "rel_l2")
