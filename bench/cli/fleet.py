"""`depthport fleet`: one frozen suite on many machines, one merged answer (bench/FLEET.md)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from depthport.bench.cli.command import EXPERT, INPUTS, MEASURED, OUTPUT, Command, command
from depthport.bench.cli.options import Json, Store, print_json, stderr, stdout
from depthport.exporters.core.files.atomic import check_output_folder, storage_errors, write_text

if TYPE_CHECKING:
    from depthport.bench.fleet.rows import Rows

fleet = typer.Typer(
    name="fleet", help="One suite on many machines, one merged answer (bench/FLEET.md).", no_args_is_help=True
)

Description = Annotated[Path, typer.Argument(metavar="FLEET.toml", help="Suite and machines, one table each.")]
BundleFolder = Annotated[Path, typer.Argument(metavar="BUNDLE", help="Folder that `fleet freeze` wrote.")]
Address = Annotated[
    str | None,
    typer.Option(
        "--scheduler", help="tls://HOST:PORT of a Dask scheduler that runs. Default: FLEET.toml's.", rich_help_panel=EXPERT
    ),
]
Patience = Annotated[
    float, typer.Option("--patience", help="Seconds to wait for a machine that is absent.", rich_help_panel=EXPERT)
]
Out = Annotated[
    Path,
    typer.Option("--out", "-o", help="Folder for the results, MACHINE/JOB each, and the report.", rich_help_panel=OUTPUT),
]


@fleet.command(cls=Command)
@command
def freeze(
    description: Description,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the bundle.", rich_help_panel=OUTPUT)] = Path(
        "bundle"
    ),
    json_: Json = False,
) -> None:
    """Resolve and hash suite, inputs, weights and versions once, for every machine.

    Examples:
        depthport fleet freeze FLEET.toml --out bundle
    """
    from depthport.bench.fleet.description import read_fleet
    from depthport.bench.fleet.freeze import freeze as frozen

    bundle = frozen(read_fleet(description), description.parent, out)
    if json_:
        print_json("fleet-freeze", bundle.to_json())
    else:
        stdout(f"{out}  {len(bundle.contents.jobs)} jobs, {bundle.sha256}")


@fleet.command(cls=Command)
@command
def work(
    bundle: BundleFolder,
    machine: Annotated[
        str, typer.Option("--machine", help="Which of the bundle's machines this is.", rich_help_panel=INPUTS)
    ],
    out: Out = Path("results"),
    job: Annotated[list[str] | None, typer.Option("--job", help="Only these jobs.", rich_help_panel=MEASURED)] = None,
    artifacts: Store = None,
    json_: Annotated[
        bool, typer.Option("--json", help="Print a line of JSON for all that happens.", rich_help_panel=OUTPUT)
    ] = False,
    end_with_stdin: Annotated[bool, typer.Option("--end-with-stdin", hidden=True)] = False,
) -> None:
    """Do one machine's share of a bundle here: what `fleet run` and a CI start on each machine.

    What is finished is left alone, what was begun goes on. Exit code 1 if a job failed, 75 if the machine was busy, hot or
    on battery for too long.

    Examples:
        depthport fleet work bundle --machine cpu-box --out results
    """
    from depthport.bench.fleet.bundle import load_bundle
    from depthport.bench.fleet.progress import Told, Work
    from depthport.bench.fleet.work import work as share_of
    from depthport.bench.workers.lifeline import stop_with_stdin
    from depthport.exporters.core.store import ArtifactStore

    if end_with_stdin:
        stop_with_stdin()

    def tell(now: Work) -> None:
        if json_:
            print(now.line(), flush=True)
        elif now.share is None:
            stderr(f"{now.job}: {now.state}{f': {now.text}' if now.text else ''}")

    check_output_folder(out)
    outcomes = list(share_of(load_bundle(bundle), bundle, machine, out, ArtifactStore(artifacts), Told(tell), job or ()))
    if failed := [outcome for outcome in outcomes if not outcome.done]:
        only = failed[0].exit_code if len(failed) == 1 else 1
        raise typer.Exit(only)


@fleet.command(cls=Command)
@command
def merge(
    bundle: BundleFolder,
    results: Annotated[Path, typer.Argument(metavar="RESULTS", help="Folder with MACHINE/JOB/results.json.")],
    json_: Json = False,
) -> None:
    """Check every result against the bundle and write one report of all. Exit code 1 if any is missing.

    Examples:
        depthport fleet merge bundle results
    """
    from depthport.bench.fleet.bundle import load_bundle
    from depthport.bench.fleet.merge import merge_fleet

    merged = merge_fleet(load_bundle(bundle), results)
    if json_:
        print_json(
            "fleet-merge", {"written": [str(p) for p in merged.written], "missing": [list(pair) for pair in merged.missing]}
        )
    else:
        for path in merged.written:
            stdout(path)
        for machine, name in merged.missing:
            stderr(f"{machine} has not finished {name}")
    if merged.missing:
        raise typer.Exit(1)


@fleet.command(cls=Command)
@command
def workflow(
    description: Description,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="File to write. Default: standard output.", rich_help_panel=OUTPUT)
    ] = None,
) -> None:
    """Write a GitHub Actions workflow that measures the same bundle on self-hosted runners.

    Examples:
        depthport fleet workflow FLEET.toml --out .github/workflows/fleet.yml
    """
    from depthport.bench.fleet.description import read_fleet
    from depthport.bench.fleet.workflow import workflow as workflow_of

    text = workflow_of(read_fleet(description), description.as_posix())
    if out is None:
        typer.echo(text, nl=False)
        return
    check_output_folder(out.parent, (out.name,))
    with storage_errors(out.parent):
        out.parent.mkdir(parents=True, exist_ok=True)
        write_text(out, text)
    stdout(out)


@fleet.command(cls=Command)
@command
def run(
    description: Description,
    out: Out = Path("results"),
    scheduler: Address = None,
    patience: Patience = 900.0,
    json_: Json = False,
) -> None:
    """Freeze the suite, carry it to every machine, measure and export there, and write one report.

    A machine that is absent, busy, hot or on battery is a row with its reason; the others go on. The same command goes on
    with what is missing. Exit code 1 if anything is missing in the end.

    Examples:
        depthport fleet run FLEET.toml --out results
    """
    from depthport.bench.cli.fleet_view import watching
    from depthport.bench.fleet.cluster import connected
    from depthport.bench.fleet.description import read_fleet
    from depthport.bench.fleet.freeze import freeze as frozen
    from depthport.bench.fleet.run import FleetRun

    check_output_folder(out, ("report.md", "report.html", "fleet.json"))
    asked = read_fleet(description)
    bundle = frozen(asked, description.parent, out / "bundle")
    with connected(asked, scheduler) as cluster, watching() as watch:
        rows = FleetRun(asked, bundle, out / "bundle", out, cluster, patience).run(watch)
    _finish(rows, out, json_)


@fleet.command(cls=Command)
@command
def status(description: Description, out: Out = Path("results"), scheduler: Address = None, json_: Json = False) -> None:
    """Show the state of the run into --out and of the connected machines.

    Examples:
        depthport fleet status FLEET.toml --out results
    """
    from depthport.bench.cli.fleet_view import print_rows
    from depthport.bench.fleet.description import read_fleet
    from depthport.bench.fleet.rows import load_rows
    from depthport.bench.fleet.survey import survey

    asked = read_fleet(description)
    now = survey(asked, scheduler)
    rows = load_rows(out) if (out / "fleet.json").exists() else None
    if json_:
        print_json("fleet-status", {"run": rows.to_json() if rows else None, "machines": now})
        return
    if rows is not None:
        print_rows(rows)
    for name, said in now.items():
        stdout(f"{name}: {said}")


@fleet.command(cls=Command)
@command
def collect(
    description: Description,
    out: Out = Path("results"),
    scheduler: Address = None,
    patience: Patience = 60.0,
    json_: Json = False,
) -> None:
    """Bring what machines have finished of --out's bundle here, without measuring, and write the report.

    Examples:
        depthport fleet collect FLEET.toml --out results
    """
    from depthport.bench.cli.fleet_view import watching
    from depthport.bench.fleet.bundle import load_bundle
    from depthport.bench.fleet.cluster import connected
    from depthport.bench.fleet.description import read_fleet
    from depthport.bench.fleet.run import FleetRun

    asked, bundle = read_fleet(description), load_bundle(out / "bundle")
    with connected(asked, scheduler) as cluster, watching() as watch:
        rows = FleetRun(asked, bundle, out / "bundle", out, cluster, patience).run(watch, measure=False)
    _finish(rows, out, json_)


@fleet.command(cls=Command)
@command
def join(
    description: Description,
    machine: Annotated[str, typer.Argument(metavar="MACHINE", help="What FLEET.toml calls this machine.")],
    scheduler: Address = None,
) -> None:
    """Be a machine of the fleet until stopped: Dask's own worker, started again whenever it ends.

    Examples:
        depthport fleet join FLEET.toml cpu-box
    """
    from depthport.bench.fleet.cluster import join as stay
    from depthport.bench.fleet.description import read_fleet
    from depthport.exporters.core.asked import known_name

    asked = read_fleet(description)
    stay(known_name("machine", machine, asked.machine), asked, scheduler)


def _finish(rows: Rows, out: Path, json_: bool) -> None:
    """The report of the results that exist, and the exit code."""
    from depthport.bench.fleet.bundle import load_bundle
    from depthport.bench.fleet.merge import merge_fleet

    merged = merge_fleet(load_bundle(out / "bundle"), out)
    if json_:
        print_json("fleet-run", {**rows.to_json(), "written": [str(path) for path in merged.written]})
    else:
        for path in merged.written:
            stdout(path)
    if merged.missing:
        raise typer.Exit(1)
