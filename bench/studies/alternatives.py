"""Ours beside what a user would run on a CPU instead: one run, the same photographs, every cell in its own process.

    python -m depthport.bench.studies.alternatives [--model da3-small] [--size 504x504] [--views 1] [--threads N]
    [--seconds 180] [--compile]
    python -m depthport.bench.studies.alternatives --prepare        # write the files only, so that the timed part is short

Cells take turns in a new random order every round; a turn is one untimed inference and timed ones, numpy in and numpy out.
Prints a Markdown table: latency and speedup over upstream (paired by round), each with its 95 % interval over rounds,
`n` timed inferences, and how far depth and cameras are from upstream's fp32 on the timed inputs, the worst of the scenes.

Before that each cell is started twice, alone, in processes of their own: the second, with its caches warm, gives the time
from the start of Python to the first result, and the peak memory. `of sgemm` is the static network's arithmetic over the
latency, as a share of what numpy's BLAS reaches on as many threads (roofline_cpu.py), measured in the same run.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from depthport.bench.analysis.parity import parity, worst
from depthport.bench.inputs.inputs import load_scenes
from depthport.bench.statistics.digits import format_error, format_interval
from depthport.bench.statistics.estimate import estimate_log_latency, estimate_log_ratio
from depthport.bench.statistics.samples import Block, CellSamples
from depthport.bench.studies import alternative_cells as alone
from depthport.bench.studies.roofline_cpu import measure as roofline
from depthport.bench.workers.channel import Channel, WorkerFault
from depthport.bench.workers.messages import R, Request
from depthport.bench.workers.start import worker_command, worker_environment
from depthport.exporters.core.artifact import Shape
from depthport.exporters.core.files.atomic import write_json
from depthport.exporters.core.files.npz import read_npz
from depthport.exporters.core.json_types import JsonObject
from depthport.exporters.core.provenance import package_versions
from depthport.exporters.core.store import default_root
from depthport.runtimes.host.threads import allowed_threads

SCENES = 4
LOAD_TIMEOUT_S = 600.0
BLOCK_TIMEOUT_S = 120.0
MIN_ROUNDS = 3
PACKAGES = ("torch", "onnxruntime", "openvino", "depth-anything-3", "numpy")


def prepare(
    model: str, weights: str, shape: Shape, folder: Path, given: Mapping[str, str | None] | None = None
) -> JsonObject:
    """Write images, plain ONNX, its dynamic int8, and our artifacts (but those whose folder is `given`, by the names
    below, or None to leave it out); what is there stays.

    Returns:
        {images: paths, plain: path, plain_note: why it is not upstream's own export or None, ...}.
    """
    from depthport.exporters.api import export

    given = given or {}
    folder.mkdir(parents=True, exist_ok=True)
    images = [folder / f"image-{index}.npy" for index in range(SCENES)]
    for path, scene in zip(images, load_scenes(shape, sets=SCENES), strict=True):
        np.save(path, scene.arrays()["image"])
    asked = {"views": shape.views, "height": shape.height, "width": shape.width, "weights": weights}
    told = {"outputs": alone.OUTPUTS, "progress": lambda step: print(step, file=sys.stderr)}
    ours = {
        name: str(export(model, format=form, precision=precision, target=target, **asked, **told).artifact.path)  # type: ignore[arg-type]
        for name, form, precision, target in (
            ("pytorch", "pytorch", "fp32", None),
            ("portable", "onnx", "fp32", "portable"),
            ("ort-cpu", "onnx", "fp32", "ort-cpu"),
            ("int8", "onnx", "int8", "ort-cpu"),
            ("int8-openvino", "onnx", "int8", "openvino"),
        )
        if name not in given
    }
    ours.update({name: path for name, path in given.items() if path is not None})
    plain, note = folder / "plain.onnx", folder / "plain.json"
    if not note.exists():
        write_json(note, {"failed": alone.write_plain_onnx(model, weights, np.load(images[0]), plain)})
    failed = json.loads(note.read_text(encoding="utf-8"))["failed"]
    source = Path(ours["portable"]) / "model.onnx" if failed else plain
    dynamic = folder / "dynamic-int8.onnx"
    if not dynamic.exists():
        alone.write_dynamic_int8(source, dynamic)
    return {
        "images": [str(path) for path in images], "plain": str(source), "plain_failed": failed, "dynamic": str(dynamic),
        "ours": ours,
    }  # fmt: skip


def cells(files: Mapping[str, Any], model: str, weights: str, threads: int, compiled: bool) -> list[JsonObject]:
    """What to time, as `depthport.bench.studies.alternative_cells.make` takes it; the baseline first."""
    upstream = {"kind": "upstream", "model": model, "weights": weights, "threads": threads}
    plain = "our portable ONNX" if files["plain_failed"] else "`torch.onnx.export` of upstream"
    ours = files["ours"]
    chosen: list[JsonObject] = [{"name": alone.BASELINE, **upstream, "compiled": False}]
    if compiled:
        chosen.append({"name": "upstream, `torch.compile`", **upstream, "compiled": True})
    for name, kind, path in (
        (f"{plain}, ONNX Runtime", "onnxruntime", files["plain"]),
        (f"{plain}, `quantize_dynamic`, ONNX Runtime", "onnxruntime", files["dynamic"]),
        (f"{plain}, OpenVINO", "openvino", files["plain"]),
    ):
        chosen.append({"name": name, "kind": kind, "path": path, "threads": threads})
    for name, runtime, artifact, mode in (
        ("ours: PyTorch `eager` fp32", "pytorch", "pytorch", "eager"),
        ("ours: ONNX Runtime `ort-cpu` fp32", "onnxruntime", "ort-cpu", None),
        ("ours: ONNX Runtime `ort-cpu` int8", "onnxruntime", "int8", None),
        ("ours: OpenVINO fp32", "openvino", "portable", None),
        ("ours: OpenVINO int8", "openvino", "int8-openvino", None),
    ):
        if artifact not in ours:
            continue
        chosen.append(
            {"name": name, "kind": "ours", "runtime": runtime, "artifact": ours[artifact], "threads": threads, "mode": mode}
        )
    return chosen


@dataclass(frozen=True)
class Cost:
    """Of a process of its own, its caches warm: start of Python to the first result, and peak resident memory."""

    first_result_s: float
    peak_mib: float


def start_alone(cell: Mapping[str, Any], images: Sequence[str], folder: Path) -> Cost | None:
    """What a cell costs before it is fast, on the second of two starts; None where it failed (its row says why)."""
    cost = None
    for _ in range(2):
        began = time.monotonic()
        live = Live(cell, images[:1], folder, 0)
        first_result_s = time.monotonic() - began
        try:
            cost = None if live.failed else Cost(first_result_s, live.peak_mib())
        finally:
            live.channel.close()
    return cost


class Live:
    """A cell's process, its samples and its distances from upstream."""

    def __init__(self, cell: Mapping[str, Any], images: Sequence[str], folder: Path, index: int) -> None:
        self.name: str = cell["name"]
        self.blocks: list[Block] = []
        self.parity: list[JsonObject] = []
        self.failed: str | None = None
        self.cost: Cost | None = None
        self.file = folder / f"outputs-{index}.npz"
        threads = str(cell["threads"])
        self.channel = Channel(
            worker_command(None, "depthport.bench.studies.alternative_cells"),
            worker_environment({"OMP_NUM_THREADS": threads}),
        )
        self._ask(alone.LoadCell(cell=dict(cell), images=tuple(images)), LOAD_TIMEOUT_S)

    def turn(self, number: int, scene: int, calls: int) -> dict[str, np.ndarray] | None:
        """One block; its outputs, or None where it failed."""
        reply = self._ask(alone.TimeScene(scene=scene, calls=calls, outputs=str(self.file)), BLOCK_TIMEOUT_S)
        if reply is None:
            return None
        self.blocks.append(Block(0, number, np.array(reply.ns, np.float64)))
        return read_npz(self.file)

    def peak_mib(self) -> float:
        """Peak resident memory of its process."""
        return (self._ask(alone.GetPeak(), BLOCK_TIMEOUT_S) or alone.Peak(None)).peak_mib or math.nan

    def _ask(self, message: Request[R], timeout_s: float) -> R | None:
        try:
            return self.channel.request(message, timeout_s)
        except WorkerFault as error:
            self.failed = str(error)
            return None


def measure(
    chosen: Sequence[Mapping[str, Any]], images: Sequence[str], folder: Path, seconds: float, calls: int
) -> list[Live]:
    """Start each cell alone, then all, then rounds in random order until `seconds` are over (at least three)."""
    costs = [start_alone(cell, images, folder) for cell in chosen]
    live = [Live(cell, images, folder, index) for index, cell in enumerate(chosen)]
    for cell, cost in zip(live, costs, strict=True):
        cell.cost = cost
    order = random.Random(0)
    reference: dict[int, dict[str, np.ndarray]] = {}
    try:
        started, number = time.monotonic(), 0
        while number < MIN_ROUNDS or time.monotonic() - started < seconds:
            scene = number % len(images)
            turns = [cell for cell in live if cell.failed is None]
            found: dict[str, dict[str, np.ndarray]] = {}
            for cell in order.sample(turns, len(turns)):
                outputs = cell.turn(number, scene, calls)
                if outputs is not None:
                    found[cell.name] = outputs
            reference.setdefault(scene, found.get(alone.BASELINE, {}))
            size = np.load(images[scene], mmap_mode="r").shape[-2:]
            for cell in turns:
                cell.parity.append(parity(found.get(cell.name, {}), reference[scene], size))
            number += 1
    finally:
        for cell in live:
            cell.channel.close()
    return live


def table(live: Iterable[Live], gflop: float = math.nan, sgemm_gflop_s: float = math.nan) -> Iterable[str]:
    """The Markdown table, a row a cell; `gflop` of the static network, and what sgemm reaches."""
    cells = list(live)
    base = CellSamples(cells[0].name, tuple(cells[0].blocks))
    yield (
        "| cell | n | ms [95 %] | vs upstream [95 %] | of sgemm | depth, rel. L2 | rotation | first result, s |"
        " peak memory, MiB (of upstream's) |"
    )
    yield "|---|---:|---:|---:|---:|---:|---:|---:|---:|"
    for cell in cells:
        samples = CellSamples(cell.name, tuple(cell.blocks))
        if cell.failed or not cell.blocks:
            yield f"| {cell.name} | {len(samples.steady_ns())} | failed: {cell.failed} | | | | | | |"
            continue
        latency, ratio = estimate_log_latency(samples), estimate_log_ratio(base, samples)
        shown = format_interval(*_scaled(latency, 1e-6))
        speed = "1" if cell.name == alone.BASELINE or ratio is None else format_interval(*_scaled(ratio, 1.0), unit="×")
        far = worst(cell.parity)
        rotation = far["extrinsics"]["rotation_deg"]
        share = gflop / math.exp(latency.log) * 1e9 / sgemm_gflop_s
        cost, least = cell.cost or Cost(math.nan, math.nan), cells[0].cost or Cost(math.nan, math.nan)
        yield (
            f"| {cell.name} | {len(samples.steady_ns())} | {shown} | {speed} | {100 * share:.0f} % "
            f"| {format_error(far['depth']['rel_l2'])} | {rotation:.3f}° | {cost.first_result_s:.1f} "
            f"| {cost.peak_mib:.0f} ({100 * cost.peak_mib / least.peak_mib:.0f} %) |"
        )


def network_gflop(artifact: str) -> float:
    """The static network's arithmetic, counted in a process of its own."""
    channel = Channel(worker_command(None, "depthport.bench.studies.alternative_cells"), worker_environment())
    try:
        return channel.request(alone.CountWork(artifact=artifact), LOAD_TIMEOUT_S).gflop
    finally:
        channel.close()


def _scaled(estimate: Any, unit: float) -> tuple[float, tuple[float, float] | None]:
    """Value and interval of a log estimate, in `unit`."""
    interval = estimate.interval()
    value = math.exp(estimate.log) * unit
    return value, None if interval is None else (math.exp(interval[0]) * unit, math.exp(interval[1]) * unit)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="da3-small")
    parser.add_argument("--weights", default="synthetic:0")
    parser.add_argument("--size", default="504x504", help="HxW")
    parser.add_argument("--views", type=int, default=1)
    parser.add_argument("--threads", type=int, default=allowed_threads())
    parser.add_argument("--seconds", type=float, default=180.0, help="of timed rounds")
    parser.add_argument("--calls", type=int, default=1, help="timed inferences a turn")
    parser.add_argument("--compile", action="store_true", help="upstream under torch.compile too (minutes to compile)")
    parser.add_argument("--int8", help="folder of our int8 artifact for `ort-cpu`, where there is one already")
    parser.add_argument("--int8-openvino", help="the same for `openvino`")
    parser.add_argument("--fp32-only", action="store_true", help="no int8 of ours, whose planning takes minutes")
    parser.add_argument("--prepare", action="store_true", help="write the files and stop")
    given = parser.parse_args()
    height, width = (int(side) for side in given.size.split("x"))
    shape = Shape(1, given.views, height, width)
    folder = default_root() / ".alternatives" / f"{given.model}-{given.weights.replace(':', '-')}-{shape}"
    ready = {"int8": given.int8, "int8-openvino": given.int8_openvino}
    ready = {name: path for name, path in ready.items() if path or given.fp32_only}
    files = prepare(given.model, given.weights, shape, folder, ready)
    if files["plain_failed"]:
        print(f"torch.onnx.export of upstream failed: {files['plain_failed']}")
    if given.prepare:
        return
    gflop, roof = network_gflop(files["ours"]["pytorch"]), roofline(given.threads)
    chosen = cells(files, given.model, given.weights, given.threads, given.compile)
    live = measure(chosen, files["images"], folder, given.seconds, given.calls)
    if live[0].failed:
        sys.exit(f"{alone.BASELINE} failed: {live[0].failed}")
    versions = ", ".join(f"{name} {version}" for name, version in package_versions(PACKAGES).items())
    print(f"{given.model}, {shape}, `{given.weights}`, {given.threads} threads, {SCENES} scenes in turn; {versions}")
    print(f"Static network {gflop:.0f} GFLOP; sgemm {roof.gflop_s:.0f} GFLOP/s.", "", sep="\n")
    print("\n".join(table(live, gflop, roof.gflop_s)))


if __name__ == "__main__":
    main()
