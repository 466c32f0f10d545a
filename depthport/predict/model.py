"""`model = depthport.load(...)`; `prediction = model(["a.jpg", "b.jpg"])`: an artifact or a name, ready for photographs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from depthport.exporters.api import export_request, prepare
from depthport.exporters.core.artifact import MANIFEST, Artifact, Shape, load_artifact
from depthport.exporters.core.errors import ArtifactError, InputError, UnavailableError, UsageError
from depthport.exporters.core.store import ArtifactStore
from depthport.exporters.da3.request import ExportRequest
from depthport.exporters.inputs.poses import align_to_input, normalise_extrinsics
from depthport.exporters.inputs.preprocess import apply_to_intrinsics
from depthport.exporters.registry import default_format
from depthport.predict.photographs import FRAMES, Photograph, Source, load_photographs
from depthport.predict.pipeline import Item, Preparation, files_for_device, overlapped
from depthport.predict.place import Place, choose_place
from depthport.predict.prediction import Prediction, from_outputs
from depthport.predict.recipe import Prepared, Recipe
from depthport.runtimes.base import LoadOptions
from depthport.runtimes.registry import get_runtime
from depthport.runtimes.session import Arrays, DeviceDecoder, Flow, Session

Progress = Callable[[str], None]
Decoder = Literal["cpu", "device"]


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
    progress: Progress = lambda _: None,
) -> Model:
    """A model that takes photographs.

    Args:
        source: the folder of an artifact, or a model's name (or configuration): then artifacts are exported, or found in
            the store, for the photographs that come.
        runtime, device, mode: what runs it; None: the first installed runtime of the format, an accelerator before the
            CPU, and one that is not deployed on such devices (a browser's, a phone's) last.
        precision, format, target, weights: of what is exported, where `source` names a model.
        threads: on the CPU; None: what the control group allows.
        store: where artifacts live; None for the default store.
        progress: called with the name of each step as it begins.

    Raises:
        UsageError: no artifact or model of that name, or an unknown runtime or device.
        WeightsError: the model's checkpoint is not available and no weights were named: none are taken silently.
        UnavailableError: nothing here runs that format.
        ArtifactError: the artifact is damaged.
    """
    path = Path(source).expanduser()
    if (path / MANIFEST).is_file():
        artifact = load_artifact(path)
        with ThreadPoolExecutor(1) as beside:  # hashing takes as long as importing what runs it
            intact = beside.submit(artifact.verify)
            place = choose_place(artifact.manifest.format, runtime, device, mode, threads)
            intact.result()
        return Model(lambda _: artifact, place, artifact.manifest.shape, progress)
    if path.is_dir() and not (path / "config.json").is_file():
        raise UsageError(f"{source} is not an artifact (no {MANIFEST}): name what `depthport export` made, or a model")
    chosen = get_runtime(runtime) if runtime is not None else None
    place = choose_place(format or (chosen.formats[0] if chosen else default_format()), runtime, device, mode, threads)
    wanted = target or place.runtime.default_target(place.device.name, precision)
    kept = store or ArtifactStore()

    def request(shape: Shape) -> ExportRequest:
        return prepare(
            str(source), format=format or place.runtime.formats[0], precision=precision, target=wanted, weights=weights,
            batch=1, views=shape.views, height=shape.height, width=shape.width,
        )  # fmt: skip

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
        self.session: Session | None = None
        """The loaded session: none before the first prediction, and another when the shape changes."""
        self._flow: Flow | None = None
        self._decoder: DeviceDecoder | None = None
        self._shape: Shape | None = None

    def __call__(
        self,
        photographs: Sequence[Source],
        *,
        extrinsics: np.ndarray | None = None,
        intrinsics: np.ndarray | None = None,
        oriented: bool = True,
        frames: int = FRAMES,
        process_res: int | None = None,
        decoder: Decoder = "cpu",
    ) -> Prediction:
        """Depth and cameras of one scene.

        Args:
            photographs: its N views: files, folders, videos, bytes of files, Pillow images or arrays (H, W, 3) uint8 RGB,
                of any sizes.
            extrinsics: (N, 4, 4) world to camera, known cameras, of artifacts that take them (`--pose-input`).
            intrinsics: (N, 3, 3) in pixels of the photographs.
            oriented: turn photographs as their EXIF orientation says; False is upstream's behaviour.
            frames: how many of each video.
            process_res: longest side at which the network sees them, where the size is open; None: upstream's 504.
            decoder: `cpu` gives the bits that upstream's Pillow gives. `device` decodes JPEG files on the GPU (nvJPEG, with
                torchvision), for artifacts that resize by themselves (`--source-size`), photographs of just that size; a
                scene with others is decoded on the CPU. :attr:`Prediction.placement` says which it was.

        Raises:
            InputError: no photographs, another number than the artifact's views, a damaged file, bad cameras.
            RunError: the runtime failed.
            UsageError, UnavailableError: `decoder` is `device`, and this artifact or this machine has no use for it.
        """
        if decoder == "device":
            recipe = self._recipe(process_res, images=False)
            decode = self._device_decoder(recipe)
            if (files := files_for_device(photographs, recipe, oriented=oriented)) is not None:
                decoded = decode([data for _, data in files])
                return self._submit(recipe.on_device([name for name, _ in files], decoded))()
        views = load_photographs(photographs, oriented=oriented, frames=frames)
        return self.predict(views, extrinsics=extrinsics, intrinsics=intrinsics, process_res=process_res)

    def predict(
        self,
        views: Sequence[Photograph],
        *,
        extrinsics: np.ndarray | None = None,
        intrinsics: np.ndarray | None = None,
        process_res: int | None = None,
    ) -> Prediction:
        """The same for photographs that are decoded already; see :meth:`__call__`."""
        recipe = self._recipe(process_res)
        recipe.check_views(len(views))
        session, flow = self._ready(recipe.shape([view.size for view in views]))
        started = time.perf_counter()
        prepared = recipe.scene([recipe.view(view) for view in views])
        inputs = {"image": prepared.image}
        cameras = self._cameras(session, extrinsics, intrinsics, prepared)
        if cameras is not None:
            inputs["extrinsics"], inputs["intrinsics"] = normalise_extrinsics(cameras[0])[None], cameras[1][None]
        outputs = flow.submit(inputs)()
        found = self._prediction(session, prepared, outputs, time.perf_counter() - started)
        if cameras is None or found.extrinsics is None:
            return found
        aligned = align_to_input(found.depth, found.extrinsics, cameras[0], cameras[1])
        return replace(found, depth=aligned.depth, extrinsics=aligned.extrinsics, intrinsics=aligned.intrinsics)

    def stream(
        self,
        scenes: Iterable[Sequence[Source]],
        *,
        oriented: bool = True,
        frames: int = FRAMES,
        process_res: int | None = None,
        decoder: Decoder = "cpu",
        threads: int | None = None,
        ahead: int | None = None,
        images: bool = True,
    ) -> Iterator[Item[Prediction]]:
        """Depth and cameras of scene after scene, decoded, computed and fetched at the same time; in order, one item each.

            >>> for item in model.stream([["a.jpg"], ["b.jpg"]]):               # doctest: +SKIP
            ...     print(item.error or item.result.depth.mean())

        Args:
            scenes: each as :meth:`__call__` takes its photographs; may be endless: what is read ahead is bounded.
            oriented, frames, process_res, decoder: as there.
            threads: that decode on the CPU; None: one a core, eight at most.
            ahead: scenes prepared before their turn; None: what keeps the threads busy. 0 suits a live camera, which
                gives the next frame only when it is there.
            images: keep what the network sees (:attr:`Prediction.processed_images`); False saves work where the artifact
                resizes by itself.

        Raises:
            RunError: the runtime failed. What is wrong with a scene's photographs is its item's `error` and ends nothing.
            UsageError, UnavailableError: as :meth:`__call__`, of `decoder`.
        """
        recipe = self._recipe(process_res, images=images)
        chosen = self._device_decoder(recipe) if decoder == "device" else None
        with (
            Preparation(recipe, decoder=chosen, threads=threads, oriented=oriented, frames=frames) as preparation,
            closing(
                overlapped(
                    scenes,
                    preparation.start,
                    self._submit,
                    prepared_ahead=preparation.ahead if ahead is None else ahead,
                    submitted_ahead=lambda: 0 if self._flow is None else self._flow.ahead,
                    fits=lambda prepared: self._fits(prepared.shape),
                )
            ) as items,
        ):
            yield from items

    def close(self) -> None:
        """Free everything; a second call does nothing."""
        if self.session is not None:
            self.session.close()
            self.session = self._flow = self._decoder = self._shape = None

    def __enter__(self) -> Model:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _recipe(self, process_res: int | None, *, images: bool = True) -> Recipe:
        manifest = None if self._fixed is None else self._artifact_for(self._fixed).manifest
        return Recipe(manifest, process_res, images=images)

    def _fits(self, shape: Shape) -> bool:
        return self.session is not None and (self._fixed is not None or self._shape == shape)

    def _ready(self, shape: Shape) -> tuple[Session, Flow]:
        """A session for a shape, and its flow; those before stay where it is the same."""
        if self.session is None or self._flow is None or not self._fits(shape):
            self.close()
            artifact = self._artifact_for(self._fixed or shape)
            _require_here(self.place, artifact)
            self._progress(f"loading into {self.place.runtime.name} on {self.place.device.name}")
            options = LoadOptions(mode=self.place.mode, threads=self.place.threads)
            self.session = self.place.runtime.load(artifact, self.place.device.name, options)
            self._flow = self.session.flow()
            self._shape = shape
        return self.session, self._flow

    def _submit(self, prepared: Prepared) -> Callable[[], Prediction]:
        session, flow = self._ready(prepared.shape)
        started = time.perf_counter()
        ready = flow.submit({"image": prepared.image})
        return lambda: self._prediction(session, prepared, ready(), time.perf_counter() - started)

    def _device_decoder(self, recipe: Recipe) -> DeviceDecoder:
        if self._fixed is None or recipe.source_size is None or not recipe.pixels:
            raise UsageError("decoding on the device needs an artifact that takes pixels: export one with --source-size")
        session, _ = self._ready(self._fixed)
        self._decoder = self._decoder or session.device_decoder()
        if self._decoder is None:
            name = f"{self.place.runtime.name} on {self.place.device.name}"
            raise UnavailableError(f"{name} decodes no photographs: install torchvision with CUDA, or decode on the CPU")
        return self._decoder

    def _prediction(self, session: Session, prepared: Prepared, outputs: Arrays, seconds: float) -> Prediction:
        place = {"runtime": self.place.runtime.name, "device": self.place.device.name, "mode": session.options.mode}
        return from_outputs(outputs, prepared, session.artifact.manifest, seconds, place)

    def _cameras(
        self, session: Session, extrinsics: np.ndarray | None, intrinsics: np.ndarray | None, prepared: Prepared
    ) -> tuple[np.ndarray, NDArray[np.float32]] | None:
        given = extrinsics is not None and intrinsics is not None
        if (extrinsics is None) != (intrinsics is None):
            raise InputError("extrinsics and intrinsics belong together: give both or none")
        if given != any(spec.name == "extrinsics" for spec in session.artifact.manifest.inputs):
            raise InputError(
                "this artifact takes known cameras: give extrinsics and intrinsics"
                if not given
                else "this artifact takes no cameras: leave them out, or export it with --pose-input"
            )
        if extrinsics is None or intrinsics is None:
            return None
        adjusted = [apply_to_intrinsics(k, own) for k, own in zip(np.asarray(intrinsics), prepared.steps, strict=True)]
        return np.asarray(extrinsics), np.stack(adjusted).astype(np.float32)


def _require_here(place: Place, artifact: Artifact) -> None:
    """Refuse an artifact that is bound to other hardware or versions than these."""
    found = place.runtime.mismatch(artifact, place.device.name) if place.runtime.bound else None
    if found is not None:
        raise ArtifactError(f"{found.reason}: export it on this machine, or give an ONNX artifact")
