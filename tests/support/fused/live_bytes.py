"""How many bytes a network holds at once, found without computing anything: its tensors are fake, their lives are real."""

from __future__ import annotations

import weakref
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class LiveBytes(TorchDispatchMode):
    """Counts storages from their making to their end; of an operator its results, not what it uses inside."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.peak = 0
        self._sizes: dict[int, int] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(found):
            if isinstance(tensor, torch.Tensor):
                storage = tensor.untyped_storage()
                key = storage._cdata
                if key not in self._sizes:
                    self._sizes[key] = storage.nbytes()
                    weakref.finalize(storage, self._sizes.pop, key, None)
        self.peak = max(self.peak, sum(self._sizes.values()))
        return found


def peak_bytes(network: torch.nn.Module, shape: tuple[int, ...]) -> int:
    """The most that one call of `network` on an image of `shape` holds at once, the image included and parameters not."""
    with FakeTensorMode(allow_non_fake_inputs=True), torch.no_grad():
        image = torch.empty(shape)
        live = LiveBytes()
        with live:
            network(image)
    return live.peak
