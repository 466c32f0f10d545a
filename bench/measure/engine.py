"""One run from request to results: inputs, exports, reference, timed rounds, analysis, pictures.

Every stage journals what it finishes, so the same command resumes after Ctrl-C, a kill or a power cut. A stage that
fails for a cell makes that cell a row with a reason; the others go on.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from filelock import Timeout

from depthport.bench.environment.environment import fingerprint
from depthport.bench.inputs.encoded import write_encoded
from depthport.bench.inputs.inputs import Scene, write_scenes
from depthport.bench.measure.conclude import conclude, work_folder
from depthport.bench.measure.exports import Exports, ask_exporter
from depthport.bench.measure.first_ranking import first_ranking
from depthport.bench.measure.lanes import Stop, Task
from depthport.bench.measure.limit import Limit
from depthport.bench.measure.measure import Measurement
from depthport.bench.measure.observer import Careful, Observer
from depthport.bench.measure.once import run_once
from depthport.bench.measure.plan import RunPlan
from depthport.bench.measure.pool import Timed, WorkerPool
from depthport.bench.measure.regime_run import run_regime
from depthport.bench.measure.run_journal import RESULTS, discard_run, end_journal, measured, open_journal, passing_failures
from depthport.bench.measure.signals import exit_code_of
from depthport.bench.plan.cells import CellSpec
from depthport.bench.results.journal import Journal
from depthport.bench.results.model import Results, Status
from depthport.bench.results.records import Failed, Header, ReferenceFailed
from depthport.bench.workers.exporting import ComputeReference
from depthport.bench.workers.live_cell import CellFailed
from depthport.bench.workers.messages import Done, Failure
from depthport.bench.workers.reference import reference_device
from depthport.exporters.core.errors import DepthportError, UsageError
from depthport.exporters.core.files.atomic import check_output_folder, storage_errors, write_json
from depthport.exporters.core.files.locking import exclusive
from depthport.exporters.core.files.npz import is_whole
from depthport.exporters.core.store import ArtifactStore
from depthport.exporters.core.text import without_paths
from depthport.runtimes.host.cache import writable


class Interrupted(DepthportError):
    """Ctrl-C, or another signal that ends: what was measured is in `results.json`; the same command resumes."""

    def __init__(self, message: str, exit_code: int = 130) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def run(plan: RunPlan, out: Path, store: ArtifactStore, observer: Observer, *, overwrite: bool = False) -> Results:
    """Measure `plan` into `out` and return its results (also written to `out/results.json`).

    Args:
        overwrite: put another plan's run that is in `out` aside.

    Raises:
        UsageError: another run is using `out`, or `out` holds a run of another plan and `overwrite` is False.
        StorageError: `out` can't be written to, or the disk is full; what was measured is in the journal.
        Interrupted: Ctrl-C, SIGTERM or SIGHUP, after the results so far were written.
    """
    observer = Careful(observer)
    check_output_folder(out, (RESULTS,))
    made = [folder for folder in (out, *out.parents) if not folder.exists()]
    with storage_errors(out):
        try:
            with exclusive(out / ".lock", timeout_s=0), open_journal(plan, out, observer, overwrite=overwrite) as journal:
                try:
                    return _Run(plan, out, store, observer, journal).execute()
                except DepthportError as error:
                    if not isinstance(error, Interrupted) and not measured(journal):
                        discard_run(journal, work_folder(out))
                    raise
        except Timeout:
            raise UsageError(f"another run is measuring into {out}: wait for it or choose another --out") from None
        finally:
            for folder in made:
                with suppress(OSError):  # where anything is in it, it stays
                    folder.rmdir()


class _Run:
    def __init__(self, plan: RunPlan, out: Path, store: ArtifactStore, observer: Observer, journal: Journal) -> None:
        self.plan = plan
        self.out = out
        self.store = store
        self.observer = observer
        self.journal = journal
        self.exports = Exports(plan, store, journal, observer, self._fail)
        self.work = work_folder(out)
        self.work.mkdir(exist_ok=True)
        self.limit = Limit(plan.protocol.limit_s)
        self._short_of: str | None = None  # what the machine was short of when the reference was computed
        # Wall time ties sessions of a resumed run together; within one, the monotonic clock counts.
        offset = time.time() - journal.of(Header)[0].epoch_s
        began = time.monotonic()
        self.clock = lambda: offset + time.monotonic() - began

    def execute(self) -> Results:
        try:
            inputs = write_encoded(self.plan.scenes, self.work, "input") or self._write_inputs(self.plan.scenes, "input")
            truth = self._write_inputs(self.plan.ground_truth, "truth")
            protocol, regime = self.plan.protocol, self.plan.request.regime
            with WorkerPool(inputs, protocol, self.journal, self.observer, self.clock, truth) as pool:
                self._export(pool, inputs)
                once, timed = self._ready()
                if once:
                    run_once(once, inputs, truth, protocol, self.journal, self.observer, self.limit)
                if timed and regime is not None:
                    run_regime(regime, timed, inputs, protocol, self.journal, self.observer)
                elif timed:
                    pool.add(timed)
                    references = self._known_references()
                    Measurement(pool, protocol, self.journal, self.work, self.observer, self.clock, references).run()
            return self._finish(complete=True)
        except KeyboardInterrupt as stop:
            self.store.sweep()
            self._finish(complete=False)
            raise Interrupted(
                f"stopped; what was measured is in {self.out / RESULTS}, the same command resumes from there",
                exit_code_of(stop),
            ) from None

    def _export(self, pool: WorkerPool, inputs: list[Path]) -> None:
        """Make or find every cell's artifact, and the reference; between what is quick and the rest, a first ranking."""
        exports = self.exports
        quick, late = exports.sort(self._open_cells())
        exports.note_ready(self.plan.cells)
        exports.make(quick)
        if late and self.plan.request.regime is None:
            _, ready = self._ready()
            first_ranking(ready, len(late), pool, self.plan.protocol, self.journal, self.work, self.observer, self.clock)
            if not exports.room() or any(cell.spec.device != "cpu" for cell in ready):
                pool.close()  # what is left to be made may need the memory
        reference = self._reference(self._reference_inputs(inputs))
        if reference and not late:
            self.observer.stage("computing the reference")
        exports.make(late, reference)

    def _ready(self) -> tuple[list[Timed], list[Timed]]:
        """The cells that have their artifact: those to run once, and those to time."""
        artifacts = self.exports.artifacts
        ready = [Timed(cell, artifacts[cell.id]) for cell in self._open_cells() if cell.id in artifacts]
        return [c for c in ready if c.spec.numerics_only], [c for c in ready if not c.spec.numerics_only]

    # -- inputs -------------------------------------------------------------------------------------------------

    def _write_inputs(self, scenes: Sequence[Scene], kind: str, *, preprocess: bool | None = None) -> list[Path]:
        own = self.plan.export.preprocess if preprocess is None else preprocess
        return write_scenes(scenes, self.work, kind, pose_input=self.plan.export.pose_input, preprocess=own)

    def _reference_inputs(self, inputs: list[Path]) -> list[Path]:
        """Return the inputs of upstream's network: those of the cells, unless these do the preprocessing."""
        plan = self.plan
        own = plan.export.preprocess or plan.protocol.boundary == "pipeline"
        return self._write_inputs(plan.scenes, "reference-input", preprocess=False) if own else inputs

    # -- cells --------------------------------------------------------------------------------------------------

    def _open_cells(self) -> list[CellSpec]:
        failed = {e.cell for e in self.journal.of(Failed)}
        for cell in self.plan.cells:
            if cell.id not in failed and (cell.unavailable or cell.unsupported):
                status = Status.UNAVAILABLE if cell.unavailable else Status.UNSUPPORTED
                self._fail(cell, Failure(status, cell.unavailable or cell.unsupported or ""))
                failed.add(cell.id)
        return [cell for cell in self.plan.cells if cell.id not in failed]

    def _fail(self, cell: CellSpec, failure: Failure) -> None:
        ended = CellFailed(failure.status, without_paths(failure.reason), failure.passing, failure.log)
        self.journal.append(ended.record(cell.id, log=self.plan.protocol.logs))
        if ended.status not in (Status.UNAVAILABLE, Status.UNSUPPORTED):
            self.observer.warning(f"{cell.id}: {ended.status.value}: {ended.reason}")

    # -- reference ----------------------------------------------------------------------------------------------

    def _reference(self, inputs: list[Path]) -> list[Task[Done | Failure]]:
        """Computes upstream's fp32 outputs per input, and `fp64-0`; where upstream can't run, a warning."""
        if not self._open_cells() or not self.plan.parity:
            return []
        request = ComputeReference(
            request=self.plan.export,
            inputs=tuple(str(path) for path in inputs),
            folder=str(self._reference_folder()),
            device=reference_device(self.plan.cells),
            fp64=self.plan.fp64,
        )

        def ask(stop: Stop, _: int) -> Done | Failure:
            # On all CPUs, whatever is beside it: sums depend on the number of threads, and the baseline has as many.
            self.observer.step("computing the reference")
            return ask_exporter(request, self.limit.within(self.plan.protocol.export_timeout_s), self.observer, stop)

        def done(reply: Done | Failure) -> None:
            if isinstance(reply, Failure):
                self.observer.warning(f"no parity: the reference could not be computed: {reply.reason}")
                self.journal.append(ReferenceFailed(reason=without_paths(reply.reason)))
                self._short_of = reply.passing

        return [Task(ask, done)]

    def _known_references(self) -> dict[str, Path]:
        if not self.plan.cells or not self.plan.parity:
            return {}
        folder = self._reference_folder()
        return {path.stem: path for path in sorted(folder.glob("fp*-*.npz")) if ".tmp" not in path.name}

    def _reference_folder(self) -> Path:
        """Beside the artifacts, where other runs find them; with this run where the store can't be written to."""
        shared = self.store.root / "references" / self.plan.reference_name()
        names = [f"fp32-{index}.npz" for index in range(len(self.plan.scenes))]
        names += ["fp64-0.npz"] if self.plan.fp64 else []
        if writable(shared) or all(is_whole(shared / name) for name in names):
            return shared
        return self.work / "references" / shared.name

    def _finish(self, *, complete: bool) -> Results:
        self.observer.stage("analysing")
        if short_of := self._short_of or next((e.passing for e in passing_failures(self.journal)), None):
            complete = False
            self.observer.warning(f"{short_of}: free some; the same command retries the failed cells")
        results = conclude(
            self.plan,
            self.journal,
            self._known_references(),
            self.out,
            fingerprint(),
            complete=complete,
            artifacts=self.exports.artifacts,
        )
        write_json(self.out / RESULTS, results.to_json())
        if complete:
            end_journal(self.journal)
            shutil.rmtree(self.work, ignore_errors=True)
        return results
