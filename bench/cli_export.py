"""`depthport export`: one artifact, described and cached."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.cli_options import (
    Batch,
    Json,
    Size,
    Views,
    Weights,
    names,
    parse_options,
    parse_size,
    print_json,
    stderr,
)


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
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Artifact store. Default: $DEPTHPORT_ARTIFACTS or ./artifacts.")
    ] = None,
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
            outputs=names(outputs),
            target=target,
            dynamic=names(dynamic) or (),
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
        print_json({"path": str(stored.artifact.path), "origin": stored.origin, "manifest": manifest.to_json()})
        return
    if stored.damage:
        stderr(f"rebuilt: {stored.damage}")
    if manifest.weights.synthetic:
        stderr(f"weights are synthetic ({manifest.weights.id}): the depth means nothing, speed and parity do")
    for warning in manifest.extra.get("warnings", ()):
        stderr(f"warning: {warning}")
    how = {"built": f"in {manifest.export_s:.1f} s", "rebuilt": f"in {manifest.export_s:.1f} s", "cached": "cached"}
    typer.echo(f"{stored.artifact.path}  {manifest.size_bytes / 1e6:.1f} MB, {how[stored.origin]}")
