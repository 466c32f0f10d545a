"""`depthport export`: one artifact, described and cached."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from depthport.bench.cli import words
from depthport.bench.cli.command import EXPERT, INPUTS, MODEL, OUTPUT, Command
from depthport.bench.cli.options import (
    Batch,
    Json,
    ModelName,
    PoseInput,
    Preprocess,
    SourceSize,
    Store,
    Views,
    Weights,
    names,
    parse_options,
    parse_shape,
    parse_size,
    print_json,
    stderr,
    stdout,
)

if TYPE_CHECKING:
    from depthport.bench.diagnose.check import Check
    from depthport.bench.results.sections import Parity
    from depthport.exporters.core.store import Stored


class ExportCommand(Command):
    """Its help ends with every format's own options, which are read when it is asked for."""

    def more_help(self) -> list[str]:
        from depthport.exporters.options_page import summary

        return [summary()]


def export(
    model: ModelName,
    format: Annotated[
        str | None, words.FORMAT.option("--format", "-f", help="Default: the portable one, or what --out is", panel=MODEL)
    ] = None,
    precision: Annotated[
        str, words.PRECISION.option("--precision", "-p", help="Of weights and activations", panel=MODEL)
    ] = "fp32",
    views: Views = 1,
    size: Annotated[
        str | None,
        typer.Option(
            "--size",
            "-s",
            help="HxW in pixels, multiples of 14. Default: 504x504, or what upstream makes of --source-size.",
            rich_help_panel=INPUTS,
        ),
    ] = None,
    batch: Batch = 1,
    weights: Weights = None,
    outputs: Annotated[
        str | None, typer.Option("--outputs", help="Comma-separated: depth,extrinsics,ray,...", rich_help_panel=MODEL)
    ] = None,
    target: Annotated[
        str | None,
        words.TARGET.option("--target", help="What it is for, as the format has them; GPUs are sm86,sm89", panel=MODEL),
    ] = None,
    dynamic: Annotated[
        str | None, typer.Option("--dynamic", help="Dimensions left open: views,size,batch.", rich_help_panel=INPUTS)
    ] = None,
    pose_input: PoseInput = False,
    preprocess: Preprocess = False,
    source_size: SourceSize = None,
    ray_pose: Annotated[
        bool,
        typer.Option(
            "--ray-pose", help="Poses fitted to the rays on the host, not the camera decoder's.", rich_help_panel=MODEL
        ),
    ] = False,
    option: Annotated[
        list[str] | None, typer.Option("--option", help="The format's own: name=value.", rich_help_panel=EXPERT)
    ] = None,
    check: Annotated[
        bool,
        typer.Option(
            "--check/--no-check",
            help="Run it once against upstream fp32; exit code 1 where it differs or nothing here runs it.",
            rich_help_panel=OUTPUT,
        ),
    ] = True,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="A file (model.onnx) or a folder of your own for a copy of what is exported.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    artifacts: Store = None,
    json_: Json = False,
) -> None:
    """Export one artifact, or find it if it was exported before.

    Examples:
        depthport export da3-small --format onnx
        depthport export da3-small --out model.onnx
        depthport export da3-large --format onnx --precision fp16 --views 5 --size 504x504
        depthport export da3-base --views 2 --pose-input
        depthport export da3-small --dynamic views,size,batch --target ort-cpu
        depthport export da3-small --source-size 1080x1920
        depthport export my-model/config.json --outputs depth,extrinsics,intrinsics --ray-pose
    """
    source = parse_size(source_size, "--source-size") if source_size is not None else None
    if size is not None:
        parse_shape(size, batch, views)
    from depthport.bench.cli.artifact_view import check_place, copy_to, format_of, main_path
    from depthport.bench.cli.progress import observer_for
    from depthport.bench.diagnose.check import check as check_artifact
    from depthport.bench.results.kept_parity import kept_parity
    from depthport.exporters.api import available_exporter, check_request, export_request, prepare
    from depthport.exporters.core.store import ArtifactStore

    format = format_of(format, out)
    exporter = available_exporter(format)
    height, width = parse_size(size) if size is not None else _size_for(source)
    request = prepare(
        model,
        format=format,
        precision=precision,
        batch=batch,
        views=views,
        height=height,
        width=width,
        weights=weights,
        outputs=names(outputs, "--outputs"),
        target=target,
        dynamic=names(dynamic, "--dynamic") or (),
        pose_input=pose_input,
        preprocess=preprocess,
        source_size=source,
        ray_pose=ray_pose,
        options=parse_options(option or []),
    )
    check_request(request)
    store = ArtifactStore(artifacts)
    if out is not None:
        check_place(exporter, out)
    observer = observer_for()
    found: Check | None = None
    copied: Path | None = None
    try:
        observer.stage(f"exporting {model} to {format}")
        stored = export_request(request, store, observer.step)
        if check and not kept_parity(stored.artifact):
            found = check_artifact(request, stored.artifact, store, observer)
        if out is not None and not (found is not None and found.failed):
            copied = copy_to(stored.artifact, exporter, out)
    finally:
        observer.close()
    manifest, parity = stored.artifact.manifest, kept_parity(stored.artifact)
    if found is not None and found.cell and found.parity:
        parity[found.cell] = found.parity
    if json_:
        print_json(
            "export",
            {
                "path": str(stored.artifact.path),
                "file": str(copied or main_path(stored.artifact)),
                "origin": stored.origin,
                "manifest": {**manifest.to_json(), "parity": parity or None},
                "check": _checked(found, parity),
                "problem": None if found is None else found.problem,
            },
        )
    else:
        _show(stored, parity, copied or stored.artifact.path)
    if found is not None and found.problem is not None:
        if found.failed:
            stderr(f"it does not compute what upstream computes: {found.problem}")
        else:
            stderr(f"not checked ({found.problem}): --no-check exports without")
        raise typer.Exit(1)


def _checked(found: Check | None, parity: Mapping[str, Parity]) -> str:
    """Return the check's outcome in a word: one that was found kept beside the artifact had passed."""
    if found is None:
        return "passed" if parity else "not asked"
    return "failed" if found.failed else "not run" if found.problem is not None else "passed"


def _show(stored: Stored, parity: Mapping[str, Parity], named: Path) -> None:
    """Print what was made, its parity, and the lines that run it; the last line is its path."""
    from depthport.bench.cli.artifact_view import run_lines, show_artifact
    from depthport.bench.diagnose.check import worst_relative_l2
    from depthport.exporters.core.text import mib

    manifest = stored.artifact.manifest
    show_artifact(stored.artifact)
    if stored.damage:
        stderr(f"rebuilt: {stored.damage}")
    for cell, measured in parity.items():
        stderr(f"on {cell} it matches upstream's fp32 to {worst_relative_l2(measured)[1]:.1e} (relative L2, worst output)")
    if "verified" in manifest.extra:
        stderr(str(manifest.extra["verified"]))
    for warning in manifest.extra.get("warnings", ()):
        stderr(f"warning: {warning}")
    for line in run_lines(stored.artifact):
        stdout(line)
    how = "cached" if stored.origin == "cached" else f"in {manifest.export_s:.1f} s"
    stdout(f"{named}  {mib(manifest.size_bytes)}, {how}")


def _size_for(source: tuple[int, int] | None) -> tuple[int, int]:
    """504×504, or the size (H, W) at which upstream would process photographs of size `source` (H', W')."""
    from depthport.exporters.inputs.preprocess import PROCESS_RES, final_size, upstream_steps

    if source is None:
        return PROCESS_RES, PROCESS_RES
    size = (source[1], source[0])
    width, height = final_size(size, upstream_steps(size))
    return height, width
