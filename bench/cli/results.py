"""Commands over results that were measured before: `report`, `compare`, `choose`, `reproduce`."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from depthport.bench.cli import words
from depthport.bench.cli.command import CONSTRAINTS, INPUTS, OUTPUT
from depthport.bench.cli.options import Json, Store, old_name, parse_size, print_json, show, stderr, stdout
from depthport.exporters.core.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from depthport.bench.choice.choice import Choice
    from depthport.bench.results.load_results import ResultsFile
    from depthport.bench.results.model import Boundary as BoundaryName

Boundary = Annotated[
    str | None,
    words.BOUNDARY.option("--boundary", help="Where cells are compared; by default the first they have", panel=CONSTRAINTS),
]


def _bounded(option: str, help: str) -> Any:
    """An option of `choose` that bounds a metric."""
    return typer.Option(option, help=help, rich_help_panel=CONSTRAINTS)


def report(
    sources: Annotated[list[Path], typer.Argument(help="Folders or results.json files; several are merged.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Folder for the report. Default: the first source's.", rich_help_panel=OUTPUT),
    ] = None,
    picture: Annotated[
        bool,
        typer.Option(
            "--picture", help="Also report.png, the page's first screen (needs Chromium).", rich_help_panel=OUTPUT
        ),
    ] = False,
    embed_images: Annotated[
        bool,
        typer.Option(
            "--embed-images", help="Put photographs that were given with --images into the page.", rich_help_panel=OUTPUT
        ),
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
        print_json("report", {"written": [str(path) for path in written]})
    else:
        for path in written:
            stdout(path)


def compare(
    before: Annotated[Path, typer.Argument(metavar="A.json", help="The run before.")],
    after: Annotated[Path, typer.Argument(metavar="B.json", help="The run after.")],
    boundary: Boundary = None,
    across_machines: Annotated[
        bool, typer.Option("--across-machines", help="Compare although the hardware differs.", rich_help_panel=CONSTRAINTS)
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
    show("compare", comparison, json_, render_comparison)
    if comparison.counts.get("slower"):
        raise typer.Exit(1)


def choose(
    source: Annotated[Path, typer.Argument(help="A folder or results.json.")],
    goal: Annotated[str, words.GOAL.option("--goal", help="What is to be best", panel=CONSTRAINTS)] = "latency_ms",
    max_latency_ms: Annotated[float | None, _bounded("--max-latency-ms", "Median latency.")] = None,
    max_p95_ms: Annotated[float | None, _bounded("--max-p95-ms", "95th percentile of the latency.")] = None,
    min_img_s: Annotated[float | None, _bounded("--min-img-s", "Images per second.")] = None,
    max_memory_mib: Annotated[float | None, _bounded("--max-memory-mib", "Peak memory.")] = None,
    max_size_mib: Annotated[float | None, _bounded("--max-size-mib", "Artifact on disk.")] = None,
    max_cold_start_s: Annotated[float | None, _bounded("--max-cold-start-s", "Load and first call.")] = None,
    max_abs_rel: Annotated[float | None, _bounded("--max-abs-rel", "Depth AbsRel against upstream.")] = None,
    max_rotation_deg: Annotated[float | None, _bounded("--max-rotation-deg", "Pose against upstream.")] = None,
    max_truth_abs_rel: Annotated[
        float | None, _bounded("--max-truth-abs-rel", "Depth AbsRel against ground truth (real weights only).")
    ] = None,
    min_truth_delta1: Annotated[
        float | None, _bounded("--min-truth-delta1", "Depth δ1 against ground truth (real weights only).")
    ] = None,
    max_depth_error: Annotated[
        float | None, _bounded("--max-depth-error", "Relative L2 of depth against upstream fp32.")
    ] = None,
    device: Annotated[
        list[str] | None, typer.Option("--device", "-d", help="Only these devices.", rich_help_panel=CONSTRAINTS)
    ] = None,
    runtime: Annotated[
        list[str] | None,
        typer.Option(
            "--runtime",
            "-r",
            help="Only these runtimes, as the results name them.",
            autocompletion=words.RUNTIME.complete,
            rich_help_panel=CONSTRAINTS,
        ),
    ] = None,
    licence: Annotated[
        list[str] | None,
        typer.Option(
            "--licence", "--license", help="Only runtimes under these: SPDX names, or open.", rich_help_panel=CONSTRAINTS
        ),
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="Where the file holds several.", rich_help_panel=INPUTS)
    ] = None,
    views: Annotated[
        int | None, typer.Option("--views", "-n", help="Where the file holds several.", rich_help_panel=INPUTS)
    ] = None,
    size: Annotated[
        str | None, typer.Option("--size", "-s", help="HxW, where the file holds several.", rich_help_panel=INPUTS)
    ] = None,
    boundary: Boundary = None,
    max_memory_mb: Annotated[float | None, typer.Option("--max-memory-mb", hidden=True, help="In 10^6 bytes.")] = None,
    max_size_mb: Annotated[float | None, typer.Option("--max-size-mb", hidden=True, help="In 10^6 bytes.")] = None,
    artifacts: Store = None,
    json_: Json = False,
) -> None:
    """Pick the cell to deploy under constraints: with ties, why not each other, what would change it, when it pays.

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
        "memory_mib": _bound("--max-memory-mib", _in_mib("--max-memory-mib", max_memory_mib, max_memory_mb)),
        "artifact_mib": _bound("--max-size-mib", _in_mib("--max-size-mib", max_size_mib, max_size_mb)),
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

    show("choose", choice, json_, render)
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

    show("reproduce", recipe_of(_load(source).results, cell), json_, render_recipe)


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


def _in_mib(option: str, value: float | None, old_mb: float | None) -> float | None:
    """A bound in MiB, or one that was given in megabytes under its old name."""
    if old_mb is None:
        return value
    old_name(option.replace("mib", "mb"), option)
    return old_mb * 1e6 / (1 << 20)


def _bound(option: str, value: float | None) -> float | None:
    """The bound, checked.

    Raises:
        UsageError: it is below 0, or not a number.
    """
    if value is not None and not 0 <= value < float("inf"):
        raise UsageError(f"{option} is {value:g}: give a number of at least 0")
    return value


def _boundary(name: str | None) -> BoundaryName | None:
    return None if name is None else cast("BoundaryName", name)
