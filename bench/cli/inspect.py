"""`depthport inspect`: what an artifact holds and how it behaves, without the device it is for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer

from depthport.bench.cli.options import Images, Json, print_json

if TYPE_CHECKING:
    from depthport.exporters.core.artifact import Artifact
    from depthport.exporters.core.inspection import Table


def inspect(
    path: Annotated[Path, typer.Argument(help="An artifact's folder, or a package (.mlpackage) of any origin.")],
    images: Images = None,
    run: Annotated[bool, typer.Option("--run/--no-run", help="Also what needs the network to be run (on a CPU).")] = True,
    json_: Json = False,
) -> None:
    """What an artifact holds: manifest, and what its format can tell.

    Core ML packages: operations, what the Neural Engine is predicted to refuse and why, at which operation fp16 leaves
    fp32, and how near activations come to fp16's limits. Needs no Mac.

    Examples:

        depthport inspect artifacts/da3-small-coreml-fp16-1x1x504x504-0123456789ab

        depthport inspect Model.mlpackage --no-run
    """
    found, tables = _inspect(path, images, run)
    if json_:
        print_json({"manifest": found.manifest.to_json() if found else None, "tables": [t.to_json() for t in tables]})
        return
    from rich.console import Console

    from depthport.bench.cli.tables import print_table

    console = Console()
    for table in tables:
        print_table(table, console)
        console.print()


def _inspect(path: Path, images: list[Path] | None, run: bool) -> tuple[Artifact | None, tuple[Table, ...]]:
    from depthport.exporters.core.artifact import load_artifact
    from depthport.exporters.core.errors import UsageError
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
        return artifact, (replace(_manifest(artifact), note=note),)
    return artifact, (_manifest(artifact), *exporter.inspect(artifact, arrays, run))


def _arrays(artifact: Artifact, images: list[Path]) -> dict[str, np.ndarray]:
    from depthport.bench.inputs.inputs import load_scenes

    manifest = artifact.manifest
    preprocess = manifest.preprocessing.get("where") == "graph"
    return load_scenes(manifest.shape, sets=1, images=images)[0].arrays(preprocess=preprocess)


def _manifest(artifact: Artifact) -> Table:
    from depthport.exporters.core.inspection import Table

    m = artifact.manifest
    weights = f"{m.weights.id} (synthetic: depth means nothing)" if m.weights.synthetic else m.weights.id
    made = "" if m.export_s is None else f"in {m.export_s:.1f} s"
    if m.export_peak_mib is not None:
        made += f", {m.export_peak_mib:.0f} MiB at most"
    rows = (
        ("model", m.model),
        ("weights", f"{weights}, {m.weights.licence}"),
        ("shape", f"{m.shape} (B×N×H×W)"),
        ("format", f"{m.format}, {m.precision['name']}"),
        ("options", ", ".join(f"{k}={v}" for k, v in m.options.items() if v not in (None, [], False)) or "none"),
        ("size", f"{m.size_bytes / 1e6:.1f} MB in {len(m.files)} files, every hash as it was written"),
        ("made", f"{m.created} {made}".strip()),
        ("by", ", ".join(f"{name} {version}" for name, version in m.versions.items())),
    )
    return Table("Artifact", ("", ""), rows)
