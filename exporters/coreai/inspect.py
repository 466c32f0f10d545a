"""Contents and behaviour of a Core AI asset, on any machine: for `depthport inspect`.

Asset, inputs, outputs and operations come from the file alone. Whether it is still what the network converts to, and at
which operation it leaves the network, takes the network again: it is built from the manifest.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from depthport.exporters.core import install
from depthport.exporters.core.artifact import Artifact, Manifest
from depthport.exporters.core.errors import ArtifactError, UnavailableError, UsageError, one_line
from depthport.exporters.core.inspection import Table
from depthport.exporters.core.precision import resolve_policy
from depthport.exporters.core.text import mib
from depthport.exporters.coreai.convert import capture, convert
from depthport.exporters.coreai.divergence import first_diverging, graph_difference, steps, summary
from depthport.exporters.coreai.network import examples, with_pixels
from depthport.exporters.coreai.options import TARGETS, small_shape
from depthport.exporters.coreai.verify import probe_inputs
from depthport.exporters.da3.build import request_network
from depthport.exporters.da3.registry import get_model
from depthport.exporters.da3.request import ExportRequest
from depthport.exporters.da3.signature import input_specs
from depthport.exporters.da3.weights import load_state_dict, resolve_weights

if TYPE_CHECKING:
    from coreai.authoring import AIProgram
    from coreai.runtime import AIModelAssetMetadata, AIModelAssetSummary
    from torch.export import ExportedProgram

INSTALL = str(install.COREAI)
MOST = 10
"""Rows of the table about values."""


def inspect_asset(
    artifact: Artifact, arrays: Mapping[str, np.ndarray] | None = None, run: bool = True
) -> tuple[Table, ...]:
    """Tables about an artifact; arguments and errors as :meth:`depthport.exporters.base.Exporter.inspect` has them.

    With `run` the network is converted again and both are executed operation by operation: at the smallest shape on the
    probe's images, or on `arrays` at the artifact's own.
    """
    path = artifact.path / str(artifact.manifest.extra["asset"])
    tables = list(inspect_path(path))
    if not run:
        return tuple(tables)
    try:
        request = request_of(artifact.manifest)
        return (*tables, *_against_network(path, request, arrays))
    except (UsageError, UnavailableError) as error:
        said = Table("Against the network", ("",), ((f"not compared: {one_line(error)}",),))
        return (*tables, said)


def inspect_path(path: Path) -> tuple[Table, ...]:
    """Tables about an `.aimodel` of any origin.

    Raises:
        ArtifactError: it is damaged.
        UnavailableError: coreai-core is not installed.
    """
    try:
        from coreai.authoring import AIModelAsset
    except ImportError as error:
        raise UnavailableError(f"coreai-core does not import ({one_line(error)}): {INSTALL}") from error
    if not AIModelAsset.is_valid(path):
        raise ArtifactError(f"{path.name} is not a Core AI asset: give the folder that ends in .aimodel")
    try:
        asset = AIModelAsset.load(path)
        found = asset.summary(include_statistics=True)
    except (RuntimeError, ValueError, OSError) as error:
        raise ArtifactError(f"{path.name} can't be read: {one_line(error)}") from error
    # A truncated program is read as one without functions.
    if found is None or not found.function_names:
        raise ArtifactError(f"{path.name} holds no function: it is damaged, export it again")
    return (_facts(path, asset.metadata, found), *(_features(name, found) for name in found.function_names), _types(found),
            _operations(found))  # fmt: skip


def request_of(manifest: Manifest) -> ExportRequest:
    """The request that an artifact was made from.

    Raises:
        UsageError: its weights or its model are not here.
    """
    model = get_model(manifest.model)
    weights = resolve_weights(manifest.weights.id, model)
    if weights.sha256 != manifest.weights.sha256:
        raise UsageError(f"weights {manifest.weights.id} are not the ones the artifact was made from: restore those")
    names = {spec.name for spec in manifest.inputs}
    return ExportRequest(
        model=model,
        format=manifest.format,
        policy=resolve_policy(str(manifest.precision["name"])),
        shape=manifest.shape,
        weights=weights,
        outputs=tuple(spec.name for spec in manifest.outputs),
        pose_input="extrinsics" in names,
        preprocess=manifest.preprocessing.get("where") == "graph",
        source_size=manifest.preprocessing.get("source_size"),
    )


def _facts(path: Path, metadata: AIModelAssetMetadata, summary: AIModelAssetSummary) -> Table:
    size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    version = str(summary._compatibility_version or "?")
    systems = " and ".join(name for name, known in TARGETS.items() if version.startswith(known.removeprefix("v")))
    # 1.0.0b3's stubs call it `custom_metadata`.
    own = getattr(metadata, "creator_defined_metadata", None) or getattr(metadata, "custom_metadata", {})
    rows = [
        ("size", mib(size)),
        ("oldest system", systems or version),
        ("functions", ", ".join(summary.function_names)),
        ("producer", str(metadata._producer)),
        ("description", metadata.model_description),
        ("author", metadata.author),
        ("licence", metadata.license),
        *((key, _text(value)) for key, value in sorted(own.items())),
    ]
    return Table("Asset", ("", ""), tuple((key, value) for key, value in rows if value))


def _text(value: object) -> str:
    """A custom value; its own order of keys changes from call to call."""
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)


def _features(function: str, summary: AIModelAssetSummary) -> Table:
    groups = (("in", summary.function_inputs(function)), ("out", summary.function_outputs(function)))
    rows = tuple((way, name, kind) for way, group in groups for name, kind in group)
    return Table(f"Inputs and outputs of {function}", ("", "name", "type"), rows)


def _types(summary: AIModelAssetSummary) -> Table:
    stored = summary.storage_types
    total = max(1, sum(count for _, count in stored))
    rows = tuple((name, str(count), f"{count / total:.2%}") for name, count in sorted(stored, key=lambda row: -row[1]))
    note = f"Computes in {', '.join(summary.compute_types)}."
    return Table("Constants by type", ("type", "elements", "share"), rows, note)


def _operations(summary: AIModelAssetSummary) -> Table:
    order = sorted(summary.operation_distribution, key=lambda row: (-row[1], row[0]))
    return Table("Operations", ("operation", "count"), tuple((name, str(count)) for name, count in order))


def _against_network(path: Path, request: ExportRequest, arrays: Mapping[str, np.ndarray] | None) -> Iterable[Table]:
    _, program = _converted(request)
    graph = graph_difference(path, program)
    del program
    rows = (
        ("operations", str(graph.operations)),
        ("same graph", "yes" if graph.same else "no"),
        ("changed", ", ".join(graph.modified) or "none"),
        ("only in the asset", ", ".join(graph.extra) or "none"),
        ("only in the network", ", ".join(graph.missing) or "none"),
    )
    note = "The asset's graph against the network converted again; values of constants are not compared."
    yield Table("Graph difference", ("", ""), rows, note)
    if arrays is None:
        request = replace(request, shape=small_shape(request.shape), source_size=None)
        inputs = probe_inputs(request)
    else:
        inputs = {spec.native_name: arrays[spec.name] for spec in input_specs(request)}
    source, traced = _converted(request)
    found = steps(source, traced, inputs)
    # One rounding to fp16 is 5e-4, and a sum of hundreds of them some multiple.
    floor = 1e-4 if request.policy.backbone == "float32" else 2e-2
    first = first_diverging(found, floor=floor)
    counts = ", ".join(f"{count} {what}" for what, count in summary(found).items())
    note = f"At {request.shape}: {counts}. First diverging operation: {first.name if first else 'none'}."
    worst = sorted((s for s in found if s.relative is not None), key=lambda s: -(s.relative or 0.0))[:MOST]
    table = tuple((s.name, s.operator, s.path, f"{s.relative:.1e}") for s in worst)
    yield Table("Intermediates against PyTorch, worst first", ("node", "operator", "module", "relative L2"), table, note)


def _converted(request: ExportRequest) -> tuple[ExportedProgram, AIProgram]:
    """Torch's graph of the request's network, and the Core AI program made from it."""
    from depthport.exporters.da3.upstream import build_upstream

    upstream = build_upstream(request.model, load_state_dict(request.weights, request.model))
    source = capture(with_pixels(request, request_network(upstream, request)), examples(request))
    names = [spec.native_name for spec in input_specs(request)]
    program, _ = convert(source, names, request.outputs, traces=True)
    return source, program
