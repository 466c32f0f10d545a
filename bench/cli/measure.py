"""`depthport run` and `depthport bench`: plan, measure, report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

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
    Views,
    Weights,
    names,
    parse_interpreters,
    parse_shape,
    parse_size,
    print_json,
)

Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Put another configuration's run that is in --out aside, and begin anew.")
]


def run(
    model: Model = "da3-small",
    views: Views = 1,
    size: Size = "504x504",
    batch: Batch = 1,
    weights: Weights = None,
    images: Images = None,
    pose_input: PoseInput = False,
    poses: Annotated[
        Path | None,
        typer.Option("--poses", help="Cameras of --images, .npz or .json: extrinsics, intrinsics. Implies --pose-input."),
    ] = None,
    preprocess: Preprocess = False,
    source_size: SourceSize = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for results, report and pictures.")] = Path("results"),
    overwrite: Overwrite = False,
    artifacts: Store = None,
    budget: Annotated[float | None, typer.Option("--budget", help="Seconds of timed measurement.")] = None,
    json_: Json = False,
) -> None:
    """The main job: export, measure, check, report; defaults that suit this machine.

    Examples:

        depthport run

        depthport run --model da3-base --views 5 --images a.jpg b.jpg c.jpg d.jpg e.jpg

        depthport run --views 2 --images left.jpg right.jpg --poses cameras.npz
    """
    _measure(
        out,
        artifacts,
        json_,
        overwrite=overwrite,
        model=model,
        views=views,
        size=size,
        batch=batch,
        weights=weights,
        images=images or [],
        pose_input=pose_input,
        poses=poses,
        preprocess=preprocess,
        source_size=source_size,
        budget_s=budget,
        suite="default",
    )


def bench(
    model: Model = "da3-small",
    views: Views = 1,
    size: Size = "504x504",
    batch: Batch = 1,
    weights: Weights = None,
    suite: Annotated[str, typer.Option("--suite", help="default, quick, paper or full.")] = "default",
    protocol: Annotated[str | None, typer.Option("--protocol", help="rigorous, quick or paper.")] = None,
    runtime: Annotated[list[str] | None, typer.Option("--runtime", help="Only these runtimes.")] = None,
    device: Annotated[list[str] | None, typer.Option("--device", help="Only these devices.")] = None,
    mode: Annotated[list[str] | None, typer.Option("--mode", help="Only these modes.")] = None,
    precision: Annotated[list[str] | None, typer.Option("--precision", "-p", help="Only these precisions.")] = None,
    also: Annotated[list[str] | None, typer.Option("--also", help="Add these precisions to every runtime.")] = None,
    cell: Annotated[list[str] | None, typer.Option("--cell", help="Only these cells, by id.")] = None,
    images: Images = None,
    pose_input: PoseInput = False,
    poses: Annotated[
        Path | None,
        typer.Option("--poses", help="Cameras of --images, .npz or .json: extrinsics, intrinsics. Implies --pose-input."),
    ] = None,
    preprocess: Preprocess = False,
    source_size: SourceSize = None,
    dynamic: Annotated[
        str | None, typer.Option("--dynamic", help="Measure artifacts with these dimensions open too: views,size,batch.")
    ] = None,
    threads: Annotated[int | None, typer.Option("--threads", help="CPU threads. Default: what the cgroup allows.")] = None,
    memory_fraction: Annotated[
        float | None, typer.Option("--memory-fraction", help="Share of the device's memory a cell may take (0, 1].")
    ] = None,
    launches: Annotated[int | None, typer.Option("--launches", help="Process starts per cell.")] = None,
    budget: Annotated[float | None, typer.Option("--budget", help="Seconds of timed measurement.")] = None,
    regime: Annotated[str, typer.Option("--regime", help="burst or sustained (latency over minutes).")] = "burst",
    rate_hz: Annotated[
        float | None, typer.Option("--rate-hz", help="Frames at a fixed rate; deadline misses from when each was due.")
    ] = None,
    minutes: Annotated[float | None, typer.Option("--minutes", help="Of a sustained or fixed-rate run.")] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Seed of the schedule.")] = None,
    interpreter: Annotated[
        list[str] | None, typer.Option("--interpreter", help="RUNTIME=PYTHON: a runtime's own interpreter.")
    ] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for results, report and pictures.")] = Path("results"),
    overwrite: Overwrite = False,
    artifacts: Store = None,
    json_: Json = False,
) -> None:
    """Measure a suite of cells, or some of them, and write results and report.

    Examples:

        depthport bench --suite quick

        depthport bench --model da3-base --views 5 --runtime onnxruntime --runtime pytorch --launches 5

        depthport bench --views 2 --runtime onnxruntime --dynamic views,size,batch
    """
    from depthport.bench.measure.regime_run import parse_regime
    from depthport.bench.plan.request import Filters

    filters = Filters(
        runtimes=runtime or (), devices=device or (), modes=mode or (), precisions=precision or (), cells=cell or ()
    )
    _measure(
        out,
        artifacts,
        json_,
        overwrite=overwrite,
        model=model,
        views=views,
        size=size,
        batch=batch,
        weights=weights,
        images=images or [],
        pose_input=pose_input,
        poses=poses,
        preprocess=preprocess,
        source_size=source_size,
        dynamic=names(dynamic) or (),
        suite=suite,
        protocol=protocol,
        filters=filters,
        precisions=also or (),
        threads=threads,
        memory_fraction=memory_fraction,
        launches=launches,
        budget_s=budget,
        seed=seed,
        regime=parse_regime(regime, minutes, rate_hz),
        interpreters=parse_interpreters(interpreter or []),
    )


def _measure(
    out: Path, artifacts: Path | None, as_json: bool, *, overwrite: bool, size: str, source_size: str | None, **request: Any
) -> None:
    """Plan, measure, report; what `run` and `bench` share."""
    from depthport.bench.results.outputs import check_output_folder

    height, width = parse_shape(size, request["batch"], request["views"])
    source = parse_size(source_size, "--source-size") if source_size is not None else None
    # The report comes last: where it goes is looked at first.
    check_output_folder(out, ("results.json", "report.md", "report.html"))
    from depthport.bench.cli.progress import observer_for
    from depthport.bench.measure import api, engine
    from depthport.exporters.core.store import ArtifactStore

    plan = api.plan(height=height, width=width, source_size=source, **request)
    observer = observer_for()
    if plan.weights["note"]:
        observer.note(plan.weights["note"])
    try:
        results = engine.run(plan, out, ArtifactStore(artifacts), observer, overwrite=overwrite)
        from depthport.bench.report.write import write_report
        from depthport.bench.results.load_results import load_results
        from depthport.bench.results.model import Status

        observer.stage("writing the report")
        written = write_report([load_results(out)], out)
    finally:
        observer.close()
    if as_json:
        print_json(results.to_json())
    else:
        from rich.console import Console

        from depthport.bench.cli.summary import render_summary

        render_summary(results, written, Console())
    if not any(cell.status is Status.OK for cell in results.cells):
        raise typer.Exit(1)
