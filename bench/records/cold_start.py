"""The record of a cold start: seconds from the start of Python to the depth of photographs, in new processes.

    python bench/records/cold_start.py ARTIFACT --device cuda --mode fused --runs 5

The first process compiles what is kept and is shown apart. Photographs are scikit-image's, cut to the artifact's size and
written as JPEG files before the clock starts.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from depthport.exporters.core.artifact import Shape, load_artifact

STAGES = ("python", "depthport", "place", "first result", "second result")
_CHILD = """
import sys, time
marks = [time.time()]
import depthport
marks.append(time.time())
artifact, device, mode, *photographs = sys.argv[1:]
model = depthport.load(artifact, device=device, mode=mode)
marks.append(time.time())
model(photographs)
marks.append(time.time())
model(photographs)
marks.append(time.time())
print(*marks)
"""


def main() -> None:
    """Measure, print a line a process and the medians."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("artifact", type=Path)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--mode", default="fused")
    parser.add_argument("--runs", type=int, default=5)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        photographs = write_photographs(load_artifact(given.artifact).manifest.shape, Path(folder))
        rows = [start(given, photographs) for _ in range(given.runs + 1)]
    print(json.dumps({"first ever": rows[0]}))
    for row in rows[1:]:
        print(json.dumps(row))
    print(json.dumps({"median": {name: round(statistics.median(row[name] for row in rows[1:]), 3) for name in rows[0]}}))


def write_photographs(shape: Shape, folder: Path) -> list[str]:
    """One JPEG a view, of the artifact's size."""
    from PIL import Image

    from depthport.bench.inputs.inputs import load_scene

    paths = []
    for index, view in enumerate(load_scene(shape).rgb[0]):
        path = folder / f"{index}.jpg"
        Image.fromarray(view).save(path, quality=95)
        paths.append(str(path))
    return paths


def start(given: argparse.Namespace, photographs: list[str]) -> dict[str, float]:
    """Seconds of each stage of one process, and from its start to the first result."""
    command = [sys.executable, "-c", _CHILD, str(given.artifact), given.device, given.mode, *photographs]
    began = time.time()
    marks = [began, *map(float, subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.split())]
    parts = {name: round(end - begin, 3) for name, begin, end in zip(STAGES, marks, marks[1:], strict=False)}
    return {**parts, "start to first result": round(marks[4] - began, 3)}


if __name__ == "__main__":
    main()
