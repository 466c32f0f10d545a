"""Sessions of runtime `pytorch`: the static program eager, and compiled."""

from __future__ import annotations

import contextlib
import gc
import os
import warnings
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from depthport.exporters.core.artifact import Artifact
from depthport.exporters.core.errors import LoadError, RunError, one_line
from depthport.runtimes.base import Arrays, LoadOptions, Placement, Session, SessionMemory
from depthport.runtimes.host.cache import cache_folder, sealed_cache
from depthport.runtimes.host.threads import allowed_threads
from depthport.runtimes.pytorch import device as torch_device
from depthport.runtimes.pytorch.program import Forward, load_program, prefer_channels_last
from depthport.runtimes.session import DeviceDecoder, Flow


class TorchSession(Session):
    """Base of the three modes: flags, one buffer an input on the device, waiting, outputs, memory, placement."""

    def __init__(self, artifact: Artifact, device: str, options: LoadOptions) -> None:
        super().__init__(artifact, device, options)
        self._device = torch.device(device)
        self._threads = options.threads or allowed_threads()
        torch.set_num_threads(self._threads)
        torch_device.set_tf32(bool(artifact.manifest.precision.get("tf32")))
        self._memory_fraction = torch_device.limit_memory(self._device, options.memory_fraction)
        torch_device.reset_peak(self._device)
        self._results: Mapping[str, Tensor] = {}
        self._fell_back: tuple[str, ...] = ()
        try:
            self._module, self._forward = self._build()
        except RuntimeError as error:
            raise LoadError(f"pytorch can't load {artifact.path.name} on {device}: {one_line(error)}") from error
        self._tensors = {**dict(self._module.named_parameters()), **dict(self._module.named_buffers())}
        self._inputs: dict[str, Tensor] = {}

    @abstractmethod
    def _build(self) -> tuple[nn.Module, Forward]:
        """The module that holds the parameters, and the function of the inputs, in the manifest's order, that runs it."""

    def _bind(self, inputs: Mapping[str, np.ndarray]) -> None:
        for spec in self.input_specs:
            host = torch.from_numpy(inputs[spec.name])
            if spec.name not in self._inputs:
                self._inputs[spec.name] = torch.empty_like(host, device=self._device)
            # One buffer for the session's life: a captured graph reads the address it has seen.
            self._inputs[spec.name].copy_(host)

    def _run(self) -> None:
        try:
            with torch.inference_mode(), self._fallbacks_seen():
                found = self._forward(*self._inputs.values())
        except (RuntimeError, torch._dynamo.exc.TorchDynamoException) as error:
            raise RunError(f"pytorch on {self.device} failed: {one_line(error)}") from error
        names = [spec.name for spec in self.output_specs]
        self._results = found if isinstance(found, Mapping) else dict(zip(names, found, strict=True))

    def enqueue(self, inputs: Mapping[str, Sequence[Tensor]]) -> Mapping[str, Tensor]:
        """One inference on what is on the device already, once the session has run; on the current stream.

        Args:
            inputs: by name, one tensor of the manifest's shape; or several, one a view.

        Returns:
            The outputs in the manifest's dtypes, where the next inference may write its own.
        """
        for name, tensors in inputs.items():
            buffer = self._inputs[name]
            parts = (buffer,) if len(tensors) == 1 and tensors[0].dim() == buffer.dim() else buffer[0]
            for part, tensor in zip(parts, tensors, strict=True):
                part.copy_(tensor)
        self._run()
        return {spec.name: self._results[spec.name].to(getattr(torch, spec.dtype)) for spec in self.output_specs}

    def flow(self) -> Flow:
        if self._device.type != "cuda":
            return super().flow()
        from depthport.runtimes.pytorch.flow import CudaFlow

        return CudaFlow(self, self._device, self.enqueue)

    def device_decoder(self) -> DeviceDecoder | None:
        from depthport.runtimes.pytorch.nvjpeg import nvjpeg

        return nvjpeg(self._device)

    @contextlib.contextmanager
    def _fallbacks_seen(self) -> Iterator[None]:
        """On MPS, keep the operators that PyTorch hands to the CPU; it names each once, in the first run."""
        if self._device.type != "mps" or self._ran:
            yield
            return
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            yield
        self._fell_back = torch_device.fallback_operators(str(warning.message) for warning in said)

    def _synchronize(self) -> None:
        try:
            torch_device.wait(self._device)
        except RuntimeError as error:
            raise RunError(f"pytorch on {self.device} failed: {one_line(error)}") from error

    def _outputs(self) -> Arrays:
        arrays: Arrays = {}
        for spec in self.output_specs:
            dtype: torch.dtype = getattr(torch, spec.dtype)
            arrays[spec.name] = self._results[spec.name].to("cpu", dtype, copy=True).numpy()
        return arrays

    def placement(self) -> Placement:
        report = torch_device.parameter_report(self._tensors)
        details = {
            **report,
            "threads": self._threads,
            "tf32": bool(self.artifact.manifest.precision.get("tf32")),
            "memory_fraction": self._memory_fraction,
            **self._details(),
        }
        elsewhere = tuple(n for n, tensor in self._tensors.items() if tensor.device.type != self._device.type)
        if self._device.type == "mps" and torch_device.mps_fallback():
            variable = torch_device.MPS_FALLBACK_VARIABLE
            details["mps_fallback"] = f"{variable} is set: operators that MPS lacks run on the CPU"
        return Placement(self.device, details, fallback=(*elsewhere, *self._fell_back))

    def _details(self) -> dict[str, object]:
        return {}

    def memory(self) -> SessionMemory:
        return SessionMemory(torch_device.peak_mib(self._device))

    def _close(self) -> None:
        self._results, self._inputs, self._tensors = {}, {}, {}
        del self._module, self._forward
        gc.collect()
        if self._device.type != "cpu":
            torch.accelerator.empty_cache()


class EagerSession(TorchSession):
    """The static program, operator by operator; on a CPU bit for bit the static network."""

    @property
    def program(self) -> torch.fx.GraphModule:
        """The program as loaded: on the device, every operator a node that knows its module."""
        assert isinstance(self._module, torch.fx.GraphModule)
        return self._module

    @property
    def bound(self) -> tuple[Tensor, ...]:
        """The bound inputs on the device, in the manifest's order.

        Raises:
            RunError: nothing is bound.
        """
        if not self._inputs:
            raise RunError("nothing is bound: bind inputs first")
        return tuple(self._inputs.values())

    def _build(self) -> tuple[nn.Module, Forward]:
        torch.backends.cudnn.benchmark = True
        module = load_program(self.artifact, self._device)
        # On a CPU it saves 7 % (AVX2, da3-small, 336x336) and costs upstream's bits; Metal has no such kernels.
        self._channels_last = prefer_channels_last(module) if self._device.type == "cuda" else 0
        return module, module

    def _details(self) -> dict[str, object]:
        return {"channels_last_convolutions": self._channels_last, "cuda_graph": False}


class CompiledSession(EagerSession):
    """The static program compiled whole by inductor; on CUDA replayed as one CUDA graph."""

    def _build(self) -> tuple[nn.Module, Forward]:
        module, _ = super()._build()
        self._cuda_graph = self._device.type == "cuda"
        # fullgraph: a break is an error here, so a session that runs has none.
        compiled = torch.compile(
            module, fullgraph=True, dynamic=False, mode="reduce-overhead" if self._cuda_graph else None
        )
        self._graph_skips = _cuda_graph_skips()
        kept = compiled_into(cache_folder(self.artifact, self.options), compiled)

        def forward(*inputs: Tensor) -> Any:
            if self._cuda_graph:
                # The graph rewrites its outputs, even if someone still holds those of the call before.
                torch.compiler.cudagraph_mark_step_begin()
            return kept(*inputs)

        return module, forward

    def _details(self) -> dict[str, object]:
        captured = self._cuda_graph and _cuda_graph_skips() == self._graph_skips
        return {**super()._details(), "graph_breaks": 0, "cuda_graph": captured}

    def _close(self) -> None:
        super()._close()
        torch.compiler.reset()


def _cuda_graph_skips() -> int:
    """Return how often inductor has declined to capture a CUDA graph in this process."""
    from torch._dynamo.utils import counters

    return counters["inductor"]["cudagraph_skips"]


def compiled_into(cache: Path, compiled: Callable[..., Any], calls: int = 1) -> Callable[..., Any]:
    """A function that is compiled in its first calls; the code is kept in a folder."""
    left = calls

    def call(*inputs: Tensor) -> Any:
        nonlocal left
        if not left:
            return compiled(*inputs)
        with compiler_caches(cache, TORCHINDUCTOR_CACHE_DIR="inductor"):
            found = compiled(*inputs)
        left -= 1
        return found

    return call


@contextlib.contextmanager
def compiler_caches(folder: Path, **variables: str) -> Iterator[None]:
    """Keep compiled code in `folder` while something is compiled.

    Args:
        folder: made if it does not exist.
        variables: the environment variables that compilers read, and the part of the folder that each names.

    Raises:
        LoadError: the folder can't be written to.
    """
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update({name: str(folder / part) for name, part in variables.items()})
    try:
        with contextlib.ExitStack() as caches:
            for part in variables.values():
                caches.enter_context(sealed_cache(folder / part))
            yield
    except OSError as error:
        raise LoadError(f"can't keep compiled code in {folder} ({one_line(error)}): give another cache_dir") from error
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
