"""Contents and behaviour of a Core ML package, on any machine: for `depthport inspect`.

Package, operations and the Neural Engine's prediction come from the file alone. Errors by output, where fp16 leaves and
the activation ranges come from running it in the interpreter (:mod:`depthport.exporters.coreml.mil`), so they hold for the
package's mathematics on the given input, not for Apple's kernels.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from depthport.exporters.core.errors import InputError
from depthport.exporters.core.inspection import Table
from depthport.exporters.core.text import mib
from depthport.exporters.coreml.mil.ane import predict
from depthport.exporters.coreml.mil.flops import function_flops
from depthport.exporters.coreml.mil.package import Feature, Package, read_package
from depthport.exporters.coreml.mil.program import Function
from depthport.exporters.coreml.options import TARGETS
from depthport.exporters.inputs.preprocess import IMAGENET_MEAN, IMAGENET_STD
from depthport.exporters.inputs.probe import probe_image, probe_pixels

if TYPE_CHECKING:
    from depthport.exporters.coreml.mil.divergence import Divergence

MOST = 10
"""Rows of the two tables about values."""


def inspect_package(
    path: Path, function: str | None = None, arrays: Mapping[str, np.ndarray] | None = None, run: bool = True
) -> tuple[Table, ...]:
    """Tables about a package.

    Args:
        path: an `.mlpackage`, made here or elsewhere.
        function: one of its functions; None: the default one.
        arrays: `image` (B, N, 3, H, W) float32 normalised, or (B, N, H, W, 3) uint8 for a package of image inputs; None:
            the probe's image. Packages with other inputs than depthport's need their own by name.
        run: also run it in the interpreter; takes as long as the network on this CPU, twice.

    Raises:
        ArtifactError: the package is damaged.
        UnsupportedError: it holds an operation that is not interpreted here.
        InputError: arrays that do not fit.
    """
    package = read_package(path)
    body = package.function(function)
    tables = [_facts(package, path), _features(package, body), _operations(body), *_neural_engine(body)]
    if run:
        tables += _behaviour(body, _inputs(package, body, arrays))
    return tuple(tables)


def _facts(package: Package, path: Path) -> Table:
    size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    system = next((name for name, version in TARGETS.items() if version == package.specification), "older than iOS16")
    rows = [
        ("size", mib(size)),
        ("oldest system", f"{system} (specification {package.specification})"),
        ("functions", ", ".join(f"{n} (default)" if n == package.default_function else n for n in package.functions)),
        *((key, value) for key, value in package.metadata.items() if value),
    ]
    return Table("Package", ("", ""), tuple(rows))


def _features(package: Package, function: Function) -> Table:
    inputs, outputs = package.features[function.name]
    rows = [(way, *_feature(f)) for way, group in (("in", inputs), ("out", outputs)) for f in group]
    return Table(f"Inputs and outputs of {function.name}", ("", "name", "type", "meaning"), tuple(rows))


def _feature(feature: Feature) -> tuple[str, str, str]:
    shape = "×".join(map(str, feature.shape))
    return (
        feature.name,
        f"{feature.dtype}[{shape}]" if feature.kind == "array" else f"{feature.kind} {shape}",
        (feature.description),
    )


def _operations(function: Function) -> Table:
    work, types = function_flops(function), function.types()
    total = max(1, sum(work.values()))
    count: Counter[tuple[str, str]] = Counter()
    share: Counter[tuple[str, str]] = Counter()
    for operation in function.operations:
        if operation.type != "const":
            declared = types.get(operation.name)
            key = operation.type, declared.dtype if declared else "-"
            count[key] += 1
            share[key] += work[operation.name]
    order = sorted(count, key=lambda key: (-share[key], -count[key], key))
    rows = tuple((kind, dtype, str(count[kind, dtype]), f"{share[kind, dtype] / total:.2%}") for kind, dtype in order)
    return Table(f"Operations ({total / 1e9:.1f} GFLOP)", ("operation", "type", "count", "share of FLOPs"), rows)


def _neural_engine(function: Function) -> list[Table]:
    prediction = predict(function)
    families = tuple(
        (f.family, str(f.operations), str(f.blocked), f"{f.blocked_flop_share:.2%}", str(f.switches), str(f.streaming))
        for f in prediction.families
    )
    blockers = tuple(
        (f.family, b.operation, b.reason, str(b.count), f"{b.flop_share:.2%}", b.first)
        for f in prediction.families
        for b in f.blockers
    )
    head = ("chips", "operations", "refused", "share of FLOPs refused", "switches", "streaming")
    found = [Table("Neural Engine (predicted)", head, families, f"From {prediction.source}; never measured here.")]
    if blockers:
        head = ("chips", "operation", "refused because", "count", "share of FLOPs", "first")
        found.append(Table("What the Neural Engine refuses (predicted)", head, blockers))
    return found


def _behaviour(function: Function, inputs: Mapping[str, object]) -> list[Table]:
    from depthport.exporters.coreml.mil.divergence import divergence, largest_jumps
    from depthport.exporters.coreml.mil.ranges import activation_ranges, tightest

    rows = divergence(function, inputs)
    found = []
    if any(row.dtype == "fp16" for row in rows):
        jumps = tuple(
            (r.name, r.type, r.dtype, f"{r.added:.1e}", f"{r.accumulated:.1e}", f"{growth:.1e}")
            for r, growth in largest_jumps(rows, MOST)
        )
        head = ("operation", "type", "precision", "error it adds", "error by then", "growth")
        note = "RMS over the RMS of the result without rounding. The largest growth is where fp16 leaves fp32."
        found.append(Table("Where fp16 leaves", head, jumps, note))
        found.append(_outputs(function, rows))
    ranges = tuple(
        (r.name, r.type, r.dtype, f"{r.largest:.3g}", f"{r.headroom:.1f}×", f"{r.subnormal_share:.1%}")
        for r in tightest(activation_ranges(function, inputs), MOST)
    )
    head = ("operation", "type", "precision", "largest magnitude", "room below 65504", "below fp16's full precision")
    note = "A room below 1 overflows in fp16. The last column counts elements that fp16 holds with fewer bits, or as 0."
    return [*found, Table("Activation ranges", head, ranges, note)]


def _outputs(function: Function, rows: list[Divergence]) -> Table:
    by_name = {row.name: row for row in rows}
    ends = tuple((n, by_name[n].dtype, f"{by_name[n].accumulated:.1e}") for n in function.outputs if n in by_name)
    note = "RMS difference that fp16's rounding of every result makes, over the output's RMS."
    return Table("What fp16 costs by output", ("output", "type", "error"), ends, note)


def _inputs(package: Package, function: Function, arrays: Mapping[str, object] | None) -> dict[str, object]:
    """Arrays by the function's own input names."""
    inputs, _ = package.features[function.name]
    images = [feature for feature in inputs if feature.kind == "image"]
    if arrays is not None and set(arrays) == {v.name for v in function.inputs} and not images:
        return dict(arrays)
    given = None if arrays is None else np.asarray(arrays["image"])
    if images and len(images) == len(inputs):
        size = images[0].shape
        pixels = probe_pixels(1, len(images), *size) if given is None else given
        views = np.ascontiguousarray(pixels.reshape(-1, *pixels.shape[-3:]).transpose(0, 3, 1, 2)[:, None], np.float32)
        if views.shape[0] != len(images):
            raise InputError(f"{views.shape[0]} images for {len(images)} inputs: give one image per view")
        return {feature.name: view for feature, view in zip(images, views, strict=True)}
    shape = inputs[0].shape if len(inputs) == 1 else ()
    if len(shape) != 5 or shape[2] != 3:
        names = ", ".join(f.name for f in inputs)
        raise InputError(f"the package takes {names}, not a depthport scene: inspect it with --no-run")
    batch, views_, _, height, width = shape
    image = probe_image(batch, views_, height, width, IMAGENET_MEAN, IMAGENET_STD) if given is None else given
    return {inputs[0].name: image}
