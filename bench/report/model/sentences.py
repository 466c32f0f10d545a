"""Sentences and short names that Markdown, page and terminal share."""

from __future__ import annotations

from collections.abc import Sequence

from depthport.bench.choice.break_even import BreakEven
from depthport.bench.choice.choice import Choice
from depthport.bench.choice.reasons import estimated
from depthport.bench.report.model.merge import Row
from depthport.bench.results.metrics import METRICS

HEADLINE = ("latency_ms", "throughput_img_s", "depth_error", "memory_mib", "cold_start_s")


def short_name(row: Row) -> str:
    """The runtime's title, mode and precision: a cell for a headline; its id stays its name."""
    mode = [] if row.cell.mode in ("default", "-", "") else [row.cell.mode]
    return " · ".join([row.runtime.title, *mode, row.cell.precision])


def figures_of(choice: Choice) -> str:
    """`19.9 [19.8, 20.0] ms, 251 [250, 252] img/s, depth error 5.8e-3, 2,310 MiB, cold start 70 s` of the pick."""
    if choice.pick is None:
        return ""
    values, intervals = choice.figures[choice.pick], choice.intervals.get(choice.pick, {})
    parts = []
    for name in HEADLINE:
        value = values.get(name)
        if value is not None:
            label = f"{METRICS[name].label} " if name in ("depth_error", "cold_start_s") else ""
            parts.append(label + estimated(METRICS[name], value, intervals.get(name)))
    return ", ".join(parts)


def break_even_lines(found: Sequence[BreakEven]) -> list[str]:
    """One line a reference: `Against <reference>: export and start are paid back after 33,000 images; …`."""
    lines: dict[str, list[str]] = {}
    for each in found:
        lines.setdefault(each.reference, []).append(_pays(each))
    return [f"Against {reference}: {'; '.join(parts)}" for reference, parts in lines.items()]


def _pays(found: BreakEven) -> str:
    what = "export and start are" if found.with_export else "with the artifact on disk, the start is"
    if found.images is None:
        return f"{what} never paid back: it is no faster per image"
    if found.images == 0:
        return "ahead from the first image" + ("" if found.with_export else " once the artifact exists")
    interval = ""
    if found.images_ci95 is not None:
        low, high = found.images_ci95
        interval = f" [{_count(low)}, {'never' if high is None else _count(high)}]"
    return f"{what} paid back after {_count(found.images)} images{interval}"


def _count(images: int) -> str:
    """A count to three significant digits."""
    digits = max(0, len(str(images)) - 3)
    return f"{round(images, -digits):,}"
