"""`export(...)`: from a model's name to a finished, described, cached artifact."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from depthport.exporters.base import ExportContext, Exporter, ExportResult, Progress
from depthport.exporters.core.artifact import MANIFEST, Artifact, Manifest, Shape, WeightsInfo, artifact_key, load_artifact
from depthport.exporters.core.asked import check_keywords
from depthport.exporters.core.errors import UnavailableError, UnsupportedError, UsageError
from depthport.exporters.core.open_dims import limits_of, validate_dynamic
from depthport.exporters.core.precision import resolve_policy
from depthport.exporters.core.provenance import package_versions, peak_rss_mib
from depthport.exporters.core.source import source_digest
from depthport.exporters.core.store import ArtifactStore, Stored
from depthport.exporters.da3.build import request_network
from depthport.exporters.da3.models import ModelSpec, validate_outputs, validate_pose_input
from depthport.exporters.da3.registry import get_model
from depthport.exporters.da3.request import ExportKeywords, ExportRequest
from depthport.exporters.da3.shapes import validate_shape
from depthport.exporters.da3.signature import input_specs, output_specs, preprocessing
from depthport.exporters.da3.weights import load_state_dict, resolve_weights
from depthport.exporters.da3.weights_ref import WeightsRef
from depthport.exporters.inputs.preprocess import validate_source
from depthport.exporters.registry import get_exporter, installed_exporters

if TYPE_CHECKING:
    from torch import Tensor, nn
    from typing_extensions import Unpack


PIXEL_PACKAGES = ("opencv-python-headless",)
"""Decide what a resize inside the graph computes."""
NETWORK_PACKAGES = ("depthport", "depth-anything-3", "torch", "numpy", "einops")


def export(
    model: str,
    *,
    format: str,
    store: ArtifactStore | None = None,
    progress: Progress = lambda _: None,
    **asked: Unpack[ExportKeywords],
) -> Stored:
    """Export `model` to `format`, or find the artifact that an earlier export made from the same inputs.

    Args:
        model: a name like `da3-small`, or the path of a configuration of your own: upstream's YAML or `config.json`
            (exporters/MODELS.md).
        format: an installed exporter's name (:func:`~depthport.exporters.registry.formats`).
        store: where artifacts live; None for the default store.
        progress: called with the name of each step as it begins.
        asked: shape, weights, precision, outputs, ...: see :class:`~depthport.exporters.da3.request.ExportKeywords`.

    Raises:
        TypeError: an unknown keyword.
        UsageError: unknown name, impossible shape, weights that do not fit, or none named and the model's own checkpoint
            neither cached nor available: random weights are never taken silently (exit code 2).
        UnavailableError: the exporter's packages are not installed.
        UnsupportedError: the format can't express the request.
        ExportError: the exporter failed.
        StorageError: unwritable folder or full disk.
    """
    check_keywords(export, asked, ExportKeywords)
    available_exporter(format)
    return export_request(prepare(model, format=format, **asked), store or ArtifactStore(), progress)


def find(request: ExportRequest, store: ArtifactStore) -> Artifact | None:
    """The artifact that :func:`export_request` would find, None where it would make it. File hashes are not checked.

    Raises:
        UsageError, UnsupportedError: as :func:`export` does.
    """
    folder = store.folder(describe(request, get_exporter(request.format)))
    return load_artifact(folder) if (folder / MANIFEST).is_file() else None


def takes_minutes(request: ExportRequest) -> bool:
    """Return whether an export takes minutes where others take seconds.

    Raises:
        UsageError: an unknown format.
    """
    return get_exporter(request.format).slow or request.policy.calibrated


def prepare(model: str, *, format: str, **asked: Unpack[ExportKeywords]) -> ExportRequest:
    """Check and resolve every argument of :func:`export` without building anything; raises as it does."""
    check_keywords(prepare, asked, ExportKeywords)
    spec, weights = get_model(model), asked.get("weights")
    get_exporter(format)
    shape = Shape(asked.get("batch", 1), asked.get("views", 1), asked.get("height", 504), asked.get("width", 504))
    validate_shape(shape.batch, shape.views, shape.height, shape.width)
    opened = open_dims_of(spec, asked.get("dynamic", ()), shape)
    pose_input, ray_pose = asked.get("pose_input", False), asked.get("ray_pose", False)
    validate_pose_input(spec, pose_input)
    source_size = asked.get("source_size")
    if source_size is not None:
        validate_source(source_size, shape, opened)
    if asked.get("target") == "":
        raise UsageError("--target is empty: leave it out, or name one")
    policy = resolve_policy(asked.get("precision", "fp32"))
    outputs = validate_outputs(spec, asked.get("outputs"), ray_pose=ray_pose)
    return ExportRequest(
        model=spec,
        format=format,
        policy=policy,
        shape=shape,
        # They may have to be downloaded: all else that is asked for is looked at before.
        weights=weights if isinstance(weights, WeightsRef) else resolve_weights(weights, spec),
        outputs=outputs,
        target=asked.get("target"),
        dynamic=opened,
        pose_input=pose_input,
        preprocess=asked.get("preprocess", False) or source_size is not None,
        source_size=source_size,
        ray_pose=ray_pose,
        options=dict(asked.get("options") or {}),
    )


def check_request(request: ExportRequest) -> None:
    """Refuse what the format does not support, before anything is built.

    Raises:
        UsageError, UnsupportedError: as :func:`export` does.
    """
    describe(request, get_exporter(request.format))


def available_exporter(format: str) -> Exporter:
    """The exporter of a format.

    Raises:
        UsageError: an unknown format.
        UnavailableError: its packages are not installed.
    """
    exporter = get_exporter(format)
    reason = exporter.probe()
    if reason:
        raise UnavailableError(f"format {format!r} can't be exported here: {reason}")
    return exporter


def open_dims_of(spec: ModelSpec, dynamic: Sequence[str], shape: Shape) -> tuple[str, ...]:
    """The dimensions that an artifact of a model leaves open, checked.

    Raises:
        UsageError: an unknown dimension, or a shape outside of its limits.
        UnsupportedError: the model has none.
    """
    opened = validate_dynamic(dynamic, shape)
    if opened and spec.family != "anyview":
        raise UnsupportedError(f"{spec.name} has no open dimensions: leave out --dynamic, or choose an any-view model")
    return opened


def export_request(request: ExportRequest, store: ArtifactStore, progress: Progress = lambda _: None) -> Stored:
    """:func:`export` for a prepared request."""
    exporter = available_exporter(request.format)
    draft = describe(request, exporter)

    def build(directory: Path) -> ExportResult:
        return exporter.write(_context(request, store, progress), directory)

    return _store(draft, build, store)


def rebuild(artifact: Artifact, reason: str, here: str, progress: Progress = lambda _: None) -> Stored:
    """Rebuild an artifact of other hardware or versions beside it, or find it there.

    Args:
        reason: why, in one line.
        here: what it is built for; part of the key.

    Raises:
        UnavailableError: the exporter's packages are not installed.
        ArtifactError, ExportError, StorageError: it can't be built, as :meth:`Exporter.rebuild` says.
    """
    made = artifact.manifest
    exporter = get_exporter(made.format)
    missing = exporter.probe()
    if missing:
        raise UnavailableError(f"{reason}, and it can't be rebuilt here: {missing}")
    versions = package_versions(deciding_packages(exporter, resized="source_size" in made.preprocessing))
    source = deciding_source(exporter)
    key = artifact_key({"rebuilt": made.key, "here": here, "versions": versions, "source": source})
    extra = {**made.extra, "rebuilt_from": made.key, "rebuilt_because": reason}
    draft = replace(made, key=key, versions=versions, files=(), extra=extra)
    store = ArtifactStore(artifact.path.parent)
    return _store(draft, lambda directory: exporter.rebuild(artifact, directory, progress), store)


def _store(draft: Manifest, build: Callable[[Path], ExportResult], store: ArtifactStore) -> Stored:
    """The artifact of a manifest, built where the store does not have it."""

    def complete(directory: Path) -> Manifest:
        started = time.perf_counter()
        result = build(directory)
        return replace(
            draft,
            extra={**draft.extra, **result.extra},
            target=result.target,
            export_s=time.perf_counter() - started,
            export_peak_mib=peak_rss_mib(),
            created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        )

    return store.get_or_build(draft, complete)


def describe(request: ExportRequest, exporter: Exporter) -> Manifest:
    """The manifest of a request before it is built: everything but files, times and what the exporter adds."""
    ref = request.weights
    spec = request.model
    if request.policy.camera_token is not None and request.policy.name not in exporter.keeps_poses:
        able = " or ".join(one.format for one in installed_exporters() if request.policy.name in one.keeps_poses)
        raise UnsupportedError(f"format {request.format!r} has no precision {request.precision!r}: use format {able}")
    options = exporter.options(request)
    versions = package_versions(deciding_packages(exporter, resized=request.source_size is not None))
    draft = Manifest(
        key="",
        model=spec.name,
        weights=WeightsInfo(ref.id, ref.sha256, ref.synthetic, ref.licence),
        format=request.format,
        precision=request.policy.to_json(),
        shape=request.shape,
        inputs=input_specs(request),
        outputs=output_specs(request),
        options=options,
        versions=versions,
        dynamic=request.dynamic,
        limits=limits_of(request.dynamic),
        preprocessing=preprocessing(request),
        host_steps=request.host_steps,
        model_config=spec.config,
    )
    # What is stored says whose weights they are and under which licence: the same bytes from elsewhere are another.
    deciding = {
        **draft.to_json(),
        # Recorded, but what is written does not depend on it.
        "versions": {name: version for name, version in versions.items() if name != "python"},
        "source": deciding_source(exporter),
    }
    return replace(draft, key=artifact_key(deciding))


def deciding_packages(exporter: Exporter, *, resized: bool = False) -> tuple[str, ...]:
    """Distributions whose versions decide what `exporter` writes; `resized`: the graph takes photographs."""
    return (*NETWORK_PACKAGES, *(PIXEL_PACKAGES if resized else ()), *exporter.packages)


def deciding_source(exporter: Exporter) -> str:
    """Digest of the source that decides what `exporter` writes: its own, this module's, and what they import."""
    return source_digest(type(exporter).__module__, __name__)


def _context(request: ExportRequest, store: ArtifactStore, progress: Progress) -> ExportContext:
    @lru_cache(maxsize=1)
    def state_dict() -> dict[str, Tensor]:
        progress("loading weights")
        return load_state_dict(request.weights, request.model)

    @lru_cache(maxsize=1)
    def network() -> nn.Module:
        from depthport.exporters.da3.upstream import build_upstream

        upstream = build_upstream(request.model, state_dict())
        progress("building the network")
        return request_network(upstream, request)

    def dependency(format: str, **changes: Any) -> Artifact:
        return export_request(replace(request, format=format, **changes), store, progress).artifact

    return ExportContext(request, network, state_dict, dependency, progress)
