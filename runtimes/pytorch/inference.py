"""Upstream's `inference` as a pipeline: what its users call, scene after scene, in a loop."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch
from torch import nn

from depthport.exporters.core.artifact import Manifest
from depthport.exporters.da3.processors import UpstreamInference
from depthport.runtimes.session import Arrays, FilesPipeline

_FIELDS = {"depth": "depth", "depth_conf": "conf", "extrinsics": "extrinsics", "intrinsics": "intrinsics"}
"""Fields of upstream's `Prediction`, by our names."""


class UpstreamPipeline(FilesPipeline):
    """See :class:`~depthport.exporters.da3.processors.UpstreamInference`; nothing of it overlaps."""

    def __init__(self, network: nn.Module, device: torch.device, autocast: torch.dtype | None, manifest: Manifest) -> None:
        self._inference = UpstreamInference(network, device, autocast)
        self._names = [spec.name for spec in manifest.outputs if spec.name in _FIELDS]
        self._size = manifest.shape.height, manifest.shape.width

    def __call__(self, files: Sequence[bytes]) -> Arrays:
        found = self._inference(files, max(self._size), self._size)
        arrays = {name: np.asarray(getattr(found, _FIELDS[name]))[None] for name in self._names}
        return {name: array[..., :3, :] if name == "extrinsics" else array for name, array in arrays.items()}

    def stream(self, scenes: Iterable[Sequence[bytes]]) -> Iterator[Arrays]:
        return map(self, scenes)

    def stages_ns(self, files: Sequence[bytes]) -> dict[str, int]:
        self(files)
        return self._inference.stages_ns
