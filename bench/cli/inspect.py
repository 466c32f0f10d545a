"""`depthport inspect`, `list` and `sample`: what an artifact, or the store, holds, and a program that runs it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from depthport.bench.cli import words
from depthport.bench.cli.command import MODEL, OUTPUT
from depthport.bench.cli.options import Images, Json, print_json, stderr, stdout
from depthport.exporters.core.errors import UsageError
from depthport.exporters.core.inspection import Table

if TYPE_CHECKING:
    import numpy as np

    from depthport.exporters.core.artifact import Artifact


def inspect(
    path: Annotated[Path, typer.Argument(help="An artifact's folder, or a package (.mlpackage) of any origin.")],
    images: Images = None,
    run: Annotated[
        bool,
        typer.Option("--run/--no-run", help="Also what needs the network to be run (on a CPU).", rich_help_panel=OUTPUT),
    ] = True,
    json_: Json = False,
) -> None:
    """Show an artifact's manifest and what its format can tell.

    Core ML packages: operations, what the Neural Engine is predicted to refuse and why, at which operation fp16 leaves
    fp32, and how near activations come to fp16's limits. Needs no Mac.

    Examples:
        depthport inspect artifacts/da3-small-coreml-fp16-1x1x504x504-0123456789ab
        depthport inspect Model.mlpackage --no-run
    """
    found, tables = _inspect(path, images, run)
    if json_:
        print_json(
            "inspect", {"manifest": found.manifest.to_json() if found else None, "tables": [t.to_json() for t in tables]}
        )
        return
    from rich.console import Console

    from depthport.bench.cli.artifact_view import run_lines
    from depthport.bench.cli.tables import print_table

    console = Console()
    for table in tables:
        print_table(table, console)
        console.print()
    for line in run_lines(found) if found is not None else ():
        stdout(line)


def _inspect(path: Path, images: list[Path] | None, run: bool) -> tuple[Artifact | None, tuple[Table, ...]]:
    from depthport.bench.cli.artifact_view import artifact_table
    from depthport.exporters.core.artifact import load_artifact
    from depthport.exporters.registry import installed_exporter, installed_exporters

    reader = next((e for e in installed_exporters() if path.suffix and path.suffix == e.package_suffix), None)
    if reader is not None:
        if images:
            raise UsageError("--images is for an artifact, whose manifest says what its input is: give its folder")
        return None, reader.inspect_package(path, run)
    artifact = load_artifact(path)
    artifact.verify()
    arrays = _arrays(artifact, images) if images else None
    # The name comes from a file: an exporter that is installed, or none.
    exporter = installed_exporter(artifact.manifest.format)
    if exporter is None:
        note = "No exporter of this format is installed here: nothing but the manifest can be said."
        return artifact, (replace(artifact_table(artifact), note=note),)
    return artifact, (artifact_table(artifact), *exporter.inspect(artifact, arrays, run))


def _arrays(artifact: Artifact, images: list[Path]) -> dict[str, np.ndarray]:
    from depthport.bench.inputs.inputs import load_scenes

    manifest = artifact.manifest
    preprocess = manifest.preprocessing.get("where") == "graph"
    return load_scenes(manifest.shape, sets=1, images=images)[0].arrays(preprocess=preprocess)


def list_artifacts(
    store: Annotated[
        Path | None, typer.Argument(help="Artifact store. Default: $DEPTHPORT_ARTIFACTS or ./artifacts.")
    ] = None,
    artifacts: Annotated[Path | None, typer.Option("--artifacts", help="The same, as of the other commands.")] = None,
    json_: Json = False,
) -> None:
    """List the artifacts of a store, by name.

    Examples:
        depthport list
        depthport list /data/artifacts --json
    """
    from depthport.bench.results.kept_parity import kept_parity
    from depthport.exporters.core.store import ArtifactStore

    store = store or artifacts
    kept = ArtifactStore(store)
    if store is not None and not kept.root.is_dir():
        raise UsageError(f"{store} is not a folder: name a store, as `depthport export --artifacts` made it")
    found = list(kept.artifacts())
    if json_:
        kept_here = [{"path": str(a.path), "manifest": a.manifest.to_json()} for a in found]
        print_json("list", {"store": str(kept.root), "artifacts": kept_here})
        return
    if not found:
        stderr(f"no artifact in {kept.root}: make one with `depthport export`")
        return
    rows = []
    for artifact in found:
        made = artifact.manifest
        checked = "yes" if kept_parity(artifact) else "no"
        rows.append((artifact.path.name, f"{made.size_bytes / (1 << 20):.1f}", checked, made.weights.id))
    from rich.console import Console

    from depthport.bench.cli.tables import print_table

    head = ("artifact", "MiB", "checked", "weights")
    print_table(Table(str(kept.root), head, tuple(rows), align="lrlf"), Console())


def sample(
    artifact: Annotated[Path, typer.Argument(help="A folder of `depthport export`, of format onnx.")],
    kind: Annotated[str, words.SAMPLE.option("--for", help="What is to run it", panel=MODEL)],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="A new folder. Default: sample-KIND.", rich_help_panel=OUTPUT)
    ] = None,
    json_: Json = False,
) -> None:
    """A program that runs an artifact without depthport, filled in with what the artifact takes and gives.

    Examples:
        depthport sample artifacts/da3-small-onnx-... --for python
        depthport sample artifacts/da3-small-onnx-... --for triton --out model-repository
    """
    from depthport.exporters.core.artifact import load_artifact
    from depthport.predict.sample import SAMPLES, write_sample

    found = load_artifact(artifact)
    found.verify()
    folder = out or Path(f"sample-{kind}")
    written = write_sample(found, kind, folder)
    if json_:
        print_json("sample", {"files": [str(path) for path in written]})
        return
    for path in written:
        stdout(path)
    for step in found.manifest.host_steps:
        stderr(f"left to the host, and not done in it: {step.name} ({step.description})")
    stderr(f"in {folder}: {SAMPLES[kind].run}")
