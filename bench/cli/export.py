"""`depthport export`: one artifact, described and cached."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer.core import TyperCommand

from depthport.bench.cli import complete
from depthport.bench.cli.options import (
    Batch,
    Json,
    PoseInput,
    Preprocess,
    SourceSize,
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
from depthport.exporters.core.files.atomic import check_output_folder

if TYPE_CHECKING:
    from depthport.bench.results.sections import Parity
    from depthport.exporters.core.store import Stored


class FormatOptionsHelp(TyperCommand):
    """A command whose help ends with every format's options, read only when help is asked for."""

    @property
    def epilog(self) -> str | None:
        from depthport.exporters.options_page import summary

        return summary()

    @epilog.setter
    def epilog(self, given: str | None) -> None:
        """Ignore the epilogue that typer sets, which is none."""


def export(
    model: Annotated[
        str,
        typer.Argument(
            help="da3-small, ..., da3nested-giant-large, or your YAML of upstream's form.", autocompletion=complete.models
        ),
    ],
    format: Annotated[
        str | None,
        typer.Option(
            "--format",
            "-f",
            help="As `depthport doctor` lists them. Default: the portable one.",
            autocompletion=complete.formats,
        ),
    ] = None,
    precision: Annotated[
        str, typer.Option("--precision", "-p", help="fp32, fp16, bf16, ... or auto.", autocompletion=complete.precisions)
    ] = "fp32",
    views: Views = 1,
    size: Annotated[
        str | None,
        typer.Option(
            "--size",
            "-s",
            help="HxW in pixels, multiples of 14. Default: 504x504, or what upstream makes of --source-size.",
        ),
    ] = None,
    batch: Batch = 1,
    weights: Weights = None,
    outputs: Annotated[str | None, typer.Option("--outputs", help="Comma-separated: depth,extrinsics,ray,...")] = None,
    target: Annotated[str | None, typer.Option("--target", help="sm89, iOS17, ort-cpu, ort-cuda, ...")] = None,
    dynamic: Annotated[str | None, typer.Option("--dynamic", help="Dimensions left open: views,size,batch.")] = None,
    pose_input: PoseInput = False,
    preprocess: Preprocess = False,
    source_size: SourceSize = None,
    ray_pose: Annotated[
        bool, typer.Option("--ray-pose", help="Poses fitted to the rays on the host, not the camera decoder's.")
    ] = False,
    option: Annotated[list[str] | None, typer.Option("--option", help="The format's own: name=value.")] = None,
    check: Annotated[
        bool, typer.Option("--check/--no-check", help="Run it once, where a runtime is here, against upstream fp32.")
    ] = True,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="Artifact store (default: $DEPTHPORT_ARTIFACTS or ./artifacts), or a file of your own: model.onnx.",
        ),
    ] = None,
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
    from depthport.bench.cli.artifact_view import format_and_file, main_path
    from depthport.bench.cli.progress import observer_for
    from depthport.bench.diagnose.check import Check
    from depthport.bench.diagnose.check import check as check_artifact
    from depthport.bench.results.kept_parity import kept_parity
    from depthport.exporters.api import available_exporter, check_request, export_request, prepare
    from depthport.exporters.core.store import ArtifactStore

    format, file = format_and_file(format, out)
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
    store = ArtifactStore(out if file is None else None)
    if file is not None:
        check_output_folder(file.parent)
    observer = observer_for()
    found: Check | None = None
    try:
        observer.stage(f"exporting {model} to {format}")
        stored = export_request(request, store, observer.step)
        if check and not kept_parity(stored.artifact):
            found = check_artifact(request, stored.artifact, store, observer)
        if file is not None:
            exporter.copy_to(stored.artifact, file)
    finally:
        observer.close()
    manifest, parity = stored.artifact.manifest, kept_parity(stored.artifact)
    if found is not None and found.cell and found.parity:
        parity[found.cell] = found.parity
    if json_:
        print_json(
            {
                "path": str(stored.artifact.path),
                "file": str(file or main_path(stored.artifact)),
                "origin": stored.origin,
                "manifest": {**manifest.to_json(), "parity": parity or None},
            }
        )
    else:
        _show(stored, parity, file or stored.artifact.path)
    if found is not None and found.problem is not None:
        stderr(f"{'it does not compute what upstream computes' if found.failed else 'not checked'}: {found.problem}")
        if found.failed:
            raise typer.Exit(1)


def _show(stored: Stored, parity: Mapping[str, Parity], named: Path) -> None:
    """Print what was made, its parity, and the lines that run it; the last line is its path."""
    from depthport.bench.cli.artifact_view import run_lines, show_artifact
    from depthport.bench.diagnose.check import worst_relative_l2

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
    stdout(f"{named}  {manifest.size_bytes / 1e6:.1f} MB, {how}")


def _size_for(source: tuple[int, int] | None) -> tuple[int, int]:
    """504×504, or the size (H, W) at which upstream would process photographs of size `source` (H', W')."""
    from depthport.exporters.inputs.preprocess import PROCESS_RES, final_size, upstream_steps

    if source is None:
        return PROCESS_RES, PROCESS_RES
    size = (source[1], source[0])
    width, height = final_size(size, upstream_steps(size))
    return height, width
