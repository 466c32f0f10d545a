"""Parts of a 16-bit network that can be fp32 instead: linear layers, convolutions, and the attention of a block."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from depthport.exporters.quantization.layers import candidates, is_linear, norm_before

if TYPE_CHECKING:
    from torch import Tensor, nn

ATTENTION = ".attn"
"""End of the name of a part that is a block's attention: the products of queries, keys and values."""


class HalfParts:
    """The 16-bit parts of a static network whose camera tokens are apart.

    A part in fp32 is given fp32 and gives it: the LayerNorm before it does not round, and what follows rounds for itself.

    Args:
        network: in a 16-bit policy; changed in place.
        exact: the fp32 network of the same weights.
    """

    def __init__(self, network: nn.Module, exact: nn.Module) -> None:
        self._network = network
        self._layers: dict[str, tuple[dict[str, Tensor], dict[str, Tensor]]] = {
            name: (dict(module.named_parameters()), dict(exact.get_submodule(name).named_parameters()))
            for name, module in candidates(network).items()
        }
        self._dtypes = {
            name: module.dtype
            for name, module in network.named_modules()
            if name.endswith(ATTENTION) and ".camera." not in name
        }

    @property
    def names(self) -> tuple[str, ...]:
        """All parts."""
        return (*self._layers, *self._dtypes)

    def apart(self, name: str) -> bool:
        """Return whether a linear layer computes patches alone, because the camera token has weights of its own."""
        return is_linear(name) and self._block(name).camera is not None

    def of(self, network: nn.Module, exact: nn.Module) -> HalfParts:
        """The parts of a network of another shape, with the 16-bit weights of this one's."""
        for name, (half, _) in self._layers.items():
            module = network.get_submodule(name)
            for parameter, value in half.items():
                setattr(module, parameter, value)
        return HalfParts(network, exact)

    def attention_gflop(self) -> dict[str, float]:
        """Arithmetic of each block's attention in one inference."""
        network: Any = self._network
        shape, backbone, found = network.shape, network.backbone, {}
        for name in self._dtypes:
            index = int(name.split(".")[2])
            across = index >= backbone.alternate_from and index % 2 == 1
            tokens = shape.tokens * (shape.views if across else 1)
            views = 1 if across else shape.views
            channels = self._block(name).attn.proj.in_features
            found[name] = 4e-9 * shape.batch * views * tokens**2 * channels
        return found

    def _block(self, name: str) -> Any:
        return self._network.get_submodule(".".join(name.split(".")[:3]))

    def lower(self, names: Collection[str]) -> None:
        """Give the parts called `names` 16 bits, and all others fp32."""
        import torch

        for name, (half, whole) in self._layers.items():
            module = self._network.get_submodule(name)
            for parameter, value in (half if name in names else whole).items():
                setattr(module, parameter, value)
            if (norm := norm_before(name)) is not None:
                owner: Any = self._network.get_submodule(norm.removesuffix(".norm"))
                owner.dtype = half["weight"].dtype if name in names else torch.float32
        for name, dtype in self._dtypes.items():
            attention: Any = self._network.get_submodule(name)
            attention.dtype = dtype if name in names else torch.float32
