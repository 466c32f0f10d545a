"""The columns that the report's tables share, each from one row to one short text (plain text, not
Markdown)."""

from __future__ import annotations

from depthport.bench.report.model.merge import Row
from depthport.bench.report.model.standing import compiled, depth_error, parity_figure, speedup, timing
from depthport.bench.results.model import Boundary, Status
from depthport.bench.statistics import figures

UNSTABLE_CV = 0.025
"""trtexec's bound for a warning."""
YES, NO = "✓", "✗"


def latency(row: Row, boundary: Boundary) -> str:
    """`19.92 [19.88, 19.97]`, ms."""
    found = timing(row, boundary)
    return figures.NONE if found is None else figures.interval(found.median_ms, found.ci95_ms)


def mean_std(row: Row, boundary: Boundary) -> str:
    """`20.1 ± 0.3`, ms: what the `paper` protocol reports."""
    found = timing(row, boundary)
    if found is None or found.mean_ms is None:
        return figures.NONE
    return figures.mean_std(found.mean_ms, found.std_ms)


def throughput(row: Row, boundary: Boundary) -> str:
    """Images per second, with the digits of the latency's interval."""
    found = timing(row, boundary)
    if found is None or found.img_s is None or found.median_ms is None:
        return figures.NONE
    scale = found.img_s * found.median_ms
    ci = (scale / found.ci95_ms[1], scale / found.ci95_ms[0]) if found.ci95_ms else None
    return figures.number(found.img_s, ci)


def ratio(row: Row, boundary: Boundary) -> str:
    """Speed-up over the baseline of the row's own run."""
    if row.cell.baseline:
        return "baseline"
    found = speedup(row, boundary)
    return figures.NONE if found is None else figures.ratio(found.ratio, found.ci95)


def verdict(row: Row, boundary: Boundary) -> str:
    if row.cell.baseline:
        return "baseline"
    found = row.cell.speedup.get(boundary)
    return figures.NONE if found is None else found.verdict


def compile_mark(row: Row) -> str:
    mark = compiled(row)
    return figures.NONE if mark is None else YES if mark else NO


def stability(row: Row, boundary: Boundary) -> str:
    """✓ or ✗ with the reason: spread over 2.5 %, drift, or no steady state."""
    found = timing(row, boundary)
    if found is None:
        return figures.NONE
    faults = []
    if not found.steady_state:
        faults.append("no steady state")
    if found.cv is not None and found.cv > UNSTABLE_CV:
        faults.append(f"CV {figures.percent(found.cv)}")
    if found.drift_per_minute is not None and abs(found.drift_per_minute) > UNSTABLE_CV:
        faults.append(f"drift {found.drift_per_minute * 100:+.1f} %/min")
    if faults:
        return f"{NO} {', '.join(faults)}"
    return YES if found.cv is None else f"{YES} CV {figures.percent(found.cv)}"


def depth(row: Row) -> str:
    return figures.scientific(depth_error(row))


def pose(row: Row) -> str:
    """Worst rotation against upstream fp32, degrees."""
    value = parity_figure(row, "extrinsics", "rotation_deg")
    if value is None:
        return figures.NONE
    return "<0.001°" if value < 0.001 else f"{figures.reading(value, 2)}°"


def memory(row: Row) -> str:
    """Peak device memory where the device has its own, else the worker's peak resident memory."""
    cell = row.cell
    if cell.memory.device_peak_mib is not None:
        return figures.mib(cell.memory.device_peak_mib)
    return figures.mib(cell.memory.host_peak_mib)


def size(row: Row) -> str:
    """Size of the artifact on disk."""
    value = (row.cell.artifact or {}).get("size_bytes")
    good = isinstance(value, int | float) and not isinstance(value, bool) and value > 0
    return figures.mib(value / 2**20) if good and value is not None else figures.NONE


def status(row: Row) -> str:
    """`ok`, or the status and its reason."""
    cell = row.cell
    if cell.status is Status.OK:
        return "ok"
    name = cell.status.value.replace("_", " ")
    return f"{name}: {cell.reason}" if cell.reason else name
