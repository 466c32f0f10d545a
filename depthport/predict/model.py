"""`model = depthport.load(...)`; `prediction = model(["a.jpg", "b.jpg"])`: an artifact or a name, ready for photographs."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from depthport.exporters.api import export_request, prepare
from depthport.exporters.core.artifact import MANIFEST, Artifact, Shape, TensorSpec, load_artifact
from depthport.exporters.core.errors import InputError, UnavailableError, UnsupportedError, UsageError, WeightsError
from depthport.exporters.core.store import ArtifactStore
from depthport.exporters.da3.models import MODELS
from depthport.exporters.da3.request import ExportRequest
from depthport.exporters.da3.shapes import validate_shape
from depthport.exporters.inputs.poses import align_to_input, normalise_extrinsics
from depthport.exporters.inputs.preprocess import (
    PROCESS_RES,
    Steps,
    apply_to_intrinsics,
    apply_to_rgb,
    exact_steps,
    final_size,
    normalise,
    scene_steps,
)
from depthport.exporters.registry import default_format
from depthport.predict.photographs import FRAMES, Photograph, Source, load_photographs
from depthport.predict.prediction import Prediction
from depthport.runtimes.base import Device, LoadOptions, Runtime, Session
from depthport.runtimes.registry import get_runtime, runtimes

Progress = Callable[[str], None]
_METRIC = frozenset({"metric", "nested"})
"""Families whose depth is in metres."""


@dataclass(frozen=True)
class Place:
    """What runs it, and where."""

    runtime: Runtime
    device: Device
    mode: str | None = None
    threads: int | None = None


def load(
    source: str | Path,
    *,
    runtime: str | None = None,
    device: str | None = None,
    mode: str | None = None,
    precision: str = "fp32",
    format: str | None = None,
    target: str | None = None,
    weights: str | None = None,
    threads: int | None = None,
    store: ArtifactStore | None = None,
    progress: Progress = lambda step: None,
) -> Model:
    """A model that takes photographs.

    Args:
        source: the folder of an artifact, or a model's name (or configuration): then artifacts are exported, or found in
            the store, for the photographs that come.
        runtime, device, mode: what runs it; None: the first installed runtime of the format that has a device here, an
            accelerator before the CPU.
        precision, format, target, weights: of what is exported, where `source` names a model.
        threads: on the CPU; None: what the control group allows.
        store: where artifacts live; None for the default store.
        progress: called with the name of each step as it begins.

    Raises:
        UsageError: no artifact and no model of that name, or a runtime or device that is not one.
        WeightsError: the model's checkpoint can't be had and no weights were named: random ones are never taken silently.
        UnavailableError: nothing here runs that format.
        ArtifactError: the artifact is damaged.
    """
    path = Path(source).expanduser()
    if (path / MANIFEST).is_file():
        artifact = load_artifact(path)
        place = _place(artifact.manifest.format, runtime, device, mode, threads)
        return Model(lambda shape: artifact, place, artifact.manifest.shape, progress)
    if path.is_dir() and not (path / "config.json").is_file():
        raise UsageError(
            f"{source} is not an artifact: it has no {MANIFEST}; name what `depthport export` made, or a model"
        )
    chosen = get_runtime(runtime) if runtime is not None else None
    place = _place(format or (chosen.formats[0] if chosen else default_format()), runtime, device, mode, threads)
    wanted = target or place.runtime.default_target(place.device.name, precision)
    kept = store or ArtifactStore()

    def request(shape: Shape) -> ExportRequest:
        made = prepare(
            str(source), format=format or place.runtime.formats[0], precision=precision, target=wanted, weights=weights,
            batch=1, views=shape.views, height=shape.height, width=shape.width,
        )  # fmt: skip
        if made.weights.synthetic and weights is None:
            raise WeightsError(
                f"the checkpoint of {made.model.name} can't be had here: connect once, name it with --weights (a file, "
                "folder or hub id), or say --weights synthetic:0 for random weights, whose depth means nothing"
            )
        return made

    request(Shape(1, 1, 14, 14))  # the model, its weights and the target are looked at before any photograph

    def artifact_for(shape: Shape) -> Artifact:
        return export_request(request(shape), kept, progress).artifact

    return Model(artifact_for, place, None, progress)


class Model:
    """Takes the photographs of a scene, gives a :class:`~depthport.predict.prediction.Prediction`. A context manager."""

    def __init__(
        self, artifact_for: Callable[[Shape], Artifact], place: Place, shape: Shape | None, progress: Progress
    ) -> None:
        self.place = place
        self._artifact_for = artifact_for
        self._fixed = shape
        self._progress = progress
        self._session: Session | None = None
        self._shape: Shape | None = None

    def __call__(
        self,
        photographs: Sequence[Source],
        *,
        extrinsics: np.ndarray | None = None,
        intrinsics: np.ndarray | None = None,
        oriented: bool = True,
        frames: int = FRAMES,
        process_res: int = PROCESS_RES,
    ) -> Prediction:
        """Depth and cameras of one scene.

        Args:
            photographs: its N views: files, folders, videos, Pillow images or arrays (H, W, 3) uint8 RGB, of any sizes.
            extrinsics: (N, 4, 4) world to camera, known cameras, of artifacts that take them (`--pose-input`).
            intrinsics: (N, 3, 3) in pixels of the photographs.
            oriented: turn photographs as their EXIF orientation says; False is upstream's behaviour.
            frames: how many of each video.
            process_res: longest side at which the network sees them, where the size is open (upstream's default: 504).

        Raises:
            InputError: no photographs, another number than the artifact's views, a damaged file, bad cameras.
            RunError: the runtime failed.
        """
        views = load_photographs(photographs, oriented=oriented, frames=frames)
        return self.predict(views, extrinsics=extrinsics, intrinsics=intrinsics, process_res=process_res)

    def predict(
        self,
        views: Sequence[Photograph],
        *,
        extrinsics: np.ndarray | None = None,
        intrinsics: np.ndarray | None = None,
        process_res: int = PROCESS_RES,
    ) -> Prediction:
        """The same for photographs that are decoded already; see :meth:`__call__`."""
        steps = self._steps(views, process_res)
        width, height = final_size(views[0].size, steps[0])
        session = self._ready(Shape(1, len(views), height, width))
        manifest = session.artifact.manifest
        started = time.perf_counter()
        rgb = np.stack([apply_to_rgb(view.rgb, own) for view, own in zip(views, steps, strict=True)])[None]
        takes = {spec.name: spec for spec in manifest.inputs}
        inputs: dict[str, np.ndarray] = {"image": rgb if takes["image"].dtype == "uint8" else normalise(rgb)}
        cameras = self._cameras(takes, extrinsics, intrinsics, steps)
        if cameras is not None:
            inputs["extrinsics"], inputs["intrinsics"] = normalise_extrinsics(cameras[0])[None], cameras[1][None]
        session.bind(inputs)
        session.run()
        session.synchronize()
        outputs = {name: array[0] for name, array in session.outputs().items()}
        found = Prediction(
            depth=outputs.get("metric_depth", outputs["depth"]),
            is_metric=int(_family(session.artifact) in _METRIC),
            sky=outputs.get("sky"),
            conf=outputs.get("depth_conf"),
            extrinsics=outputs.get("extrinsics"),
            intrinsics=outputs.get("intrinsics"),
            processed_images=rgb[0],
            names=tuple(view.name for view in views),
            sizes=tuple(view.size for view in views),
            steps=tuple(steps),
            seconds=time.perf_counter() - started,
            synthetic=manifest.weights.synthetic,
            placement={"runtime": self.place.runtime.name, "device": self.place.device.name, "mode": session.options.mode},
        )
        if cameras is None or found.extrinsics is None:
            return found
        aligned = align_to_input(found.depth, found.extrinsics, cameras[0], cameras[1])
        return replace(found, depth=aligned.depth, extrinsics=aligned.extrinsics, intrinsics=aligned.intrinsics)

    def close(self) -> None:
        """Free everything; a second call does nothing."""
        if self._session is not None:
            self._session.close()
            self._session = self._shape = None

    def __enter__(self) -> Model:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _steps(self, views: Sequence[Photograph], process_res: int) -> list[Steps]:
        sizes = [view.size for view in views]
        if self._fixed is None:
            return scene_steps(sizes, process_res)
        manifest = self._artifact_for(self._fixed).manifest
        if self._fixed.batch != 1:
            raise UnsupportedError(f"the artifact takes {self._fixed.batch} scenes in one call: export one with --batch 1")
        if len(views) != self._fixed.views and "views" not in manifest.dynamic:
            raise InputError(
                f"{len(views)} photographs for an artifact of {self._fixed.views} views: give {self._fixed.views}, or "
                f"export with --views {len(views)} or --dynamic views"
            )
        if "size" in manifest.dynamic:
            return scene_steps(sizes, process_res)
        image = next(spec for spec in manifest.inputs if spec.name == "image")
        height, width = image.shape[2:4] if image.dtype == "uint8" else image.shape[3:5]
        return [exact_steps(size, int(height), int(width)) for size in sizes]

    def _ready(self, shape: Shape) -> Session:
        """A session for a shape; the one before stays where it is the same."""
        if self._session is None or (self._fixed is None and self._shape != shape):
            self.close()
            validate_shape(shape.batch, shape.views, shape.height, shape.width)
            artifact = self._artifact_for(self._fixed or shape)
            self._progress(f"loading into {self.place.runtime.name} on {self.place.device.name}")
            options = LoadOptions(mode=self.place.mode, threads=self.place.threads)
            self._session = self.place.runtime.load(artifact, self.place.device.name, options)
            self._shape = shape
        return self._session

    def _cameras(
        self,
        takes: Mapping[str, TensorSpec],
        extrinsics: np.ndarray | None,
        intrinsics: np.ndarray | None,
        steps: Sequence[Steps],
    ) -> tuple[np.ndarray, NDArray[np.float32]] | None:
        given = extrinsics is not None and intrinsics is not None
        if (extrinsics is None) != (intrinsics is None):
            raise InputError("extrinsics and intrinsics belong together: give both or none")
        if given != ("extrinsics" in takes):
            raise InputError(
                "this artifact takes known cameras: give extrinsics and intrinsics"
                if not given
                else "this artifact takes no cameras: leave them out, or export it with --pose-input"
            )
        if extrinsics is None or intrinsics is None:
            return None
        adjusted = [apply_to_intrinsics(k, own) for k, own in zip(np.asarray(intrinsics), steps, strict=True)]
        return np.asarray(extrinsics), np.stack(adjusted).astype(np.float32)


def _family(artifact: Artifact) -> str:
    known = MODELS.get(artifact.manifest.model)
    return known.family if known is not None else ""


def _place(format: str, runtime: str | None, device: str | None, mode: str | None, threads: int | None) -> Place:
    """The runtime and device that are asked for, or the first that fit: accelerators before CPUs."""
    if runtime is not None:
        chosen = get_runtime(runtime)
        if format not in chosen.formats:
            raise UnsupportedError(f"runtime {runtime!r} runs {' or '.join(chosen.formats)}, not {format!r}")
        candidates = [chosen]
    else:
        candidates = [one for name in runtimes() if format in (one := get_runtime(name)).formats]
    reasons = []
    found: list[Place] = []
    for one in candidates:
        for place in one.probe():
            if device is not None and place.name != device:
                continue
            if place.available:
                found.append(Place(one, place, one.mode(place, mode).name if mode else None, threads))
            else:
                reasons.append(
                    f"{one.name} on {place.name}: {place.unavailable}" + (f": {place.remedy}" if place.remedy else "")
                )
    if not found:
        wanted = f"device {device!r}" if device else "device"
        raise UnavailableError(
            reasons[0] if reasons else f"no {wanted} here runs format {format!r}: see `depthport doctor`"
        )
    return min(found, key=lambda place: place.device.name == "cpu")
