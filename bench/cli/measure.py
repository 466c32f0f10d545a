"""`depthport run` and `depthport bench`: plan, measure, report."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from depthport.bench.cli import complete
from depthport.bench.cli.options import (
    Batch,
    Images,
    Json,
    Model,
    PoseInput,
    Preprocess,
    Size,
    SourceSize,
    Store,
    Threads,
    Views,
    Weights,
    names,
    options_of,
    parse_interpreters,
    parse_shape,
    parse_size,
    print_json,
)
from depthport.exporters.core.files.atomic import check_output_folder

if TYPE_CHECKING:
    from depthport.bench.plan.protocol import Timed
    from depthport.bench.plan.request import MeasureKeywords


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """Options of both `run` and `bench`."""

    model: Model = "da3-small"
    views: Views = 1
    size: Size = "504x504"
    batch: Batch = 1
    weights: Weights = None
    images: Images = None
    pose_input: PoseInput = False
    poses: Annotated[
        Path | None,
        typer.Option(
            "--poses", help="Cameras of --images: .npz, .json, or TUM, KITTI or COLMAP text. Implies --pose-input."
        ),
    ] = None
    preprocess: Preprocess = False
    source_size: SourceSize = None
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for results, report and pictures.")] = Path("results")
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Put another configuration's run in --out aside, and start afresh.")
    ] = False
    artifacts: Store = None
    budget: Annotated[float | None, typer.Option("--budget", help="Seconds of timed measurement.")] = None
    json_: Json = False

    def keywords(self) -> MeasureKeywords:
        """The same as the Python API takes it."""
        height, width = parse_shape(self.size, self.batch, self.views)
        return {
            "batch": self.batch,
            "views": self.views,
            "height": height,
            "width": width,
            "weights": self.weights,
            "images": self.images or (),
            "pose_input": self.pose_input,
            "poses": self.poses,
            "preprocess": self.preprocess,
            "source_size": None if self.source_size is None else parse_size(self.source_size, "--source-size"),
            "budget_s": self.budget,
        }


@dataclass(frozen=True, kw_only=True)
class BenchOptions(RunOptions):
    """Further options of `bench`."""

    suite: Annotated[
        str,
        typer.Option(
            "--suite",
            help="default, quick, alternatives, paper, check or full.",
            autocompletion=complete.words("default", "quick", "alternatives", "paper", "check", "full"),
        ),
    ] = "default"
    protocol: Annotated[
        str | None,
        typer.Option(
            "--protocol",
            help="rigorous, quick, paper or check (outputs alone).",
            autocompletion=complete.words("rigorous", "quick", "paper", "check"),
        ),
    ] = None
    runtime: Annotated[
        list[str] | None, typer.Option("--runtime", help="Only these runtimes.", autocompletion=complete.runtimes)
    ] = None
    device: Annotated[
        list[str] | None, typer.Option("--device", help="Only these devices; cuda:0+1: two sharing a scene.")
    ] = None
    mode: Annotated[list[str] | None, typer.Option("--mode", help="Only these modes.")] = None
    precision: Annotated[
        list[str] | None,
        typer.Option("--precision", "-p", help="Only these precisions.", autocompletion=complete.precisions),
    ] = None
    also: Annotated[list[str] | None, typer.Option("--also", help="Add these precisions to every runtime.")] = None
    cell: Annotated[list[str] | None, typer.Option("--cell", help="Only these cells, by id.")] = None
    dynamic: Annotated[
        str | None, typer.Option("--dynamic", help="Measure artifacts with these dimensions open too: views,size,batch.")
    ] = None
    threads: Threads = None
    memory_fraction: Annotated[
        float | None, typer.Option("--memory-fraction", help="Share of the device's memory a cell may take (0, 1].")
    ] = None
    boundary: Annotated[
        str, typer.Option("--boundary", help="network, or pipeline: from encoded photographs to arrays.")
    ] = "network"
    launches: Annotated[int | None, typer.Option("--launches", help="Process starts per cell.")] = None
    regime: Annotated[str, typer.Option("--regime", help="burst or sustained (latency over minutes).")] = "burst"
    rate_hz: Annotated[
        float | None, typer.Option("--rate-hz", help="Frames at a fixed rate; deadline misses from when each was due.")
    ] = None
    minutes: Annotated[float | None, typer.Option("--minutes", help="Of a sustained or fixed-rate run.")] = None
    seed: Annotated[int | None, typer.Option("--seed", help="Seed of the schedule.")] = None
    interpreter: Annotated[
        list[str] | None,
        typer.Option("--interpreter", help="RUNTIME=PYTHON: a runtime's own interpreter, with depthport's dependencies."),
    ] = None

    def keywords(self) -> MeasureKeywords:
        shared = super().keywords()
        from depthport.bench.plan.regime import parse_regime
        from depthport.bench.plan.request import Filters

        return {
            **shared,
            "suite": self.suite,
            "boundary": cast("Timed", self.boundary),
            "protocol": self.protocol,
            "filters": Filters(
                runtimes=self.runtime or (),
                devices=self.device or (),
                modes=self.mode or (),
                precisions=self.precision or (),
                cells=self.cell or (),
            ),
            "precisions": self.also or (),
            "dynamic": names(self.dynamic, "--dynamic") or (),
            "threads": self.threads,
            "memory_fraction": self.memory_fraction,
            "launches": self.launches,
            "seed": self.seed,
            "regime": parse_regime(self.regime, self.minutes, self.rate_hz),
            "interpreters": parse_interpreters(self.interpreter or []),
        }


@options_of(RunOptions)
def run(options: RunOptions) -> None:
    """The main job: export, measure, check, report; defaults that suit this machine.

    Examples:

        depthport run

        depthport run --model da3-base --views 5 --images a.jpg b.jpg c.jpg d.jpg e.jpg

        depthport run --views 2 --images left.jpg right.jpg --poses cameras.npz
    """
    _measure(options)


@options_of(BenchOptions)
def bench(options: BenchOptions) -> None:
    """Measure a suite of cells, or some of them, and write results and report.

    Examples:

        depthport bench --suite quick

        depthport bench --model da3-base --views 5 --runtime onnxruntime --runtime pytorch --launches 5

        depthport bench --views 2 --runtime onnxruntime --dynamic views,size,batch
    """
    _measure(options)


def _measure(options: RunOptions) -> None:
    """Plan, measure, report; what `run` and `bench` share."""
    asked, out = options.keywords(), options.out  # what can't exist is refused before anything heavy is imported
    from depthport.bench.cli.progress import observer_for
    from depthport.bench.measure import api, engine
    from depthport.exporters.core.store import ArtifactStore

    # The report comes last: where it goes is looked at first.
    check_output_folder(out, ("results.json", "report.md", "report.html"))
    store = ArtifactStore(options.artifacts)
    plan = api.plan(options.model, **asked)
    observer = observer_for()
    if plan.export.weights.note:
        observer.warning(plan.export.weights.note)
    for note in plan.scenes[0].notes:
        observer.warning(note)
    try:
        results = engine.run(plan, out, store, observer, overwrite=options.overwrite)
        from depthport.bench.report.write import write_report
        from depthport.bench.results.load_results import load_results
        from depthport.bench.results.model import Status

        observer.stage("writing the report")
        written = write_report([load_results(out)], out)
    finally:
        observer.close()
    if options.json_:
        print_json(results.to_json())
    else:
        from rich.console import Console

        from depthport.bench.cli.summary import render_summary

        render_summary(results, written, store, Console())
    if not any(cell.status is Status.OK for cell in results.cells):
        raise typer.Exit(1)
