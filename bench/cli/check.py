"""`depthport check`: what a precision does to a model, layer by layer, before anything is deployed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from depthport.bench.cli import words
from depthport.bench.cli.command import EXPERT, INPUTS, MEASURED, MODEL
from depthport.bench.cli.options import Batch, Json, ModelName, Size, Store, Views, Weights, parse_shape, print_json

if TYPE_CHECKING:
    from depthport.bench.diagnose.precision_check import Findings
    from depthport.exporters.precision_check.layers import Comparison

_SHOWN = 8


def check(
    model: ModelName,
    precision: Annotated[
        str, words.PRECISION.option("--precision", "-p", help="The precision to check", panel=MODEL)
    ] = "fp16",
    format: Annotated[
        str, words.ENGINE.option("--format", "-f", help="Whose parser reads the network", panel=MODEL)
    ] = "tensorrt-rtx",
    target: Annotated[str | None, typer.Option("--target", help="GPUs: sm86,sm89,...", rich_help_panel=MODEL)] = None,
    views: Views = 1,
    size: Size = "504x504",
    batch: Batch = 1,
    weights: Weights = None,
    images: Annotated[
        str | None,
        typer.Option(
            "--calibration", help="Photographs to run: a folder or a file. Default: shipped ones.", rich_help_panel=INPUTS
        ),
    ] = None,
    debug_layers: Annotated[
        bool,
        typer.Option(
            "--debug-layers",
            help="Compare every layer with fp32; print the first that leaves tolerance.",
            rich_help_panel=MEASURED,
        ),
    ] = False,
    tolerance: Annotated[
        float | None,
        typer.Option(
            "--tolerance", help="Largest relative error of a layer. Default: the precision's.", rich_help_panel=EXPERT
        ),
    ] = None,
    artifacts: Store = None,
    json_: Json = False,
) -> None:
    """Check a precision: the network TensorRT parses, fp16 ranges, and errors layer by layer.

    Examples:
        depthport check da3-small --precision fp16 --weights synthetic:0,outliers
        depthport check da3-large --precision bf16 --views 5 --debug-layers
    """
    height, width = parse_shape(size, batch, views)
    from depthport.bench.cli.progress import observer_for
    from depthport.bench.diagnose.precision_check import run
    from depthport.exporters.core.artifact import Shape
    from depthport.exporters.core.store import ArtifactStore

    store = ArtifactStore(artifacts)
    observer = observer_for()
    try:
        found = run(
            model, precision, Shape(batch, views, height, width), weights, format, target, images, debug_layers, tolerance,
            store, observer.step,
        )  # fmt: skip
    finally:
        observer.close()
    if json_:
        print_json("check", found.to_json())
    else:
        for line in lines(found):
            typer.echo(line)
    if not found.passed:
        raise typer.Exit(1)


def lines(found: Findings) -> list[str]:
    """The findings as people read them."""
    text: list[str] = []
    if found.network is None:
        text.append(f"parsed network: not checked: {found.network_reason}")
    else:
        attention = ", ".join(f"{count} × {name}" for name, count in found.network.attention.items())
        text.append(f"parsed network: types match the policy ({found.network.checked} tensors); {attention}")
        text += [f"  {note}" for note in found.network.notes[:_SHOWN]]
    if found.ranges is not None:
        ranges = found.ranges
        top = ranges.largest
        most = f"largest {top.largest:.4g} at {top.scope} ({top.operator})" if top else "none stored in fp16"
        text.append(f"fp16 ranges: {len(ranges.hot)} of {ranges.checked} activations over {65504 / 4:.0f}; {most}")
        text += [f"  {hot.largest:.4g} at {hot.scope} ({hot.operator})" for hot in ranges.hot[:_SHOWN]]
        if ranges.hot:
            text.append(f"  keep {' and '.join(sorted(ranges.parts))} out of fp16: --precision {ranges.proposal}")
    if found.layers is not None:
        text += _layers(found.layers)
    if not found.checked:
        text.append("nothing was checked: install TensorRT, or compare layer by layer with --debug-layers")
    return text


def _layers(comparison: Comparison) -> list[str]:
    first = comparison.first
    worst = max(comparison.layers, key=lambda layer: layer.relative, default=None)
    head = f"layers ({comparison.executed}): {len(comparison.layers)} compared, tolerance {comparison.tolerance:g}"
    if first is None:
        most = f"; largest error {worst.relative:.2g} at {worst.scope} ({worst.operator})" if worst else ""
        return [f"{head}: all within{most}"]
    index = comparison.layers.index(first)
    shown = comparison.layers[max(0, index - 3) : index + 1]
    rows = [f"  {layer.relative:9.3g}  {layer.scope} ({layer.operator}, {layer.name})" for layer in shown]
    return [f"{head}: {first.scope} ({first.operator}) is the first to exceed it", *rows]
