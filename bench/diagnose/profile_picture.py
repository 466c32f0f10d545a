"""A profile as files: JSON, and a picture of one bar a part with what it would take at the measured rates."""

from __future__ import annotations

import io
from importlib.util import find_spec
from pathlib import Path

from depthport.bench.diagnose.profile import Profile
from depthport.bench.statistics import figures
from depthport.exporters.core.files.atomic import storage_errors, write_bytes, write_json

PROFILE_FILES = ("profile.json", "profile.png")
_MEASURED, _ROOF = "#9ec1e0", "#1f5f99"


def draw(profile: Profile, path: Path) -> None:
    """Write the picture as PNG; needs matplotlib."""
    from matplotlib.figure import Figure

    parts = profile.parts
    figure = Figure(figsize=(9, 0.36 * len(parts) + 1.6), layout="constrained")
    axes = figure.subplots()
    rows = range(len(parts))
    axes.barh(rows, [part.ms for part in parts], color=_MEASURED, label="measured")
    axes.barh(rows, [part.roof_ms for part in parts], height=0.35, color=_ROOF, label="at the measured rates")
    for row, part in zip(rows, parts, strict=True):
        end = max(part.ms, part.roof_ms)
        axes.annotate(
            f"{figures.number(part.ms, part.ms_ci95)} ms, {part.share:.0%}",
            (end, row),
            (4, 0),
            textcoords="offset points",
            va="center",
        )
    axes.set_yticks(rows, [part.name for part in parts])
    axes.invert_yaxis()
    axes.margins(x=0.18)
    axes.set_xlabel("ms a call")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="lower right", frameon=False)
    cell = profile.cell
    axes.set_title(
        f"{cell['model']}, {cell['views']} views {cell['height']}×{cell['width']}, {cell['mode']}/{cell['precision']}\n"
        f"{profile.hardware}: {profile.matmul_tflop_s:.3g} TFLOP/s, {profile.copy_gb_s:.0f} GB/s; "
        f"a call {figures.number(profile.latency_ms, profile.latency_ci95_ms)} ms",
        loc="left", fontsize=10,
    )  # fmt: skip
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=130)
    write_bytes(path, buffer.getvalue())


def write_profile(profile: Profile, folder: Path) -> list[Path]:
    """`profile.json`, and `profile.png` where matplotlib is installed; the paths written."""
    data, picture = (folder / name for name in PROFILE_FILES)
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    written = [data]
    write_json(data, profile.to_json())
    if find_spec("matplotlib") is not None:
        written.append(picture)
        draw(profile, written[1])
    return written
