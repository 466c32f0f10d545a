"""`doctor --self-check`: on this machine, does every runtime compute what upstream computes? Two minutes at most.

Small shape, synthetic weights, no download: export, load, predict, compare with upstream in fp32, each in a process of
its own, as a run has it, but without timing. Artifacts that we can interpret (`Runtime.interpret`) are also run so, in
place of a runtime that is not here and beside one that is: if both fail the artifact is wrong, if one does it is the
runtime or us.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np

from depthport.bench.environment.environment import fingerprint
from depthport.bench.measure.observer import Observer
from depthport.bench.plan.cells import CellSpec
from depthport.bench.plan.request import measure_request
from depthport.bench.plan.suites import build_cells
from depthport.bench.results.model import Status as CellStatus
from depthport.bench.workers.channel import Channel, RequestFailed, WorkerGone, WorkerTimeout
from depthport.bench.workers.exporting import ComputeReference, Export, Exported, Interpret
from depthport.bench.workers.messages import FirstCall, Load, R, RunBlock
from depthport.bench.workers.messages import Request as Message
from depthport.bench.workers.start import worker_command, worker_environment
from depthport.exporters.core.artifact import Shape
from depthport.exporters.core.files.npz import read_npz, write_npz
from depthport.exporters.core.json_types import JsonObject
from depthport.exporters.core.provenance import canonical_sha256
from depthport.exporters.core.store import ArtifactStore
from depthport.exporters.core.text import without_paths
from depthport.exporters.da3.request import ExportRequest
from depthport.exporters.inputs.preprocess import IMAGENET_MEAN, IMAGENET_STD
from depthport.exporters.inputs.probe import probe_image
from depthport.exporters.registry import get_exporter
from depthport.runtimes.registry import get_runtime, installed_runtimes

MODEL, WEIGHTS = "da3-small", "synthetic:0"
SHAPE = Shape(1, 3, 70, 98)
"""Three views: the least for which upstream chooses a reference view."""
BUDGET_S = 110.0
INTERPRETER = "interpreter"

Step = Literal["export", "load", "predict", "parity"]
Status = Literal["passed", "failed", "unavailable", "not reached"]


@dataclass(frozen=True)
class Check:
    """One runtime, device, mode and precision."""

    cell: str
    status: Status
    step: Step | None = None
    """Where it failed."""
    detail: str = ""
    """Why, or how near to upstream it came."""
    seconds: float = 0.0
    parity: JsonObject | None = None
    log: str = ""
    """The end of what the failed process printed, without names of people and folders."""


@dataclass(frozen=True)
class SelfCheck:
    """All of it: what to send back where something failed."""

    environment: JsonObject
    checks: tuple[Check, ...]
    seconds: float
    model: str = MODEL
    shape: str = str(SHAPE)
    weights: str = WEIGHTS

    @property
    def ok(self) -> bool:
        """Nothing failed, and something was checked."""
        return all(c.status != "failed" for c in self.checks) and any(c.status == "passed" for c in self.checks)

    def to_json(self) -> JsonObject:
        return {"schema": "depthport.self-check/1", "ok": self.ok, **asdict(self)}


def run(
    cells: Sequence[CellSpec] | None = None,
    *,
    store: ArtifactStore | None = None,
    observer: Observer | None = None,
    budget_s: float = BUDGET_S,
) -> SelfCheck:
    """Check cells one after the other until the time is up.

    Args:
        cells: what to check; None: the quick suite's of this machine, and what can be interpreted.
        store: where artifacts are made; None: a temporary folder.
        observer: told what is being done.
        budget_s: no check begins later, and none runs longer.
    """
    began = time.monotonic()
    chosen = default_cells() if cells is None else cells
    with tempfile.TemporaryDirectory(prefix="depthport-") as folder:
        job = _Job(Path(folder), store or ArtifactStore(Path(folder) / "artifacts"), observer or Observer())
        job.deadline = began + budget_s
        try:
            checks = [job.check(cell) for cell in chosen]
        finally:
            job.close()
    return SelfCheck(fingerprint(), tuple(checks), time.monotonic() - began, shape=str(_shape_of(chosen)))


def default_cells() -> list[CellSpec]:
    """Every runtime that is here, the quickest to check first; then what can be interpreted."""
    request = measure_request(
        MODEL, weights=WEIGHTS, suite="quick", views=SHAPE.views, height=SHAPE.height, width=SHAPE.width
    )
    cells = build_cells(request)
    interpreted: list[CellSpec] = []
    for runtime in installed_runtimes():
        format = runtime.formats[0]
        if not runtime.interpreted or get_exporter(format).probe() is not None:
            continue
        for label, (precision, options) in runtime.interpreted.items():
            export = request.artifact(format, precision, options=options)
            interpreted.append(CellSpec(export, runtime.name, INTERPRETER, label))
    slow = {cell.id for cell in cells if cell.mode in (get_runtime(cell.runtime).compiles or ())}
    return [*sorted(cells, key=lambda c: (bool(c.unavailable), c.id in slow)), *interpreted]


def _shape_of(cells: Sequence[CellSpec]) -> Shape:
    return cells[0].export.shape if cells else SHAPE


class _Stop(Exception):
    """A check ends here."""

    def __init__(self, status: Status, step: Step | None, detail: str, log: str = "") -> None:
        super().__init__(detail)
        self.check = Check("", status, step, detail, log=without_paths(log))


class _Job:
    """The folder of a self-check, and what its cells share."""

    def __init__(self, folder: Path, store: ArtifactStore, observer: Observer) -> None:
        self.folder = folder
        self.store = store
        self.observer = observer
        self.deadline = 0.0
        self._exporter: Channel | None = None
        self._exports: dict[str, Exported | _Stop] = {}
        self._reference: dict[str, np.ndarray] | None = None

    def check(self, cell: CellSpec) -> Check:
        began = time.monotonic()
        self.observer.step(cell.id)
        try:
            found = self._check(cell)
        except _Stop as stop:
            found = stop.check
        return replace(found, cell=cell.id, seconds=time.monotonic() - began)

    def _check(self, cell: CellSpec) -> Check:
        if cell.unavailable or cell.unsupported:
            return Check(cell.id, "unavailable", detail=cell.unavailable or cell.unsupported or "")
        from depthport.bench.analysis.parity import parity, violation

        artifact = self._export(cell.export)
        reference = self._upstream(cell.export)
        outputs = self.folder / "outputs.npz"
        outputs.unlink(missing_ok=True)
        if cell.device == INTERPRETER:
            source = str(self._input(cell))
            self._ask("predict", Interpret(runtime=cell.runtime, artifact=artifact, inputs=source, outputs=str(outputs)))
        else:
            load = Load(
                artifact=artifact,
                inputs=(str(self._input(cell)),),
                cache_dir=str(self.folder / "cache"),
                **cell.load_arguments(),
            )
            block = RunBlock(boundary="host", samples=1, calls=1, save_outputs=str(outputs))
            self._predict([("load", load), ("predict", FirstCall()), ("predict", block)])
        found = parity(read_npz(outputs), reference, (cell.export.shape.height, cell.export.shape.width))
        broken = violation(found, cell.export.precision)
        if broken:
            return Check(cell.id, "failed", "parity", broken, parity=found)
        return Check(cell.id, "passed", detail=_nearness(found), parity=found)

    def _export(self, spec: ExportRequest) -> str:
        key = canonical_sha256(msgspec.to_builtins(spec))
        if key not in self._exports:
            try:
                self._exports[key] = self._ask("export", Export(request=spec, store=str(self.store.root)))
            except _Stop as stop:
                self._exports[key] = stop
        found = self._exports[key]
        if isinstance(found, _Stop):
            raise found
        return found.artifact

    def _upstream(self, spec: ExportRequest) -> dict[str, np.ndarray]:
        """Upstream's outputs in fp32 on the check's input."""
        if self._reference is None:
            request = ComputeReference(
                request=spec, inputs=(str(self._write_input(spec)),), folder=str(self.folder), device="cpu", yardstick=False
            )
            self._ask("parity", request)
            self._reference = read_npz(self.folder / "fp32-0.npz")
        return self._reference

    def _input(self, cell: CellSpec) -> Path:
        return self._write_input(cell.export)

    def _write_input(self, spec: ExportRequest) -> Path:
        """The exporters' own probe: it needs no photograph, and every package is verified with it."""
        path, shape = self.folder / "input.npz", spec.shape
        if not path.exists():
            image = probe_image(shape.batch, shape.views, shape.height, shape.width, IMAGENET_MEAN, IMAGENET_STD)
            write_npz(path, {"image": image})
        return path

    def _ask(self, step: Step, request: Message[R]) -> R:
        """An answer of the exporting process, which lives on: starting it costs seconds."""
        if self._exporter is None:
            self._exporter = _start("depthport.bench.workers.export_worker")
        try:
            return self._answer(self._exporter, step, request)
        except (WorkerTimeout, WorkerGone) as error:
            exporter, self._exporter = self._exporter, None
            raise _lost(error, step, exporter) from None

    def _predict(self, requests: Sequence[tuple[Step, Message[Any]]]) -> None:
        """Requests to a fresh process: runtimes in one process disturb each other."""
        channel = _start("depthport.bench.workers.worker")
        step: Step = requests[0][0]
        try:
            for step, request in requests:
                self._answer(channel, step, request)
        except (WorkerTimeout, WorkerGone) as error:
            raise _lost(error, step, channel) from None
        finally:
            channel.close(timeout_s=5)

    def _answer(self, channel: Channel, step: Step, request: Message[R]) -> R:
        left = self.deadline - time.monotonic()
        if left <= 1:
            raise _Stop("not reached", None, UP)
        try:
            return channel.request(request, left)
        except RequestFailed as error:
            missing = error.failure.status in (CellStatus.UNAVAILABLE, CellStatus.UNSUPPORTED)
            status: Status = "unavailable" if missing else "failed"
            log = "" if missing else channel.stderr_tail()
            raise _Stop(status, step, without_paths(error.failure.reason), log) from None

    def close(self) -> None:
        if self._exporter is not None:
            self._exporter.close(timeout_s=5)


UP = "the time was up"


def _start(module: str) -> Channel:
    return Channel(worker_command(None, module), worker_environment())


def _lost(error: WorkerTimeout | WorkerGone, step: Step, channel: Channel) -> _Stop:
    """What became of a check whose process has gone."""
    if isinstance(error, WorkerTimeout):
        return _Stop("not reached", step, UP, channel.stderr_tail())
    return _Stop("failed", step, without_paths(error.reason), channel.stderr_tail())


def _nearness(found: JsonObject) -> str:
    """`depth 1.2e-06, rotation 3e-05°, reference view equal`."""
    parts = [f"depth {found['depth']['rel_l2']:.1e}"] if "depth" in found else []
    if "extrinsics" in found:
        parts.append(f"rotation {found['extrinsics']['rotation_deg']:.1e}°")
    if "reference_view" in found:
        parts.append("same reference view" if found["reference_view"]["equal"] else "another reference view")
    return ", ".join(parts)
