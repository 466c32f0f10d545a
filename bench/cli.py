"""The command line: a thin layer over the Python API. Imports nothing heavy until a command needs it.

Exit codes: 0 done; 1 a result below what was asked (a control failed, no cell meets the constraints); 2 bad usage or
input, with one line that says what is wrong and what to do; 130 stopped by Ctrl-C (what was measured is kept).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

app = typer.Typer(
    name="depthport",
    help="Depth Anything 3 to every runtime: export, measure, prove, choose.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)

Model = Annotated[str, typer.Option("--model", "-m", help="da3-small, da3-base, da3-large, ...")]
Views = Annotated[int, typer.Option("--views", "-n", help="Views N of one scene: they go in together.")]
Batch = Annotated[int, typer.Option("--batch", "-b", help="Scenes B in one call (not views).")]
Size = Annotated[str, typer.Option("--size", "-s", help="HxW in pixels, multiples of 14.")]
Weights = Annotated[
    str | None,
    typer.Option(
        "--weights",
        "-w",
        help="Hugging Face id, local file or folder, or synthetic:SEED[,outliers]. Default: the model's checkpoint"
        " if it is cached or can be downloaded, else synthetic.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON on stdout, for machines.")]
Store = Annotated[
    Path | None, typer.Option("--artifacts", help="Artifact store. Default: $DEPTHPORT_ARTIFACTS or ./artifacts.")
]


def parse_size(text: str) -> tuple[int, int]:
    """`504x504` or `504` as (height, width).

    Raises:
        UsageError: it is neither.
    """
    from exporters.errors import UsageError

    parts = text.lower().split("x")
    if len(parts) == 1:
        parts *= 2
    if len(parts) != 2 or not all(p.isascii() and p.isdigit() for p in parts):
        raise UsageError(f"--size {text!r} is no size: give HxW in pixels, for example 504x504")
    return int(parts[0]), int(parts[1])


def parse_options(pairs: list[str]) -> dict[str, Any]:
    """`name=value` pairs as a dictionary; values that are JSON (true, 3, 0.5) become what they are.

    Raises:
        UsageError: a pair has no `=`.
    """
    from exporters.errors import UsageError

    options: dict[str, Any] = {}
    for pair in pairs:
        name, separator, value = pair.partition("=")
        if not separator or not name:
            raise UsageError(f"--option {pair!r} is no option: give name=value")
        try:
            options[name] = json.loads(value)
        except json.JSONDecodeError:
            options[name] = value
    return options


@app.command()
def doctor(json_: Json = False) -> None:
    """What can run here; what is missing, and the line that installs it."""
    from bench import doctor as checks

    report = checks.collect()
    if json_:
        _print_json(report.to_json())
    else:
        from rich.console import Console

        checks.render(report, Console())


@app.command()
def run(
    model: Model = "da3-small",
    views: Views = 1,
    size: Size = "504x504",
    batch: Batch = 1,
    weights: Weights = None,
    images: Annotated[list[Path] | None, typer.Option("--images", help="Your own photographs, one per view.")] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for results, report and pictures.")] = Path(
        "results"
    ),
    artifacts: Store = None,
    budget: Annotated[float | None, typer.Option("--budget", help="Seconds of timed measurement.")] = None,
    json_: Json = False,
) -> None:
    """The main job: export, measure, check, report; defaults that suit this machine.

    Examples:

        depthport run

        depthport run --model da3-base --views 5 --images a.jpg b.jpg c.jpg d.jpg e.jpg
    """
    _measure(
        out,
        artifacts,
        json_,
        model=model,
        views=views,
        size=size,
        batch=batch,
        weights=weights,
        images=images or [],
        budget_s=budget,
        suite="default",
    )


@app.command()
def export(
    model: Annotated[str, typer.Argument(help="da3-small, da3-base, da3-large, ...")],
    format: Annotated[str, typer.Option("--format", "-f", help="pytorch, onnx, coreml, tensorrt, ...")] = "onnx",
    precision: Annotated[str, typer.Option("--precision", "-p", help="fp32, fp16, bf16, ... or auto.")] = "fp32",
    views: Views = 1,
    size: Size = "504x504",
    batch: Batch = 1,
    weights: Weights = None,
    outputs: Annotated[str | None, typer.Option("--outputs", help="Comma-separated: depth,extrinsics,ray,...")] = None,
    target: Annotated[str | None, typer.Option("--target", help="sm89, iOS17, ort-cpu, ort-cuda, ...")] = None,
    dynamic: Annotated[str | None, typer.Option("--dynamic", help="Dimensions left open: views,size,batch.")] = None,
    pose_input: Annotated[bool, typer.Option("--pose-input", help="Take extrinsics and intrinsics as inputs.")] = False,
    preprocess: Annotated[
        bool, typer.Option("--preprocess", help="Take uint8 images; normalise in the graph.")
    ] = False,
    option: Annotated[list[str] | None, typer.Option("--option", help="The format's own: name=value.")] = None,
    out: Store = None,
    json_: Json = False,
) -> None:
    """Export one artifact, or find it if it was exported before.

    Examples:

        depthport export da3-small --format onnx

        depthport export da3-large --format onnx --precision fp16 --views 5 --size 504x504
    """
    import exporters
    from bench.progress import observer_for
    from exporters.store import ArtifactStore

    height, width = parse_size(size)
    observer = observer_for()
    observer.stage(f"exporting {model} to {format}")
    try:
        stored = exporters.export(
            model,
            format=format,
            precision=precision,
            batch=batch,
            views=views,
            height=height,
            width=width,
            weights=weights,
            outputs=_names(outputs),
            target=target,
            dynamic=_names(dynamic) or (),
            pose_input=pose_input,
            preprocess=preprocess,
            options=parse_options(option or []),
            store=ArtifactStore(out),
            progress=observer.step,
        )
    finally:
        observer.close()
    manifest = stored.artifact.manifest
    if json_:
        _print_json({"path": str(stored.artifact.path), "origin": stored.origin, "manifest": manifest.to_json()})
        return
    if stored.damage:
        _stderr(f"rebuilt: {stored.damage}")
    if manifest.weights.synthetic:
        _stderr(f"weights are synthetic ({manifest.weights.id}): the depth means nothing, speed and parity do")
    how = {"built": f"in {manifest.export_s:.1f} s", "rebuilt": f"in {manifest.export_s:.1f} s", "cached": "cached"}
    typer.echo(f"{stored.artifact.path}  {manifest.size_bytes / 1e6:.1f} MB, {how[stored.origin]}")


@app.command()
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
    images: Annotated[list[Path] | None, typer.Option("--images", help="Your own photographs, one per view.")] = None,
    threads: Annotated[
        int | None, typer.Option("--threads", help="CPU threads. Default: what the cgroup allows.")
    ] = None,
    launches: Annotated[int | None, typer.Option("--launches", help="Process starts per cell.")] = None,
    budget: Annotated[float | None, typer.Option("--budget", help="Seconds of timed measurement.")] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Seed of the schedule.")] = None,
    interpreter: Annotated[
        list[str] | None, typer.Option("--interpreter", help="RUNTIME=PYTHON: a runtime's own interpreter.")
    ] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for results, report and pictures.")] = Path(
        "results"
    ),
    artifacts: Store = None,
    json_: Json = False,
) -> None:
    """Measure a suite of cells, or some of them, and write results and report.

    Examples:

        depthport bench --suite quick

        depthport bench --model da3-base --views 5 --runtime onnxruntime --runtime pytorch --launches 5
    """
    from bench.suites import Filters

    filters = Filters(
        runtimes=runtime or (), devices=device or (), modes=mode or (), precisions=precision or (), cells=cell or ()
    )
    _measure(
        out,
        artifacts,
        json_,
        model=model,
        views=views,
        size=size,
        batch=batch,
        weights=weights,
        images=images or [],
        suite=suite,
        protocol=protocol,
        filters=filters,
        precisions=also or (),
        threads=threads,
        launches=launches,
        budget_s=budget,
        seed=seed,
        interpreters=parse_interpreters(interpreter or []),
    )


def parse_interpreters(pairs: list[str]) -> dict[str, str]:
    """`runtime=/path/to/python` pairs as a dictionary.

    Raises:
        UsageError: a pair has no `=` or its interpreter does not exist.
    """
    import shutil

    from exporters.errors import UsageError

    found: dict[str, str] = {}
    for pair in pairs:
        name, separator, python = pair.partition("=")
        if not separator or shutil.which(python) is None:
            raise UsageError(f"--interpreter {pair!r}: give RUNTIME=PYTHON with a Python that can be started")
        found[name] = python
    return found


@app.command()
def report(
    sources: Annotated[list[Path], typer.Argument(help="Folders or results.json files; several are merged.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder for the report. Default: the first source's.")
    ] = None,
    json_: Json = False,
) -> None:
    """Write the report of one or many runs: Markdown and one HTML page.

    Examples:

        depthport report results

        depthport report cuda-box/results.json mac/results.json --out merged
    """
    from bench.load_results import load_results
    from bench.report import write_report

    loaded = [load_results(path) for path in sources]
    first = sources[0]
    written = write_report(loaded, out or (first if first.is_dir() else first.parent))
    if json_:
        _print_json({"written": [str(path) for path in written]})
    else:
        for path in written:
            typer.echo(path)


def main() -> None:
    """Entry point: typed errors become one line and their exit code; everything else keeps its traceback."""
    from exporters.errors import DepthportError

    try:
        app(spread(sys.argv[1:], "--images"), standalone_mode=False)
    except DepthportError as error:
        _fail(str(error), error.exit_code)
    except KeyboardInterrupt:
        _fail("stopped", 130)
    except (typer.Exit, SystemExit) as end:
        sys.exit(getattr(end, "exit_code", getattr(end, "code", 0)))
    except typer.Abort:
        _fail("stopped", 130)
    except _ClickException as error:
        _fail(_usage_text(error), 2)


def spread(arguments: list[str], option: str) -> list[str]:
    """`--images a b c` as `--images a --images b --images c`: what people type, in the form typer takes."""
    spread_out: list[str] = []
    within = False
    for argument in arguments:
        if argument.startswith("-") and argument != "-":
            within = argument == option
            if not within:
                spread_out.append(argument)
        elif within:
            spread_out += [option, argument]
        else:
            spread_out.append(argument)
    return spread_out


def _measure(out: Path, artifacts: Path | None, as_json: bool, *, size: str, **request: Any) -> None:
    """Plan, measure, report; what `run` and `bench` share."""
    from bench import api, engine
    from bench.progress import observer_for
    from exporters.store import ArtifactStore

    height, width = parse_size(size)
    plan = api.plan(height=height, width=width, **request)
    observer = observer_for()
    if plan.weights["note"]:
        observer.note(plan.weights["note"])
    try:
        results = engine.run(plan, out, ArtifactStore(artifacts), observer)
        from bench.load_results import load_results
        from bench.report import write_report

        observer.stage("writing the report")
        written = write_report([load_results(out)], out)
    finally:
        observer.close()
    if as_json:
        _print_json(results.to_json())
    else:
        from rich.console import Console

        from bench.summary import render_summary

        render_summary(results, written, Console())
    if any(not control.ok for control in results.controls.values()):
        raise typer.Exit(1)


def _names(text: str | None) -> list[str] | None:
    return [name.strip() for name in text.split(",") if name.strip()] if text is not None else None


def _print_json(data: Any) -> None:
    typer.echo(json.dumps(data, indent=1, allow_nan=False))


def _stderr(text: str) -> None:
    typer.echo(text, err=True)


def _fail(text: str, code: int) -> NoReturn:
    _stderr(f"depthport: {' '.join(text.split())}")
    sys.exit(code)


# Newer typer carries its own click, so the class is found through what typer exports.
_ClickException: type[Exception] = next(c for c in typer.BadParameter.__mro__ if c.__name__ == "ClickException")


def _usage_text(error: Exception) -> str:
    context = getattr(error, "ctx", None)
    command = context.command_path if context else "depthport"
    text: Callable[[], str] = getattr(error, "format_message", lambda: str(error))
    return f"{text().rstrip('.')} (see `{command} --help`)"


if __name__ == "__main__":
    main()
