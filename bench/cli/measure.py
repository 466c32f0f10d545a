"""`depthport run` and `depthport bench`: plan, measure, report."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from depthport.bench.cli import words
from depthport.bench.cli.command import EXPERT, INPUTS, MEASURED, OUTPUT
from depthport.bench.cli.options import (
    Batch,
    Images,
    Json,
    ModelName,
    OldModel,
    PoseInput,
    Preprocess,
    Size,
    SourceSize,
    Store,
    Threads,
    Views,
    Weights,
    model_of,
    names,
    options_of,
    parse_interpreters,
    parse_percent,
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

    model: ModelName = "da3-small"
    model_: OldModel = None
    views: Views = 1
    size: Size = "504x504"
    batch: Batch = 1
    weights: Weights = None
    images: Images = None
    pose_input: PoseInput = False
    poses: Annotated[
        Path | None,
        typer.Option(
            "--poses",
            help="Cameras of --images: .npz, .json, or TUM, KITTI or COLMAP text. Implies --pose-input.",
            rich_help_panel=INPUTS,
        ),
    ] = None
    preprocess: Preprocess = False
    source_size: SourceSize = None
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder for results, report and pictures.", rich_help_panel=OUTPUT)
    ] = Path("results")
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite", help="Put another configuration's run in --out aside, and start afresh.", rich_help_panel=OUTPUT
        ),
    ] = False
    artifacts: Store = None
    budget: Annotated[
        float | None,
        typer.Option(
            "--budget",
            help="Seconds for measuring, process starts included. Default: 90; 45 for the suite quick; 900 with --until.",
            rich_help_panel=MEASURED,
        ),
    ] = None
    until: Annotated[
        str | None,
        typer.Option(
            "--until", help="Stop when every ratio that matters is known to this, e.g. 5%.", rich_help_panel=MEASURED
        ),
    ] = None
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
            "until": parse_percent(self.until, "--until"),
        }


@dataclass(frozen=True, kw_only=True)
class BenchOptions(RunOptions):
    """Further options of `bench`."""

    suite: Annotated[str, words.SUITE.option("--suite", help="Which cells", panel=MEASURED)] = "default"
    runtime: Annotated[
        list[str] | None, words.RUNTIME.option("--runtime", "-r", help="Only these runtimes", panel=MEASURED)
    ] = None
    device: Annotated[
        list[str] | None,
        typer.Option("--device", "-d", help="Only these devices; cuda:0+1: two sharing a scene.", rich_help_panel=MEASURED),
    ] = None
    mode: Annotated[list[str] | None, typer.Option("--mode", help="Only these modes.", rich_help_panel=MEASURED)] = None
    precision: Annotated[
        list[str] | None, words.PRECISION.option("--precision", "-p", help="Only these precisions", panel=MEASURED)
    ] = None
    also: Annotated[
        list[str] | None, words.PRECISION.option("--also", help="Add these precisions to every runtime", panel=MEASURED)
    ] = None
    cell: Annotated[list[str] | None, typer.Option("--cell", help="Only these cells, by id.", rich_help_panel=MEASURED)] = (
        None
    )
    boundary: Annotated[
        str,
        words.TIMED.option(
            "--boundary", help="What is timed; a pipeline is from encoded photographs to arrays", panel=MEASURED
        ),
    ] = "network"
    dynamic: Annotated[
        str | None,
        typer.Option(
            "--dynamic",
            help="Measure artifacts with these dimensions open too: views,size,batch.",
            rich_help_panel=MEASURED,
        ),
    ] = None
    protocol: Annotated[
        str | None,
        words.PROTOCOL.option(
            "--protocol", help="How samples are taken; check compares outputs alone. Default: the suite's own", panel=EXPERT
        ),
    ] = None
    launches: Annotated[int | None, typer.Option("--launches", help="Process starts per cell.", rich_help_panel=EXPERT)] = (
        None
    )
    seed: Annotated[int | None, typer.Option("--seed", help="Seed of the schedule.", rich_help_panel=EXPERT)] = None
    regime: Annotated[str, words.REGIME.option("--regime", help="Sustained is latency over minutes", panel=EXPERT)] = (
        "burst"
    )
    rate_hz: Annotated[
        float | None,
        typer.Option(
            "--rate-hz", help="Frames at a fixed rate; deadline misses from when each was due.", rich_help_panel=EXPERT
        ),
    ] = None
    minutes: Annotated[
        float | None, typer.Option("--minutes", help="Of a sustained or fixed-rate run.", rich_help_panel=EXPERT)
    ] = None
    threads: Threads = None
    memory_fraction: Annotated[
        float | None,
        typer.Option(
            "--memory-fraction", help="Share of the device's memory a cell may take (0, 1].", rich_help_panel=EXPERT
        ),
    ] = None
    interpreter: Annotated[
        list[str] | None,
        typer.Option(
            "--interpreter",
            help="RUNTIME=PYTHON: a runtime's own interpreter, with depthport's dependencies.",
            rich_help_panel=EXPERT,
        ),
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
        depthport run da3-small
        depthport run da3-base --views 5 --images a.jpg b.jpg c.jpg d.jpg e.jpg
        depthport run da3-small --views 2 --images left.jpg right.jpg --poses cameras.npz
    """
    _measure(options)


@options_of(BenchOptions)
def bench(options: BenchOptions) -> None:
    """Measure a suite of cells, or some of them, and write results and report.

    Examples:
        depthport bench da3-small --suite quick
        depthport bench da3-base --views 5 --runtime onnxruntime --runtime pytorch --launches 5
        depthport bench da3-small --views 2 --runtime onnxruntime --dynamic views,size,batch
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
    plan = api.plan(model_of(options.model, options.model_), **asked)
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
        print_json("results", results.to_json())
    else:
        from rich.console import Console

        from depthport.bench.cli.summary import render_summary

        render_summary(results, written, store, Console())
    if not any(cell.status is Status.OK for cell in results.cells):
        raise typer.Exit(1)
