"""The columns that the report's tables share, each from one row to one short text (plain text, not Markdown)."""

from __future__ import annotations

from depthport.bench.report.model.merge import Row
from depthport.bench.report.model.ranking import compiled, depth_error, speedup, timing
from depthport.bench.results.metrics import memory_mib, parity_figure
from depthport.bench.results.model import Boundary, Status
from depthport.bench.statistics import figures
from depthport.bench.statistics.samples import UNSTABLE_CV, is_unstable
from depthport.bench.statistics.steady_state import DRIFT_PER_MINUTE, is_drifting

STABLE = (
    f"the coefficient of variation is at most {100 * UNSTABLE_CV:g} %, the drift at most {100 * DRIFT_PER_MINUTE:g} % a "
    "minute and a steady state was found"
)
"""Meaning of the stability mark."""
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
    """Verdict against the baseline, `baseline` for itself."""
    if row.cell.baseline:
        return "baseline"
    found = row.cell.speedup.get(boundary)
    return figures.NONE if found is None else found.verdict


def against(row: Row, boundary: Boundary) -> str:
    """The ratio with its verdict, for tables that have one column for both: `1.98× [1.89, 2.08] faster`."""
    shown = [ratio(row, boundary), verdict(row, boundary)]
    return " ".join(dict.fromkeys(shown))


def compile_mark(row: Row) -> str:
    """✓ where a mode compiles at load time, ✗ where not, – where the export did."""
    mark = compiled(row)
    return figures.NONE if mark is None else YES if mark else NO


def stability(row: Row, boundary: Boundary) -> str:
    """✓ or ✗ with the reason: spread, drift, or no steady state."""
    found = timing(row, boundary)
    if found is None:
        return figures.NONE
    faults = []
    if not found.steady_state:
        faults.append("no steady state")
    if found.cv is not None and is_unstable(found.cv):
        faults.append(f"CV {figures.percent(found.cv)}")
    if found.drift_per_minute is not None and is_drifting(found.drift_per_minute):
        faults.append(f"drift {found.drift_per_minute * 100:+.1f} %/min")
    if faults:
        return f"{NO} {', '.join(faults)}"
    return YES if found.cv is None else f"{YES} CV {figures.percent(found.cv)}"


def depth(row: Row) -> str:
    """Relative L2 of depth against upstream fp32."""
    return figures.scientific(depth_error(row))


def pose(row: Row) -> str:
    """Worst rotation against upstream fp32, degrees."""
    value = parity_figure(row.cell, "extrinsics", "rotation_deg")
    if value is None:
        return figures.NONE
    return "<0.001°" if value < 0.001 else f"{figures.reading(value, 2)}°"


def memory(row: Row) -> str:
    """Peak memory where the cell ran; what `choose` goes by."""
    return figures.mib(memory_mib(row.cell))


def size(row: Row) -> str:
    """Size of the artifact on disk."""
    value = (row.cell.artifact or {}).get("size_bytes", 0)
    return figures.mib(value / 2**20) if value > 0 else figures.NONE


def status(row: Row) -> str:
    """`ok`, or the status and its reason."""
    cell = row.cell
    if cell.status is Status.OK:
        return f"numerics only: {cell.numerics_only}" if cell.numerics_only else "ok"
    name = cell.status.value.replace("_", " ")
    return f"{name}: {cell.reason}" if cell.reason else name
