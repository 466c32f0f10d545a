"""A machine's share of a bundle, done there: the one command that every carrier of a bundle runs.

Each job is `depthport bench` or `depthport export` into a folder of its own, so the same call resumes what was begun
and leaves alone what is finished.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from depthport.bench.fleet.bundle import INPUTS, WEIGHTS, Bundle, Job, Share, verify_files, version_problem
from depthport.bench.fleet.conditions import fit
from depthport.bench.fleet.progress import Told, Work
from depthport.bench.measure import api, engine
from depthport.bench.plan.request import Filters, MeasureKeywords
from depthport.bench.results.load_results import ResultsError, load_results
from depthport.bench.results.model import BundleRef, Results, Status
from depthport.exporters.core.artifact import load_artifact
from depthport.exporters.core.errors import DepthportError, ExportError, UsageError
from depthport.exporters.core.files.atomic import read_json, storage_errors, write_json
from depthport.exporters.core.json_types import JsonObject
from depthport.exporters.core.store import ArtifactStore
from depthport.exporters.core.text import clean_text
from depthport.exporters.da3.registry import get_model
from depthport.exporters.da3.weights import resolve_weights
from depthport.exporters.da3.weights_ref import WeightsRef

RESULTS, MADE = "results.json", "made.json"
"""Files that a finished job leaves: of `bench`, of `export`."""


@dataclass(frozen=True)
class Outcome:
    """Outcome of a job on a machine."""

    job: str
    done: bool
    reason: str = ""
    exit_code: int = 0
    """Exit code of the error, if there was one."""


def work(
    bundle: Bundle, folder: Path, machine: str, out: Path, store: ArtifactStore, told: Told, jobs: Iterable[str] = ()
) -> Iterator[Outcome]:
    """Do a machine's jobs one after the other; one that fails does not end the others.

    Args:
        folder: of the bundle.
        out: each job gets `out/MACHINE/JOB`.
        jobs: only these; empty: all of the machine's.

    Raises:
        UsageError: no such machine or job, damaged files, or other versions than the bundle wants.
    """
    share = bundle.share(machine)
    if other := [job for job in jobs if job not in share.jobs]:
        raise UsageError(f"{machine} has no job {other[0]!r} in the bundle: choose from {', '.join(share.jobs) or 'none'}")
    if problem := version_problem(bundle):
        raise UsageError(problem)
    verify_files(bundle, folder)
    for name in tuple(jobs) or share.jobs:
        told(Work(name, "starting"))
        ref, where = bundle.ref(machine, name), out / machine / name
        try:
            if finished(where, ref) is None:
                _do(bundle, folder, share, ref, where, store, told)
            outcome = Outcome(name, True, finished(where, ref) or "")
        except engine.Interrupted:
            raise
        except DepthportError as error:
            outcome = Outcome(name, False, str(error), error.exit_code)
        told(Work(name, "done" if outcome.done else "failed", outcome.reason))
        yield outcome


def finished(where: Path, ref: BundleRef) -> str | None:
    """Return a finished job's remark, empty where all is well; None if it is not finished."""
    with suppress(ResultsError):
        results = load_results(where).results
        return _summary(results) if results.bundle == ref and results.complete else None
    with suppress(OSError, ValueError):
        made = read_json(where / MADE)
        if isinstance(made, dict) and made.get("bundle") == ref.sha256 and (where / str(made.get("artifact"))).is_dir():
            return ""
    return None


def _summary(results: Results) -> str:
    if any(cell.status is Status.OK for cell in results.cells):
        return ""
    reason = next((cell.reason for cell in results.cells if cell.reason), "no cell is usable on this machine")
    return f"nothing could be measured: {reason}"


def _do(bundle: Bundle, folder: Path, share: Share, ref: BundleRef, where: Path, store: ArtifactStore, told: Told) -> None:
    job = bundle.contents.jobs[ref.job]
    spec, weights = _weights(bundle, folder, job)
    if job.kind == "export":
        # Nothing is timed: others may work beside.
        loaded = msgspec.structs.replace(share.conditions, max_load=None)
        with fit(loaded, lambda reason: told(Work(ref.job, "waiting", reason))):
            told(Work(ref.job, "exporting"))
            _export(job, spec, ref, where, store)
        return
    plan = replace(api.plan(job.model, **_keywords(job, share, folder, weights)), bundle=ref)
    with fit(share.conditions, lambda reason: told(Work(ref.job, "waiting", reason))):
        if finished(where, ref) is not None:  # another carrier of the bundle had it meanwhile
            return
        told(Work(ref.job, "measuring"))
        # What of another suite or of other versions lies there is put aside, not mixed in.
        engine.run(plan, where, store, told.observer(ref.job), overwrite=True)


def _weights(bundle: Bundle, folder: Path, job: Job) -> tuple[str, WeightsRef]:
    """Return the name of the job's weights on this machine, and what they are: those that were frozen.

    Raises:
        WeightsError: they can't be found here.
        UsageError: they are others.
    """
    frozen = bundle.contents.weights[job.weights]
    spec = str(folder.absolute() / WEIGHTS / frozen.spec) if frozen.files else frozen.spec
    found = resolve_weights(spec, get_model(job.model))
    if found.sha256 != frozen.sha256:
        raise UsageError(f"the weights {frozen.id} differ from the bundle's: get the same revision")
    return spec, replace(found, id=frozen.id)


def _keywords(job: Job, share: Share, folder: Path, weights: WeightsRef) -> MeasureKeywords:
    """Return the keywords for `depthport.plan`.

    Raises:
        UsageError: nothing of the job is this machine's.
    """
    asked = job.asked
    return {
        "batch": job.batch,
        "views": job.views,
        "height": job.height,
        "width": job.width,
        "weights": weights,
        "images": [folder / INPUTS / name for name in asked["images"]],
        "suite": asked["suite"],
        "protocol": asked["protocol"],
        "filters": Filters(
            runtimes=_both("runtimes", asked["runtimes"], share.runtimes),
            devices=_both("devices", asked["devices"], share.devices),
            modes=asked["modes"],
            precisions=asked["precisions"],
        ),
        "precisions": asked["also"],
        "dynamic": asked["dynamic"],
        "pose_input": asked["pose_input"],
        "preprocess": asked["preprocess"],
        "threads": asked["threads"],
        "budget_s": asked["budget_s"],
        "launches": asked["launches"],
        "seed": asked["seed"],
    }


def _both(what: str, suite: list[str], machine: tuple[str, ...]) -> list[str]:
    """Names that the suite and the machine share; where one has no restriction the other decides."""
    shared = [name for name in suite if name in machine] if suite and machine else [*suite, *machine]
    if suite and not shared:
        raise UsageError(
            f"the job's {what} ({', '.join(suite)}) and this machine's ({', '.join(machine)}) have none in common"
        )
    return shared


def _answer(printed: str) -> JsonObject:
    """Return what a command has printed as JSON; empty where it ended before it could."""
    try:
        answer = json.loads(printed)
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) else {}


def _export(job: Job, weights: str, ref: BundleRef, where: Path, store: ArtifactStore) -> None:
    """`depthport export`, in a separate process: a converter that crashes ends its job only.

    Raises:
        ExportError: it failed; its last line is the reason.
    """
    asked = job.asked
    command = [
        sys.executable, "-m", "depthport", "export", job.model, "--format", asked["format"],
        "--precision", asked["precision"], "--views", str(job.views), "--batch", str(job.batch),
        "--size", f"{job.height}x{job.width}", "--weights", weights,
        *(["--target", asked["target"]] if asked["target"] else []),
        "--check" if asked["check"] else "--no-check", "--artifacts", str(store.root.absolute()), "--json",
    ]  # fmt: skip
    ended = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", errors="replace", check=False)
    answer = _answer(ended.stdout)
    # Whether a machine runs what it exports is the fleet's to know.
    if ended.returncode and answer.get("check") != "not run":
        lines = [line for line in ended.stderr.splitlines() if line.strip()]
        last = clean_text(lines[-1]).removeprefix("depthport: ") if lines else f"it ended with {ended.returncode}"
        raise ExportError(last)
    made = load_artifact(answer["path"])
    with storage_errors(where):
        where.mkdir(parents=True, exist_ok=True)
        target = where / made.path.name
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(made.path, target)
        write_json(where / MADE, {"bundle": ref.sha256, "job": ref.job, "artifact": target.name})
