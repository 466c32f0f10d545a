"""Sessions of runtime `pytorch` that replay a program as one CUDA graph: the portable one and the fused one."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from depthport.exporters.core.artifact import Artifact
from depthport.exporters.core.errors import UnsupportedError
from depthport.exporters.da3.kernels.op import import_kernels
from depthport.runtimes.base import LoadOptions
from depthport.runtimes.host.cache import cache_folder
from depthport.runtimes.pytorch import device as torch_device
from depthport.runtimes.pytorch.program import FUSED_TARGET, Forward, load_fused
from depthport.runtimes.pytorch.session import EagerSession, compiler_caches


class GraphSession(EagerSession):
    """The static program, captured once and replayed: the CPU enqueues one graph instead of every kernel."""

    def _build(self) -> tuple[nn.Module, Forward]:
        module, eager = self._load()
        self._graph: torch.cuda.CUDAGraph | None = None
        self._graph_outputs: object = None

        def replay(*inputs: Tensor) -> Any:
            if self._graph is None:
                self._graph, self._graph_outputs = self._capture(eager, *inputs)
            else:
                self._graph.replay()
            return self._graph_outputs

        return module, replay

    def _load(self) -> tuple[nn.Module, Forward]:
        return super()._build()

    def _capture(self, eager: Forward, *inputs: Tensor) -> tuple[torch.cuda.CUDAGraph, object]:
        """The graph, which reads `inputs` where they lie now, and its outputs, which every replay rewrites.

        Libraries choose their algorithms and make their workspaces in a run before the capture. Over hundreds of views
        a run takes seconds, so there is one, and its results are the first call's: they wait on the host, because what
        they lie in is given back before the graph takes memory of its own.
        """
        with torch.cuda.device(self._device):
            stream = torch.cuda.Stream()
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):
                first = [output.cpu() for output in cast("tuple[Tensor, ...]", eager(*inputs))]
            torch.cuda.current_stream().wait_stream(stream)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                outputs = cast("tuple[Tensor, ...]", eager(*inputs))
            for output, value in zip(outputs, first, strict=True):
                output.copy_(value)
        return graph, outputs

    def _details(self) -> dict[str, object]:
        return {**super()._details(), "cuda_graph": self._graph is not None}

    def _close(self) -> None:
        self._graph, self._graph_outputs = None, None
        # cuBLAS made a workspace for the stream of the capture, which nobody uses again.
        torch._C._cuda_clearCublasWorkspaces()
        super()._close()


class FusedSession(GraphSession):
    """The network of fused kernels, replayed; what it compiles is kept."""

    def __init__(self, artifact: Artifact, device: str, options: LoadOptions) -> None:
        target = artifact.manifest.options.get("target")
        if target != FUSED_TARGET:
            raise UnsupportedError(
                f"mode fused runs artifacts of target {FUSED_TARGET!r}, not {target!r}: export with --target {FUSED_TARGET}"
            )
        super().__init__(artifact, device, options)

    @property
    def program(self) -> torch.fx.GraphModule:
        """The network traced as it lies on the device; that takes seconds, and nothing but a profile asks for it."""
        with torch.no_grad():
            program = torch.export.export(self._module, self.bound, strict=False)
        return program.module(check_guards=False)

    def _load(self) -> tuple[nn.Module, Forward]:
        # cuDNN times no candidates: 5 views take 14.4 ms either way (H100), and the first result comes 0.3 to 0.8 s sooner.
        torch.backends.cudnn.benchmark = False
        torch_device.grow_segments(self._device)
        if self._device.type == "cuda":
            # Beside the reading of the weights. Where it fails, the first kernel does.
            self._kernels = ThreadPoolExecutor(1).submit(import_kernels)
        module = load_fused(self.artifact, self._device)
        # Its convolution kernels are stored as the fused network wants them.
        self._channels_last = 0
        return module, module

    def _capture(self, eager: Forward, *inputs: Tensor) -> tuple[torch.cuda.CUDAGraph, object]:
        wait([self._kernels])
        with self.kernel_caches():
            return super()._capture(eager, *inputs)

    def kernel_caches(self) -> AbstractContextManager[None]:
        """Context in which compiled kernels, Triton's and ours, are kept in :attr:`cache_folder`.

        Raises:
            LoadError: the folder can't be written to.
        """
        return compiler_caches(self.cache_folder, TRITON_CACHE_DIR="triton", DEPTHPORT_KERNEL_CACHE="cubin")

    @property
    def cache_folder(self) -> Path:
        """Folder of this session's compiled kernels."""
        return cache_folder(self.artifact, self.options)
