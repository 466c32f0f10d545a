"""Commands over results that were measured before: `report`, `compare`, `choose`, `reproduce`."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from depthport.bench.cli import complete
from depthport.bench.cli.options import Json, Store, parse_size, print_json, show, stderr, stdout
from depthport.exporters.core.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from depthport.bench.choice.choice import Choice
    from depthport.bench.results.load_results import ResultsFile
    from depthport.bench.results.model import Boundary as BoundaryName

MIB_PER_MB = 1e6 / 2**20
Boundary = Annotated[str | None, typer.Option("--boundary", help="device, host, pipeline, stream; by default the first")]


def report(
    sources: Annotated[list[Path], typer.Argument(help="Folders or results.json files; several are merged.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder for the report. Default: the first source's.")
    ] = None,
    picture: Annotated[
        bool, typer.Option("--picture", help="Also report.png, the page's first screen (needs Chromium).")
    ] = False,
    embed_images: Annotated[
        bool, typer.Option("--embed-images", help="Put photographs that were given with --images into the page.")
    ] = False,
    json_: Json = False,
) -> None:
    """Write the report of one or many runs: Markdown and one HTML page.

    The page shows depth and its error for every cell. The photographs themselves are in it where they are the shipped
    ones; your own, given with --images, only with --embed-images.

    Examples:

        depthport report results

        depthport report cuda-box/results.json mac/results.json --out merged --picture
    """
    from depthport.bench.report.write import write_report

    loaded = [_load(path) for path in sources]
    gc.freeze()  # else every collection walks through millions of samples
    first = sources[0]
    folder = out or (first if first.is_dir() else first.parent)
    written = write_report(loaded, folder, own_images=embed_images)
    if picture:
        from depthport.bench.report.page.screenshot import take_picture

        written.append(take_picture(folder / "report.html", folder / "report.png"))
    if json_:
        print_json({"written": [str(path) for path in written]})
    else:
        for path in written:
            stdout(path)


def compare(
    before: Annotated[Path, typer.Argument(metavar="A.json", help="The run before.")],
    after: Annotated[Path, typer.Argument(metavar="B.json", help="The run after.")],
    boundary: Boundary = None,
    across_machines: Annotated[
        bool, typer.Option("--across-machines", help="Compare although the hardware differs.")
    ] = False,
    json_: Json = False,
) -> None:
    """Cell by cell: faster, slower, equivalent, inconclusive or not comparable, with interval and reason.

    Exit code 1 if any cell is slower.

    Examples:

        depthport compare before/results.json after/results.json
    """
    from depthport.bench.choice.compare import compare as compare_results
    from depthport.bench.cli.console import render_comparison

    comparison = compare_results(
        _load(before).results, _load(after).results, _boundary(boundary), across_machines=across_machines
    )
    show(comparison, json_, render_comparison)
    if comparison.counts.get("slower"):
        raise typer.Exit(1)


def choose(
    source: Annotated[Path, typer.Argument(help="A folder or results.json.")],
    goal: Annotated[
        str, typer.Option("--goal", help="latency_ms, throughput_img_s, memory_mib, cold_start_s, depth_error, ...")
    ] = "latency_ms",
    max_latency_ms: Annotated[float | None, typer.Option("--max-latency-ms", help="Median latency.")] = None,
    max_p95_ms: Annotated[float | None, typer.Option("--max-p95-ms", help="95th percentile of the latency.")] = None,
    min_img_s: Annotated[float | None, typer.Option("--min-img-s", help="Images per second.")] = None,
    max_memory_mb: Annotated[float | None, typer.Option("--max-memory-mb", help="Peak memory, in 10^6 bytes.")] = None,
    max_size_mb: Annotated[float | None, typer.Option("--max-size-mb", help="Artifact, in 10^6 bytes.")] = None,
    max_cold_start_s: Annotated[float | None, typer.Option("--max-cold-start-s", help="Load and first call.")] = None,
    max_abs_rel: Annotated[float | None, typer.Option("--max-abs-rel", help="Depth AbsRel against upstream.")] = None,
    max_rotation_deg: Annotated[float | None, typer.Option("--max-rotation-deg", help="Pose against upstream.")] = None,
    max_truth_abs_rel: Annotated[
        float | None, typer.Option("--max-truth-abs-rel", help="Depth AbsRel against ground truth (real weights only).")
    ] = None,
    min_truth_delta1: Annotated[
        float | None, typer.Option("--min-truth-delta1", help="Depth δ1 against ground truth (real weights only).")
    ] = None,
    max_depth_error: Annotated[
        float | None, typer.Option("--max-depth-error", help="Relative L2 of depth against upstream fp32.")
    ] = None,
    device: Annotated[list[str] | None, typer.Option("--device", help="Only these devices.")] = None,
    runtime: Annotated[
        list[str] | None, typer.Option("--runtime", help="Only these runtimes.", autocompletion=complete.runtimes)
    ] = None,
    licence: Annotated[list[str] | None, typer.Option("--licence", help="SPDX names, or open.")] = None,
    model: Annotated[str | None, typer.Option("--model", "-m", help="Where the file holds several.")] = None,
    views: Annotated[int | None, typer.Option("--views", "-n", help="Where the file holds several.")] = None,
    size: Annotated[str | None, typer.Option("--size", "-s", help="Where the file holds several.")] = None,
    boundary: Boundary = None,
    artifacts: Store = None,
    json_: Json = False,
) -> None:
    """Pick the cell to deploy under constraints: with ties, why not each other, what would flip it, when it pays.

    Exit code 1 if no cell meets the constraints.

    Examples:

        depthport choose results --max-latency-ms 3000 --max-abs-rel 0.01

        depthport choose results --goal memory_mib --device cpu
    """
    from depthport.bench.choice.choice import Constraint, Request
    from depthport.bench.choice.choose import choose as choose_cell
    from depthport.bench.cli.console import render_choice, render_pick
    from depthport.exporters.core.store import ArtifactStore

    bounds = {
        "latency_ms": _bound("--max-latency-ms", max_latency_ms),
        "latency_p95_ms": _bound("--max-p95-ms", max_p95_ms),
        "throughput_img_s": _bound("--min-img-s", min_img_s),
        "memory_mib": _bound("--max-memory-mb", max_memory_mb, MIB_PER_MB),
        "artifact_mib": _bound("--max-size-mb", max_size_mb, MIB_PER_MB),
        "cold_start_s": _bound("--max-cold-start-s", max_cold_start_s),
        "depth_abs_rel": _bound("--max-abs-rel", max_abs_rel),
        "depth_error": _bound("--max-depth-error", max_depth_error),
        "rotation_deg": _bound("--max-rotation-deg", max_rotation_deg),
        "accuracy_abs_rel": _bound("--max-truth-abs-rel", max_truth_abs_rel),
        "accuracy_delta1": _bound("--min-truth-delta1", min_truth_delta1),
    }
    height, width = parse_size(size) if size else (None, None)
    request = Request(
        goal=goal,
        constraints=tuple(Constraint(metric, bound) for metric, bound in bounds.items() if bound is not None),
        devices=tuple(device or ()),
        runtimes=tuple(runtime or ()),
        licences=tuple(licence or ()),
        boundary=_boundary(boundary),
        model=model,
        views=views,
        height=height,
        width=width,
    )
    store = ArtifactStore(artifacts)
    results = _load(source).results
    choice = choose_cell(results, request)

    def render(found: Choice, console: Console) -> None:
        render_choice(found, console)
        render_pick(found, results, store, console)

    show(choice, json_, render)
    if choice.pick is None:
        raise typer.Exit(1)


def reproduce(
    source: Annotated[Path, typer.Argument(help="A folder or results.json.")],
    cell: Annotated[str, typer.Argument(help="The cell's id, as its report has it.")],
    json_: Json = False,
) -> None:
    """The command and a short script that rerun one cell alone.

    Examples:

        depthport reproduce results pytorch/cpu/upstream/fp32
    """
    from depthport.bench.choice.reproduce import reproduce as recipe_of
    from depthport.bench.cli.console import render_recipe

    show(recipe_of(_load(source).results, cell), json_, render_recipe)


def _load(source: Path) -> ResultsFile:
    """A results file; what of it is damaged is said on stderr, a line each.

    Raises:
        ResultsError: it can't be read.
    """
    from depthport.bench.results.load_results import load_results

    found = load_results(source)
    for note in found.notes:
        stderr(f"{source}: {note}")
    return found


def _bound(option: str, value: float | None, scale: float = 1.0) -> float | None:
    """The bound in the metric's own unit.

    Raises:
        UsageError: it is below 0, or not a number.
    """
    if value is not None and not 0 <= value < float("inf"):
        raise UsageError(f"{option} is {value:g}: give a number of at least 0")
    return None if value is None else value * scale


def _boundary(name: str | None) -> BoundaryName | None:
    from depthport.bench.results.model import BOUNDARIES
    from depthport.exporters.core.asked import known_name

    return None if name is None else cast("BoundaryName", known_name("boundary", name, BOUNDARIES))
