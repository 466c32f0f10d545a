"""The session of one card's views, inside that card's process."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from depthport.exporters.core.artifact import Artifact, TensorSpec
from depthport.exporters.da3.fused.cards import Cards, ExchangeClock
from depthport.runtimes.base import LoadOptions
from depthport.runtimes.pytorch.graph import FusedSession
from depthport.runtimes.pytorch.program import Forward


class ShardSession(FusedSession):
    """The fused network on the views of one card, kernel by kernel.

    No CUDA graph: from eight views a card on the GPU is busy longer than the CPU takes to enqueue, and with fewer there is
    little to share.
    """

    def __init__(self, artifact: Artifact, device: str, options: LoadOptions, shares: tuple[int, ...], rank: int) -> None:
        """`shares` are the views of all cards, `rank` says which of them these are."""
        self._shares, self._rank = shares, rank
        manifest = artifact.manifest
        inputs, outputs = (tuple(map(self._own, specs)) for specs in (manifest.inputs, manifest.outputs))
        own = replace(manifest, inputs=inputs, outputs=outputs, host_steps=())
        super().__init__(replace(artifact, manifest=own), device, options)

    @property
    def views(self) -> slice:
        """This GPU's views of the scene."""
        first = sum(self._shares[: self._rank])
        return slice(first, first + self._shares[self._rank])

    def _own(self, spec: TensorSpec) -> TensorSpec:
        """Return this GPU's part of a tensor of all views; a tensor per scene is the same on every GPU."""
        if len(spec.shape) < 2:
            return spec
        return replace(spec, shape=(spec.shape[0], self._shares[self._rank], *spec.shape[2:]))

    def _build(self) -> tuple[nn.Module, Forward]:
        module, eager = self._load()
        network: Any = getattr(module, "network", module)  # behind the resize of pixels, where that is in the graph
        self._exchange = Cards(self._shares, self._rank, network.heads)
        if self._device.type == "cuda":
            self._exchange.clock = ExchangeClock()
        network.share(self._exchange)

        def forward(*inputs: Tensor) -> Any:
            if self._exchange.clock is not None:
                self._exchange.clock.restart()
            if self._ran:
                return eager(*inputs)
            with self.kernel_caches():
                return eager(*inputs)

        return module, forward

    @property
    def cache_folder(self) -> Path:
        # One a card: a cache is one process's while that compiles, and this one meanwhile waits for the others.
        return super().cache_folder / f"card-{self._rank}"

    def _details(self) -> dict[str, object]:
        exchange_ms = None if self._exchange.clock is None else self._exchange.clock.milliseconds()
        return {
            "channels_last_convolutions": 0, "cuda_graph": False, "views": self._shares[self._rank],
            "exchange_ms": exchange_ms, "torch_distributed": torch.distributed.get_backend(),
        }  # fmt: skip
