"""`depthport profile` and `depthport max-batch`: a close look at one configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from depthport.bench.cli import words
from depthport.bench.cli.command import EXPERT, MEASURED, OUTPUT
from depthport.bench.cli.options import (
    Batch,
    Json,
    ModelName,
    Size,
    Store,
    Threads,
    Views,
    Weights,
    parse_shape,
    show,
    stderr,
)
from depthport.exporters.core import install
from depthport.exporters.core.files.atomic import check_output_folder

Device = Annotated[
    str, typer.Option("--device", "-d", help="cpu, cuda or cuda:N, as the runtime has them.", rich_help_panel=MEASURED)
]
Precision = Annotated[
    str | None, words.PRECISION.option("--precision", "-p", help="Default: the mode's own", panel=MEASURED)
]


def profile(
    model: ModelName = "da3-small",
    device: Device = "cpu",
    mode: Annotated[
        str | None,
        typer.Option("--mode", help="eager, graph or fused. Default: the fastest of them.", rich_help_panel=MEASURED),
    ] = None,
    precision: Precision = None,
    views: Views = 1,
    size: Size = "504x504",
    batch: Batch = 1,
    weights: Weights = None,
    calls: Annotated[int, typer.Option("--calls", help="Calls that are averaged.", rich_help_panel=EXPERT)] = 10,
    threads: Threads = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", help="Folder for profile.json and profile.png. Default: none written.", rich_help_panel=OUTPUT
        ),
    ] = None,
    artifacts: Store = None,
    json_: Json = False,
) -> None:
    """Show where the time goes, by part of the network, against this device's own roofline.

    Examples:
        depthport profile da3-small --views 2 --size 252x336
        depthport profile da3-large --device cuda --mode fused --views 5 --out profile
    """
    height, width = parse_shape(size, batch, views)
    from depthport.bench.cli.progress import observer_for
    from depthport.bench.cli.tables import print_table
    from depthport.bench.diagnose import profile as profiling
    from depthport.bench.diagnose.profile_picture import PROFILE_FILES, write_profile
    from depthport.exporters.core.store import ArtifactStore

    if out is not None:
        check_output_folder(out, PROFILE_FILES)
    store = ArtifactStore(artifacts)
    observer = observer_for()
    try:
        found = profiling.profile(
            model, device=device, mode=mode, precision=precision, batch=batch, views=views, height=height, width=width,
            weights=weights, threads=threads, calls=calls, store=store, observer=observer,
        )  # fmt: skip
    finally:
        observer.close()
    if out is not None:
        for path in write_profile(found, out):
            stderr(f"written: {path}")
        if not (out / "profile.png").exists():
            stderr(f"no picture: {install.REPORT}")
    show("profile", found, json_, lambda profile, console: print_table(profiling.table(profile), console))


def max_batch(
    model: ModelName = "da3-small",
    runtime: Annotated[
        str | None, words.RUNTIME.option("--runtime", "-r", help="Default: upstream's own", panel=MEASURED)
    ] = None,
    device: Device = "cpu",
    mode: Annotated[
        str | None,
        typer.Option("--mode", help="The runtime's mode. Default: its fastest on that device.", rich_help_panel=MEASURED),
    ] = None,
    precision: Precision = None,
    views: Views = 1,
    size: Size = "504x504",
    weights: Weights = None,
    memory_fraction: Annotated[
        float,
        typer.Option("--memory-fraction", help="Share of the device's memory a batch may take.", rich_help_panel=MEASURED),
    ] = 0.8,
    most: Annotated[int, typer.Option("--most", help="Largest batch of interest.", rich_help_panel=MEASURED)] = 64,
    threads: Threads = None,
    artifacts: Store = None,
    json_: Json = False,
) -> None:
    """The largest batch of scenes that fits a share of the device's memory, found by trying.

    Examples:
        depthport max-batch da3-small --size 252x336 --most 8
        depthport max-batch da3-large --device cuda --mode fused --views 5 --memory-fraction 0.5
    """
    height, width = parse_shape(size, 1, views)
    from depthport.bench.cli.progress import observer_for
    from depthport.bench.cli.tables import print_table
    from depthport.bench.diagnose import batch as batches
    from depthport.exporters.core.store import ArtifactStore

    store = ArtifactStore(artifacts)
    observer = observer_for()
    try:
        answer = batches.find_batch(
            model, runtime=runtime, device=device, mode=mode, precision=precision, views=views, height=height,
            width=width, weights=weights, fraction=memory_fraction, most=most, threads=threads,
            store=store, observer=observer,
        )  # fmt: skip
    finally:
        observer.close()
    show("max-batch", answer, json_, lambda found, console: print_table(batches.table(found), console))
    if answer.batch == 0:
        raise typer.Exit(1)
