"""Many scenes through a session on CUDA: copies in, network and copies out on a stream each.

A scene's files are decoded, the next one's pixels copied in, the last one's depth copied out while the GPU computes the
present one. Host memory on either side of a copy is pinned (PyTorch keeps and reuses it), so a copy is enqueued and not
waited for; events order what depends on what.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from depthport.exporters.core.errors import InputError
from depthport.exporters.inputs.probe import probe_poses
from depthport.runtimes.pytorch.nvjpeg import OnDevice
from depthport.runtimes.session import Arrays, Flow, Ready, Session

Enqueue = Callable[[Mapping[str, Sequence[Tensor]]], Mapping[str, Tensor]]
"""One inference on tensors of the device, on the current stream."""


class CudaFlow(Flow):
    """See the module's docstring."""

    ahead: ClassVar[int] = 2

    def __init__(self, session: Session, device: torch.device, enqueue: Enqueue) -> None:
        super().__init__(session)
        self._enqueue = enqueue
        self._in, self._out = torch.cuda.Stream(device), torch.cuda.Stream(device)
        # Compiled and captured now: no other thread may use the device while a CUDA graph is captured.
        session.bind(_blank(session))
        session.run()
        session.synchronize()

    def submit(self, inputs: Mapping[str, Any], *, checked: bool = False) -> Ready:
        decoded = inputs["image"] if not isinstance(inputs["image"], np.ndarray) else None
        if decoded is None:
            self._session.check(inputs, checked=checked)
        else:
            self._check(decoded)
        compute = torch.cuda.current_stream(self._in.device)
        staged: dict[str, Sequence[Tensor]] = {}
        with torch.cuda.stream(self._in):
            for name, value in inputs.items():
                if isinstance(value, np.ndarray):
                    staged[name] = (_pinned(value).to(self._in.device, non_blocking=True),)
            arrived = self._in.record_event()
        if decoded is not None:
            staged["image"] = [view.pixels for view in decoded]
            for view in decoded:
                compute.wait_event(view.ready)
        compute.wait_event(arrived)
        results = {name: value.clone() for name, value in self._enqueue(staged).items()}
        for tensor in (tensor for tensors in staged.values() for tensor in tensors):
            tensor.record_stream(compute)
        self._out.wait_event(compute.record_event())
        with torch.cuda.stream(self._out):
            fetched = {}
            for name, value in results.items():
                fetched[name] = torch.empty(value.shape, dtype=value.dtype, pin_memory=True)
                fetched[name].copy_(value, non_blocking=True)
                value.record_stream(self._out)
            done = self._out.record_event()

        def ready() -> Arrays:
            done.synchronize()
            # Copied: what is kept of a long sequence must not be memory that is locked.
            return self._session.finished({name: value.numpy().copy() for name, value in fetched.items()})

        return ready

    def _check(self, views: Sequence[OnDevice]) -> None:
        spec = next(spec for spec in self._session.input_specs if spec.name == "image")
        sizes = {tuple(view.pixels.shape) for view in views}
        if len(views) != spec.shape[1] or sizes != {spec.shape[2:]}:
            raise InputError(f"{len(views)} decoded views of {sorted(sizes)}: the artifact takes {spec.shape[1:]}")


def _pinned(array: np.ndarray) -> Tensor:
    """Return a copy that a device can fetch by itself.

    Copied by NumPy: PyTorch's own copy wakes its pool of threads, which then spin for a while on the cores that decode.
    """
    pinned = torch.empty(array.shape, dtype=getattr(torch, array.dtype.name), pin_memory=True)
    np.copyto(pinned.numpy(), array)
    return pinned


def _blank(session: Session) -> Arrays:
    """Black photographs, and cameras where the artifact takes them."""
    manifest = session.artifact.manifest
    blank: Arrays = {spec.name: np.zeros([int(side) for side in spec.shape], spec.dtype) for spec in manifest.inputs}
    if "extrinsics" in blank:
        shape = manifest.shape
        blank["extrinsics"], blank["intrinsics"] = probe_poses(shape.batch, shape.views, shape.height, shape.width)
    return blank
