"""From a FLEET.toml to a frozen bundle: everything is resolved and hashed once, here, before any machine is asked."""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec

from depthport.bench.fleet.bundle import (
    FILE,
    INPUTS,
    SHIPPED,
    WEIGHTS,
    Bundle,
    Contents,
    Job,
    Share,
    Weights,
    requirement,
    sha256_of,
    versions_here,
)
from depthport.bench.fleet.description import Bench, Export, Fleet, made_by, shape_of
from depthport.bench.inputs.photographs import OWN
from depthport.bench.plan.request import measure_request
from depthport.bench.plan.suites import SUITES
from depthport.exporters.api import prepare
from depthport.exporters.core.asked import known_name
from depthport.exporters.core.errors import UsageError
from depthport.exporters.core.files.atomic import check_output_folder, storage_errors, write_json
from depthport.exporters.core.provenance import file_sha256
from depthport.exporters.da3 import checkpoint
from depthport.exporters.da3.models import MODELS
from depthport.exporters.da3.weights import CONFIG_FILE
from depthport.exporters.da3.weights_ref import WeightsRef
from depthport.exporters.inputs.images import read_image
from depthport.exporters.quantization.images import shipped_photograph
from depthport.exporters.registry import default_format

_LOOPED = ("models", "shapes", "batch", "weights", "images")
"""Return what distinguishes a table's jobs."""


def freeze(fleet: Fleet, beside: Path, out: Path) -> Bundle:
    """Resolve and hash what a fleet does, and write the bundle into `out`.

    Args:
        beside: the folder that the description's paths are relative to.

    Raises:
        UsageError, InputError, WeightsError: what is wrong with a table, in one line.
        UnavailableError: nothing is photographed and scikit-image, whose photographs are used then, is not here.
        StorageError: `out` can't be written to.
    """
    check_output_folder(out, (FILE,))
    draft = _Draft(beside)
    for number, table in enumerate(fleet.bench, 1):
        draft.bench(table, f"[[bench]] {number}")
    for number, export in enumerate(fleet.export, 1):
        draft.export(export, f"[[export]] {number}", fleet)
    for name, wanted in fleet.versions.items():
        requirement(name, wanted)
    contents = Contents(
        name=fleet.name,
        jobs=draft.jobs,
        inputs=draft.inputs,
        weights=draft.weights,
        versions={**versions_here(), **fleet.versions},
    )
    machines = {
        name: Share(
            jobs=tuple(job for job, makers in draft.makers.items() if name in (makers or fleet.machine)),
            devices=machine.devices,
            runtimes=machine.runtimes,
            conditions=fleet.conditions_of(name),
        )
        for name, machine in fleet.machine.items()
    }
    bundle = Bundle(sha256_of(contents), contents, machines)
    with storage_errors(out):
        out.mkdir(parents=True, exist_ok=True)
        for name, source in draft.files.items():
            _carry(source, out / name)
        write_json(out / FILE, bundle.to_json())
    return bundle


class _Draft:
    """Jobs and inputs collected from the tables, one after the other."""

    def __init__(self, beside: Path) -> None:
        self.beside = beside
        self.jobs: dict[str, Job] = {}
        self.makers: dict[str, tuple[str, ...]] = {}
        """Machines of each job; empty: all."""
        self.inputs: dict[str, str] = {}
        self.weights: dict[str, Weights] = {}
        self.files: dict[str, Path] = {}
        """Path in the bundle -> where it lies here."""

    def bench(self, table: Bench, where: str) -> None:
        known_name(f"suite of {where}", table.suite, SUITES)
        images = [self._input(name) for name in table.images]
        if not images:
            self.inputs |= {name: file_sha256(shipped_photograph(name, OWN)) for name in SHIPPED}
        asked = {name: _plain(value) for name, value in msgspec.structs.asdict(table).items() if name not in _LOOPED}
        for model, shape in ((m, s) for m in table.models for s in table.shapes):
            views, height, width = shape_of(shape)
            known_name(f"model of {where}", model, MODELS, "a registered one: a configuration of your own is not carried")
            request = measure_request(
                model, batch=table.batch, views=views, height=height, width=width, weights=self._spec(table.weights),
                suite=table.suite, protocol=table.protocol, precisions=table.also, dynamic=table.dynamic,
                pose_input=table.pose_input, preprocess=table.preprocess, threads=table.threads, budget_s=table.budget_s,
                launches=table.launches, seed=table.seed,
            )  # fmt: skip
            if images and len(images) != request.export.shape.images:
                raise UsageError(f"{where} names {len(images)} images for {request.export.shape.images} views in all")
            weights = self._weights(model, table.weights, request.export.weights)
            job = Job("bench", model, table.batch, views, height, width, weights, {**asked, "images": images})
            self._add(f"{model}-{table.batch}x{shape}", job, ())

    def export(self, table: Export, where: str, fleet: Fleet) -> None:
        for model in table.models:
            known_name(f"model of {where}", model, MODELS, "a registered one: a configuration of your own is not carried")
            for shape in table.shapes:
                views, height, width = shape_of(shape)
                for format in table.formats:
                    for precision in table.precisions:
                        request = prepare(
                            model, format=default_format(), precision=precision, batch=table.batch, views=views,
                            height=height, width=width, weights=self._spec(table.weights),
                        )  # fmt: skip
                        asked = {
                            "format": format, "precision": request.precision, "target": table.target, "check": table.check,
                        }  # fmt: skip
                        weights = self._weights(model, table.weights, request.weights)
                        job = Job("export", model, table.batch, views, height, width, weights, asked)
                        kind = f"{format}-{request.precision}" + (f"-{table.target}" if table.target else "")
                        # Machines of one target take turns.
                        makers = made_by(fleet, format, table.target)
                        maker = makers[len(self.jobs) % len(makers)]
                        self._add(f"{model}-{table.batch}x{shape}-{kind}", job, (maker,))

    def _add(self, name: str, job: Job, makers: tuple[str, ...]) -> None:
        short = "".join(c if c.isalnum() or c in "-_" else "-" for c in name)[:36]
        unique = next(n for n in (short, *(f"{short}-{i}" for i in range(2, 1000))) if n not in self.jobs)
        self.jobs[unique] = job
        self.makers[unique] = makers

    def _input(self, name: str) -> str:
        source = self.beside / name
        read_image(source)  # a file that is not an image is refused here, not on every machine
        digest = file_sha256(source)
        stored = f"{digest[:16]}{source.suffix.lower()}"
        self.inputs[stored] = digest
        self.files[f"{INPUTS}/{stored}"] = source
        return stored

    def _spec(self, given: str | None) -> str | None:
        """Weights as they are named here: a path is relative to the description."""
        return given if given is None or not (self.beside / given).exists() else str(self.beside / given)

    def _weights(self, model: str, given: str | None, ref: WeightsRef) -> str:
        key = f"{model} {ref.sha256[:12]}"
        local = given is not None and (self.beside / given).exists() and "@" not in ref.id
        if key in self.weights:
            return key
        if not local or ref.path is None:
            self.weights[key] = Weights(ref.id, ref.sha256, ref.synthetic, spec=ref.id)
            return key
        chosen = Path(ref.path)
        found = [*checkpoint.files_of(chosen), chosen, chosen.with_name(CONFIG_FILE)]
        # Called by the folder's or the file's own name, as its results are.
        folder = f"{ref.sha256[:16]}" + (f"/{ref.id}" if (self.beside / str(given)).is_dir() else "")
        files = {f"{folder}/{path.name}": path for path in found if path.is_file()}
        self.files |= {f"{WEIGHTS}/{name}": path for name, path in files.items()}
        spec = folder if (self.beside / str(given)).is_dir() else f"{folder}/{chosen.name}"
        digests = {name: file_sha256(path) for name, path in files.items()}
        self.weights[key] = Weights(ref.id, ref.sha256, ref.synthetic, digests, spec)
        return key


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


def _carry(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
