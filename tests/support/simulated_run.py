"""A run that nobody timed: latencies drawn on a simulated machine, journaled as `bench` journals them, then analysed as
every run is (depthport.bench.measure.conclude). Seeded: the same rows and seed give the same results.

What a row says is what is true of its cell; what the results say of it is the analysis's finding.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from depthport.bench.inputs.inputs import Scene
from depthport.bench.inputs.scenes import render_scene
from depthport.bench.measure.conclude import conclude, work_folder
from depthport.bench.measure.exports import artifact_ready
from depthport.bench.measure.plan import RunPlan
from depthport.bench.plan.cells import CellSpec
from depthport.bench.plan.controls import DELAY, control_subject
from depthport.bench.plan.protocol import Protocol
from depthport.bench.results.cell_id import cell_id
from depthport.bench.results.journal import Journal
from depthport.bench.results.journal_file import line_of
from depthport.bench.results.model import Results, Status
from depthport.bench.results.records import (
    AnyRecord,
    Calibration,
    Failed,
    GroundTruthOutputs,
    Header,
    Launch,
    LaunchDone,
    SessionReport,
    TimedBlock,
    VisitDone,
)
from depthport.bench.results.sections import Environment, GpuReading, Reading
from depthport.bench.studies.simulated_clock import Clock, Sampling, simulate_samples
from depthport.exporters.core.artifact import Artifact, FileInfo, Shape, WeightsInfo, artifact_key
from depthport.exporters.core.files.atomic import write_json
from depthport.exporters.da3.weights_ref import WeightsRef
from depthport.runtimes.terms import Placement
from tests.support.manifests import manifest
from tests.support.requests import plan_of, request_for

Arrays = dict[str, np.ndarray[Any, Any]]

MODEL_ERROR = 0.07
"""Upstream's own distance from the truth: AbsRel of a good checkpoint on unseen scenes."""
ROUNDING = 1e-7
"""Upstream fp32 from fp64."""
SIDE = 42
"""Pixels of what is computed, whatever shape the rows have."""
COMPILING_MIB = 100.0
"""More memory than later processes that the first one, which compiles, needs."""


@dataclass(frozen=True)
class Row:
    """One cell: its axes, and what is true of it."""

    format: str
    runtime: str
    device: str
    mode: str
    precision: str
    ms: float = 0.0
    """Latency at the device boundary."""
    error: float = 0.0
    """Relative L2 of depth to upstream fp32; poses and intrinsics are off in proportion."""
    host_extra: float = 0.01
    """What copying in and out adds, of `ms`."""
    enqueue: float = 1.0
    """Share of a call after which `run` returns."""
    export_s: float = 20.0
    load_s: float = 1.0
    first_ms: float | None = None
    host_mib: float = 900.0
    device_mib: float | None = None
    size_mib: float = 110.0
    baseline: bool = False
    failed: tuple[Status, str] | None = None
    """It never ran: how it ended and why."""
    description: str = ""
    numerics_only: str | None = None

    @property
    def id(self) -> str:
        return cell_id(self.runtime, self.device, self.mode, self.precision)


@dataclass(frozen=True, eq=False)
class Machine:
    """What `bench` writes of a machine, and how its clock behaves."""

    environment: Environment
    clock: Clock
    gpu: GpuReading | None = None
    """Telemetry of its GPU during every visit."""


@dataclass(frozen=True)
class Workload:
    """What all rows of a run compute."""

    model: str = "da3-small"
    shape: tuple[int, int, int, int] = (1, 1, 504, 504)
    """B, N, H, W."""
    weights: str = "depth-anything/DA3-SMALL"

    @property
    def synthetic(self) -> bool:
        return self.weights.startswith("synthetic")

    def ref(self) -> WeightsRef:
        licence = "none (synthetic)" if self.synthetic else "Apache-2.0"
        return WeightsRef(self.weights, "cd" * 32, self.synthetic, licence)


def simulate(
    machine: Machine, rows: tuple[Row, ...], workload: Workload, sampling: Sampling, seed: int, created: str, out: Path
) -> Results:
    """One run of `rows` on `machine`, concluded in `out` (pictures are left there, as by a real run)."""
    plan = _plan(rows, workload, sampling, seed)
    work = work_folder(out)
    work.mkdir(parents=True)
    upstream = [
        _disturbed(_truth(scene), MODEL_ERROR, index) for index, scene in enumerate((*plan.scenes, *plan.ground_truth))
    ]
    references = {
        f"fp32-{i}": _saved(work / f"fp32-{i}.npz", arrays) for i, arrays in enumerate(upstream[: len(plan.scenes)])
    }
    references["fp64-0"] = _saved(work / "fp64-0.npz", _disturbed(upstream[0], ROUNDING, 99))
    records: list[AnyRecord] = [Header(plan=plan.fingerprint(), created=created, epoch_s=0.0)]
    records += [*_prepared(rows, plan, workload, upstream, out), *_timed(machine, rows, plan, sampling)]
    # Written at once: `append` waits for the disk at every record.
    (out / "journal.jsonl").write_bytes(b"".join(map(line_of, records)))
    with Journal(out / "journal.jsonl") as journal:
        assert len(journal.records) == len(records)
        return conclude(plan, journal, references, out, copy.deepcopy(machine.environment), complete=True)


def _plan(rows: tuple[Row, ...], workload: Workload, sampling: Sampling, seed: int) -> RunPlan:
    shape = Shape(*workload.shape)
    cells = tuple(
        CellSpec(
            request_for(shape, row.format, row.precision, model=workload.model, weights=workload.ref()),
            row.runtime, row.device, row.mode, row.description, baseline=row.baseline,
            numerics_only=row.numerics_only,
        )
        for row in rows
    )  # fmt: skip
    small = replace(shape, height=SIDE, width=SIDE)
    # Rendered too, so that no test needs the package that ships the photograph.
    scenes = (replace(render_scene(small, 10), name="motorcycle"), render_scene(small, 11))
    protocol = Protocol("rigorous", seed=seed, launches=sampling.launches, inputs=len(scenes))
    return plan_of(cells, scenes, protocol, ground_truth=(render_scene(small, 0), render_scene(small, 1)))


def _truth(scene: Scene) -> Arrays:
    """What a perfect model would compute, in fp64."""
    assert scene.depth is not None
    depth = scene.depth.astype(np.float64)
    views = np.zeros(scene.shape.batch, np.int64)
    extrinsics = scene.extrinsics[..., :3, :]
    return {
        "depth": depth, "depth_conf": 1 + 1 / depth, "extrinsics": extrinsics, "intrinsics": scene.intrinsics,
        "reference_view": views,
    }  # fmt: skip


def _disturbed(arrays: Arrays, error: float, seed: int) -> Arrays:
    """Depth off by `error` (relative L2, exactly) with random signs, views turned by 3° x `error`, the rest by less."""
    signs = np.random.default_rng(seed).choice([-1.0, 1.0], arrays["depth"].shape)
    c, s = np.cos(np.radians(3 * error)), np.sin(np.radians(3 * error))
    return {
        "depth": arrays["depth"] * (1 + error * signs),
        "depth_conf": arrays["depth_conf"] * (1 + error / 2 * signs),
        "extrinsics": np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]]) @ arrays["extrinsics"],
        "intrinsics": arrays["intrinsics"] * (1 + error / 3 * np.diag([1.0, 1.0, 0.0])),
        "reference_view": arrays["reference_view"],
    }


def _saved(path: Path, arrays: Arrays) -> Path:
    np.savez(path, **arrays)  # type: ignore[arg-type]
    return path


def _prepared(
    rows: tuple[Row, ...], plan: RunPlan, workload: Workload, upstream: list[Arrays], out: Path
) -> Iterator[AnyRecord]:
    """What is journaled of each cell beside its timed calls: failure, or artifact and outputs on the scenes of truth."""
    for index, (row, cell) in enumerate(zip(rows, plan.cells, strict=True)):
        if row.failed:
            status, reason = row.failed
            yield Failed(cell=cell.id, status=status, reason=reason)
            continue
        yield artifact_ready(cell.id, _artifact(row, workload, out / f"artifact-{index}"), "built")
        for scene, arrays in enumerate(upstream):
            name = outputs_name(index, scene)
            _saved(work_folder(out) / name, _disturbed(arrays, row.error, scene))
            if scene >= len(plan.scenes):
                yield GroundTruthOutputs(cell=cell.id, scene=scene - len(plan.scenes), outputs=name)


def outputs_name(cell: int, scene: int) -> str:
    return f"outputs-{cell}-{scene}.npz"


def _artifact(row: Row, workload: Workload, folder: Path) -> Artifact:
    """A manifest of the size and the time to export that the row says, without the file."""
    weights = WeightsInfo(workload.weights, "cd" * 32, workload.synthetic, workload.ref().licence)
    made = manifest(
        key=artifact_key({"format": row.format, "precision": row.precision, **vars(workload)}),
        model=workload.model, weights=weights, format=row.format, precision={"name": row.precision},
        shape=Shape(*workload.shape), versions={"torch": "2.13.0"}, options={}, export_s=row.export_s,
        files=(FileInfo("model", int(row.size_mib * 2**20), "ef" * 32),),
    )  # fmt: skip
    folder.mkdir()
    write_json(folder / "artifact.json", made.to_json())
    return Artifact(folder, made)


def _timed(machine: Machine, rows: tuple[Row, ...], plan: RunPlan, sampling: Sampling) -> Iterator[AnyRecord]:
    """Launches, blocks, visits and reports of the cells that ran and of the two controls, in the order they take turns."""
    ran = {cell.id: (index, row) for index, (row, cell) in enumerate(zip(rows, plan.cells, strict=True)) if not row.failed}
    latency = {cell: row.ms for cell, (_, row) in ran.items()}
    subject = control_subject([cell for cell in plan.cells if cell.id in ran], {})
    of = {cell: cell for cell in ran}
    for tag, factor in (("control-aa", 1.0), ("control-plus5", 1.0 + DELAY)):
        control = subject.with_tag(tag, tag).id
        latency[control], of[control] = latency[subject.id] * factor, subject.id
    sampling = replace(sampling, cells=tuple(latency))
    true = np.log(np.array(list(latency.values())))
    (log,), (turns,) = simulate_samples(sampling, machine.clock, 1, plan.protocol.seed, true)
    clock_s, blocks = 0.0, {cell: count() for cell in latency}
    gpus = [machine.gpu] if machine.gpu else None
    for launch in range(sampling.launches):
        for cell, (_, row) in ran.items():
            yield _launch(row, cell, launch, clock_s)
            clock_s += row.load_s + (row.first_ms or 1.6 * row.ms) / 1e3
        for number, visit in np.ndindex(sampling.rounds, sampling.turns):
            cell = sampling.cells[turns[launch, number, visit]]
            index, row = ran[of[cell]]
            ms = np.exp(log[launch, number, visit])
            starts = clock_s + np.cumsum(ms) / 1e3
            scene = next(blocks[cell]) % len(plan.scenes)
            yield TimedBlock(
                cell=cell, launch=launch, round=number, visit=visit, calls=1, device_ns=_whole(ms * 1e6),
                host_ns=_whole(ms * 1e6 * (1 + row.host_extra)), starts_s=(starts - ms / 1e3).tolist(), input=scene,
                outputs_sha256=f"{of[cell]}, {scene}", outputs=outputs_name(index, scene) if cell in ran else None,
            )  # fmt: skip
            wall_s = float(starts[-1] - clock_s)
            telemetry: Reading = {"wall_s": wall_s, "parked_cpu_share": 0.0, "gpus": gpus}
            yield VisitDone(cell=cell, launch=launch, round=number, visit=visit, wall_s=wall_s, telemetry=telemetry)
            clock_s += wall_s
        for cell, (_, row) in ran.items():
            placement = Placement(row.device, {"providers": [row.runtime]}, delegated_share=1.0)
            host, device = (
                None if peak is None else peak + (COMPILING_MIB if launch == 0 else 0)
                for peak in (row.host_mib, row.device_mib)
            )
            yield SessionReport(cell=cell, launch=launch, placement=placement, host_peak_mib=host, device_peak_mib=device)
        yield LaunchDone(launch=launch)


def _launch(row: Row, cell: str, launch: int, started_s: float) -> Launch:
    call_ns = int(row.ms * 1e6)
    return Launch(
        cell=cell, launch=launch, started_s=started_s, load_s=row.load_s, first_call_ms=row.first_ms or 1.6 * row.ms,
        calibration=Calibration(call_ns, int(row.enqueue * call_ns), sync_ns=1000, fetch_ns=1000),
        warmup_ms=[1.25 * row.ms, 1.06 * row.ms], steady=True,
    )  # fmt: skip


def _whole(ns: NDArray[Any]) -> list[int]:
    return [round(value) for value in ns.tolist()]
