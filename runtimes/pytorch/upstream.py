"""Sessions of runtime `pytorch` that run upstream's own forward: eager, and under `torch.compile`."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn

from depthport.exporters.core.artifact import Artifact
from depthport.exporters.core.errors import UnsupportedError
from depthport.exporters.da3.upstream import recorded_reference_view
from depthport.runtimes.base import LoadOptions
from depthport.runtimes.host.cache import cache_folder
from depthport.runtimes.pytorch.inference import UpstreamPipeline
from depthport.runtimes.pytorch.program import Forward, load_upstream
from depthport.runtimes.pytorch.session import TorchSession, compiled_into
from depthport.runtimes.session import FilesPipeline

AUTOCAST = {"bf16-mixed": torch.bfloat16, "fp16-mixed": torch.float16}
"""Upstream's official autocast by policy: matmuls of the backbone in that dtype, heads in fp32."""
UPSTREAM_PRECISIONS = ("fp32", "tf32", *AUTOCAST)
_COMPILED_OUTPUTS = ("depth", "depth_conf", "extrinsics", "intrinsics", "reference_view")


class UpstreamSession(TorchSession):
    """Upstream as its users run it: its own forward, its official autocast."""

    def __init__(self, artifact: Artifact, device: str, options: LoadOptions) -> None:
        policy = artifact.manifest.precision["name"]
        if policy not in UPSTREAM_PRECISIONS:
            raise UnsupportedError(f"upstream has no precision {policy!r}: its own are {', '.join(UPSTREAM_PRECISIONS)}")
        self._autocast = AUTOCAST.get(policy)
        super().__init__(artifact, device, options)

    def _build(self) -> tuple[nn.Module, Forward]:
        # Upstream's API module turns it off when it is imported (`api.py`).
        torch.backends.cudnn.benchmark = False
        if self._autocast is not None:
            # Its users leave PyTorch's default, TF32 in cuDNN's convolutions, for the fp32 heads. Without it cuDNN picks
            # an algorithm that takes 70 GB and 4 s for 5 views of 504x504 (da3-large, H200).
            torch.backends.cudnn.allow_tf32 = True
        network, forward = self._upstream()
        if self._autocast is None:
            return network, forward

        def autocast_forward(image: Tensor, *poses: Tensor) -> Any:
            with torch.autocast(image.device.type, self._autocast):
                return forward(image, *poses)

        return network, autocast_forward

    def _upstream(self) -> tuple[nn.Module, Forward]:
        return load_upstream(self.artifact, self._device)

    def own_pipeline(self) -> FilesPipeline | None:
        return UpstreamPipeline(self._module, self._device, self._autocast, self.artifact.manifest)

    def _details(self) -> dict[str, object]:
        return {"autocast": str(self._autocast).removeprefix("torch.") if self._autocast else None, "cuda_graph": False}


class CompiledUpstreamSession(UpstreamSession):
    """Upstream's network under `torch.compile`, as a user would run it: many graphs, with Python between them."""

    def own_pipeline(self) -> None:
        return None  # upstream's `inference` calls the network uncompiled

    def _upstream(self) -> tuple[nn.Module, Forward]:
        made = self.artifact.manifest
        names = [spec.name for spec in made.outputs]
        plain = set(names) <= set(_COMPILED_OUTPUTS) and [spec.dtype for spec in made.inputs] == ["float32"]
        if made.host_steps or not plain:
            raise UnsupportedError(
                "upstream under torch.compile takes normalised images and gives depth and cameras: "
                "choose another mode for rays, known poses, pixels or a model with steps on the host"
            )
        network, _ = super()._upstream()
        # The first call fills upstream's own caches of positions, so the second compiles something else.
        compiled = compiled_into(cache_folder(self.artifact, self.options), torch.compile(network), calls=2)
        self._patched = ExitStack()
        chosen = self._patched.enter_context(recorded_reference_view())

        def forward(image: Tensor) -> dict[str, Tensor]:
            chosen.clear()
            given = dict(compiled(image))
            given["reference_view"] = chosen[-1] if chosen else image.new_zeros(image.shape[0], dtype=torch.int64)
            return {name: given[name] for name in names}

        return network, forward

    def _close(self) -> None:
        super()._close()
        self._patched.close()
        torch.compiler.reset()
