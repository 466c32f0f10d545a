"""The record of the pipeline boundary on one NVIDIA GPU: from JPEG files to depth and poses, upstream and ours.

    python bench/records/pipeline.py OUT [--seconds 480]

Writes OUT/rows.jsonl as it goes and prints tables. Every phase is a process of its own with a time limit of its own; a
phase that fails or takes too long costs its own rows. Photographs are scikit-image's, scaled: 1440×1440, as many pixels as
1080p, which upstream's resize makes 504×504; and 1920×1080, which it makes 504×280. Weights are random (`synthetic:0`):
times and losses mean something, depth does not.

* `latency`: one scene alone, from files in memory to numpy arrays. Blocks of upstream, ours and the network take turns.
* `stream`: scene after scene, from the first file to the last array. Upstream's `inference` has no overlap: users loop.
* `network`: our artifact's own run, inputs and outputs on the device: what a pipeline can reach at best.

Upstream is `depthport.exporters.da3.processors.UpstreamInference`: its own processors and network, called as its
`inference` calls them, because its API module can't be imported without packages that inference does not use.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from depthport.bench.records.pipeline_measure import SQUARE, WIDE, Size, artifact, keep, measure, measure_decoders

PHOTOGRAPHS = 24
PHASE_LIMITS_S = {"photographs": 60, "exports": 200, "decode": 60, "views-1": 150, "views-5": 150, "wide": 120}


def main() -> None:
    """Run the phases, and write the record."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--work", type=Path, help="for photographs and artifacts. Default: OUT/work")
    parser.add_argument("--phase", choices=[*PHASE_LIMITS_S, "export"])
    parser.add_argument("--seconds", type=float, default=480.0, help="for all phases together")
    parser.add_argument("--model", default="da3-large")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--size", type=int, nargs=2, default=(504, 504), help="of the square photographs, for the network")
    parser.add_argument("--wide-size", type=int, nargs=2, default=(280, 504))
    parser.add_argument("--block", type=float, default=1.0, help="seconds of calls in a block")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--views", type=int)
    parser.add_argument("--source", type=int, nargs=2)
    parser.add_argument("--to", type=int, nargs=2)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    given.work = given.work or given.out / "work"
    given.work.mkdir(parents=True, exist_ok=True)
    if given.phase is None:
        run_phases(given)
        return
    square, wide = tuple(given.size), tuple(given.wide_size)
    phases: dict[str, Callable[[argparse.Namespace], None]] = {
        "photographs": make_photographs, "exports": export_all, "export": export_one, "decode": measure_decoders,
        "views-1": lambda asked: measure(asked, 1, SQUARE, square),
        "views-5": lambda asked: measure(asked, 5, SQUARE, square),
        "wide": lambda asked: measure(asked, 1, WIDE, wide),
    }  # fmt: skip
    phases[given.phase](given)


def run_phases(given: argparse.Namespace) -> None:
    """Each phase within its limit and what is left of the whole; then the tables."""
    end = time.monotonic() + given.seconds
    (given.out / "rows.jsonl").write_text("")
    for phase, limit in PHASE_LIMITS_S.items():
        left = end - time.monotonic()
        if left < 10:
            note(given, phase, "not begun, out of time")
            continue
        began = time.monotonic()
        try:
            code = subprocess.run([*command(), "--phase", phase], timeout=min(limit, left), check=False).returncode
            said = "done" if code == 0 else f"exit code {code}"
        except subprocess.TimeoutExpired:
            said = "out of time"
        note(given, phase, f"{said}, {time.monotonic() - began:.0f} s")
    print_tables([json.loads(line) for line in (given.out / "rows.jsonl").read_text().splitlines()])


def command() -> list[str]:
    """Command line of this process."""
    return [sys.executable, *sys.argv]


def note(given: argparse.Namespace, phase: str, said: str) -> None:
    """Record a remark on a phase."""
    keep(given, phase=phase, said=said)


# -- what is measured


def make_photographs(given: argparse.Namespace) -> None:
    """JPEG files of both sizes: windows of scikit-image's photographs, mirrored and scaled, quality 92, 4:2:0."""
    from PIL import Image

    from depthport.bench.inputs.photographs import motorcycle, single

    originals = [camera.rgb for camera in motorcycle().cameras]
    originals += [single(name).cameras[0].rgb for name in ("astronaut", "coffee", "chelsea", "rocket")]
    for height, width in (SQUARE, WIDE):
        folder = given.work / f"{height}x{width}"
        folder.mkdir(exist_ok=True)
        sizes = []
        for index in range(PHOTOGRAPHS):
            rgb = originals[index % len(originals)]
            rgb = rgb[:, ::-1] if index // len(originals) % 2 else rgb
            h, w = rgb.shape[:2]
            share = 0.75 + 0.25 * ((index * 0.618) % 1)
            wide = min(w, h * width / height) * share
            tall = wide * height / width
            left, top = (w - wide) * ((index * 0.755) % 1), (h - tall) * ((index * 0.57) % 1)
            image = Image.fromarray(np.ascontiguousarray(rgb))
            image = image.resize((width, height), Image.Resampling.LANCZOS, (left, top, left + wide, top + tall))
            written = io.BytesIO()
            image.save(written, "JPEG", quality=92)
            (folder / f"{index:02d}.jpg").write_bytes(written.getvalue())
            sizes.append(len(written.getvalue()))
        keep(given, photographs=f"{height}x{width}", count=PHOTOGRAPHS, median_kb=round(statistics.median(sizes) / 1e3))


def wanted(given: argparse.Namespace) -> list[tuple[int, Size | None, Size]]:
    """(views, source size, size) of the artifacts: pixels in, and pixels of the photographs in."""
    square, wide = tuple(given.size), tuple(given.wide_size)
    of_square = [(views, source, square) for views in (1, 5) for source in (None, SQUARE)]
    return [*of_square, (1, None, wide), (1, WIDE, wide)]


def export_all(given: argparse.Namespace) -> None:
    """All artifacts side by side, a process each."""
    began, running = time.monotonic(), []
    for views, source, size in wanted(given):
        line = [*command(), "--phase", "export", "--views", str(views), "--to", *map(str, size)]
        line += ["--source", *map(str, source)] if source else []
        environment = {**os.environ, "OMP_NUM_THREADS": "2"}
        running.append(subprocess.Popen(line, env=environment))
        if given.device == "cpu":
            running[-1].wait()
    codes = [process.wait() for process in running]
    keep(given, exports=len(codes), failed=sum(code != 0 for code in codes), seconds=round(time.monotonic() - began))


def export_one(given: argparse.Namespace) -> None:
    """Export the artifact of the given shape, in a separate process."""
    artifact(given, given.views, tuple(given.source) if given.source else None, tuple(given.to))


# -- what is shown


def print_tables(rows: Sequence[Mapping[str, object]]) -> None:
    """The rows as Markdown."""
    for kind in ("decoder", "parity", "latency", "stages", "stream"):
        found = [row for row in rows if kind in row]
        if found:
            names = list(dict.fromkeys(name for row in found for name in row))
            print(f"\n**{kind}**\n\n| {' | '.join(names)} |\n|{'---|' * len(names)}")
            for row in found:
                print(f"| {' | '.join(str(row.get(name, '')) for name in names)} |")


if __name__ == "__main__":
    main()
