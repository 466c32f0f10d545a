"""A runtime that computes a known function, and its artifact."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from depthport.exporters.core.artifact import (
    MANIFEST,
    Artifact,
    FileInfo,
    Manifest,
    Shape,
    TensorSpec,
    WeightsInfo,
    artifact_key,
)
from depthport.exporters.core.errors import LoadError, UsageError
from depthport.exporters.core.files.atomic import write_bytes, write_json
from depthport.exporters.core.provenance import file_sha256
from depthport.runtimes.base import Arrays, Device, LoadOptions, Mode, Placement, Runtime, Session

MODEL_FILE = "model.fake"
MAGIC = b"depthport fake model\n"


def fake_artifact(folder: Path, shape: Shape = Shape(1, 2, 14, 28)) -> Artifact:  # noqa: B008 - immutable
    """Write an artifact of format `fake` into `folder`, with the default outputs of an any-view model."""
    b, n, h, w = shape.batch, shape.views, shape.height, shape.width
    folder.mkdir(parents=True, exist_ok=True)
    write_bytes(folder / MODEL_FILE, MAGIC * 64)
    path = folder / MODEL_FILE
    manifest = Manifest(
        key=artifact_key({"fake": str(shape)}),
        model="da3-small",
        weights=WeightsInfo("synthetic:0", "0" * 64, True, "none (synthetic)"),
        format="fake",
        precision={"name": "fp32"},
        shape=shape,
        inputs=(TensorSpec("image", (b, n, 3, h, w), "float32"),),
        outputs=(
            TensorSpec("depth", (b, n, h, w), "float32"),
            TensorSpec("depth_conf", (b, n, h, w), "float32"),
            TensorSpec("extrinsics", (b, n, 3, 4), "float32"),
            TensorSpec("intrinsics", (b, n, 3, 3), "float32"),
            TensorSpec("reference_view", (b,), "int64"),
        ),
        options={"target": None},
        versions={},
        files=(FileInfo(MODEL_FILE, path.stat().st_size, file_sha256(path)),),
    )
    write_json(folder / MANIFEST, manifest.to_json())
    return Artifact(folder, manifest)


def fake_outputs(image: NDArray[Any], specs: tuple[TensorSpec, ...]) -> Arrays:
    """Plausible outputs that depend on every pixel and are the same in every process."""
    brightness = image.mean(axis=2)
    mean = brightness.mean(axis=(2, 3))
    eye = np.eye(3, 4)
    values: dict[str, NDArray[Any]] = {
        "depth": np.exp(0.1 * brightness),
        "depth_conf": 1.0 + np.abs(brightness),
        "extrinsics": np.broadcast_to(eye, (*mean.shape, 3, 4)) + np.eye(3, 4, 3) * mean[..., None, None],
        "intrinsics": np.broadcast_to(np.eye(3), (*mean.shape, 3, 3)) * (100.0 + mean[..., None, None]),
        "reference_view": np.zeros(mean.shape[0]),
    }
    return {spec.name: np.ascontiguousarray(values[spec.name], dtype=spec.dtype) for spec in specs}


class FakeSession(Session):
    """A good citizen: computes in `run`, takes as long as it is told to."""

    def __init__(self, artifact: Artifact, device: str, options: LoadOptions) -> None:
        super().__init__(artifact, device, options)
        known = {"call_ms", "delay", "when", "how", "load_s"}
        if unknown := sorted(set(options.extra) - known):
            raise UsageError(f"fake has no option {', '.join(unknown)}")
        self.extra: dict[str, Any] = {"call_ms": 1.0, "delay": 0.0, **options.extra}
        if not artifact.file(MODEL_FILE).read_bytes() == MAGIC * 64:
            raise LoadError(f"{MODEL_FILE} is damaged: export it again")
        self.image: NDArray[Any] = np.zeros(0)
        self.results: Arrays = {}

    def work(self) -> None:
        time.sleep(self.extra["call_ms"] * (1.0 + self.extra["delay"]) / 1e3)
        self.results = fake_outputs(self.image, self.output_specs)

    def _bind(self, inputs: Mapping[str, NDArray[Any]]) -> None:
        self.image = inputs["image"].copy()

    def _run(self) -> None:
        self.work()

    def _synchronize(self) -> None:
        pass

    def _outputs(self) -> Arrays:
        return {name: array.copy() for name, array in self.results.items()}

    def placement(self) -> Placement:
        return Placement(self.device, {"kernels": 1}, delegated_share=1.0)

    def _close(self) -> None:
        self.image = np.zeros(0)
        self.results = {}


class Fake(Runtime):
    """The good citizen's runtime; the others derive from it."""

    name: ClassVar[str] = "fake"
    formats: ClassVar[tuple[str, ...]] = ("fake",)
    session: ClassVar[type[FakeSession]] = FakeSession

    def probe(self) -> list[Device]:
        modes = (Mode("plain", "computes when it is told to", ("only",)),)
        gone = Device("ghost", "a device that is not here", unavailable="not here", remedy="buy one")
        return [Device("cpu", "a fake CPU", modes, ("fp32",)), gone]

    def _load(self, artifact: Artifact, device: str, options: LoadOptions) -> Session:
        self.mode(self.device(device), options.mode)
        return self.session(artifact, device, options)
