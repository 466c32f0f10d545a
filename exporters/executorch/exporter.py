"""Exporter `executorch`: one `model.pte` for a backend, through ExecuTorch's own lowering.

Targets are backends: `xnnpack` (CPUs of phones and desktops; what no target means), and `coreml` and `vulkan`, which are
lowered anywhere and run only where such a device and a runtime built for it are; there the file is checked for what the
backend took over, not run, and the manifest says so. An XNNPACK file counts as written only if ExecuTorch computes the
network with it (:mod:`depthport.exporters.pytorch.converted`): to 1e-5 in fp32, and in fp16 no worse than a few times what
PyTorch loses in fp16, with the same reference view.

Lowering happens in a process of its own, on a copy of the program, without network
(:mod:`depthport.exporters.core.isolation`); the one program it may start is `flatc`, which comes with ExecuTorch.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar

import numpy as np

from depthport.exporters.base import ExportContext, Exporter, ExportResult
from depthport.exporters.core import install
from depthport.exporters.core.errors import ExportError, UnsupportedError, UsageError
from depthport.exporters.core.isolation import Isolated, call_isolated
from depthport.exporters.da3.request import ExportRequest
from depthport.exporters.executorch import convert
from depthport.exporters.pytorch.converted import (
    Arrays,
    fp32_network,
    network_outputs,
    probe_inputs,
    require_network,
    require_rounded,
    save_copy,
)
from depthport.exporters.pytorch.program import require_static

MODEL_FILE = "model.pte"
XNNPACK = "xnnpack"
BACKENDS = (XNNPACK, "coreml", "vulkan")
PRECISIONS = ("fp32", "fp16")
NO_INT8 = (
    "with every linear layer in XNNPACK's int8 da3-small's cameras turn by 4.7° and depth is 1.9e-2 off at three views; "
    "use fp16, or a format that quantizes only what a budget allows"
)
NEEDED = {"torch": "torch", "executorch": "executorch", "torchao": "torchao"}
_INSTALL = str(install.DA3_EXECUTORCH)
_PROGRAMS = ("flatc",)


class ExecuTorchExporter(Exporter):
    """A `.pte` with the method `forward`, static shape; outputs in the manifest's order, for the format has no names."""

    format: ClassVar[str] = "executorch"
    targets: ClassVar[tuple[str, ...]] = BACKENDS
    main_file: ClassVar[str | None] = MODEL_FILE
    slow: ClassVar[bool] = True
    packages: ClassVar[tuple[str, ...]] = ("executorch", "torchao")

    def probe(self) -> str | None:
        missing = [name for module, name in NEEDED.items() if find_spec(module) is None]
        return f"{', '.join(missing)} not installed: {_INSTALL}" if missing else None

    def options(self, request: ExportRequest) -> dict[str, object]:
        if request.policy.quantization is not None:
            raise UnsupportedError(f"format {self.format!r} has no {request.policy.name}: {NO_INT8}")
        require_static(request, allow=("pose_input",))
        if request.policy.name not in PRECISIONS:
            raise UnsupportedError(f"format {self.format!r} has no precision {request.policy.name!r}: use fp32 or fp16")
        if request.target not in (None, *BACKENDS):
            raise UsageError(
                f"format {self.format!r} has no target {request.target!r}: choose one of {', '.join(BACKENDS)}, "
                f"or none for {XNNPACK}"
            )
        return {**super().options(request), "backend": request.target or XNNPACK}

    def write(self, context: ExportContext, directory: Path) -> ExportResult:
        work = directory / "work"
        work.mkdir()
        backend = context.request.target or XNNPACK
        network, inputs = context.network(), probe_inputs(context)
        save_copy(context, network, work / "program.pt2")
        called = self._call(context, work, convert.lower, program="program.pt2", model=MODEL_FILE, backend=backend)
        lowering = called.value
        if not lowering["delegated_nodes"]:
            raise ExportError(
                f"backend {backend!r} took over nothing of {context.request.model.name}: choose another target"
            )
        extra = {"lowering": lowering, "converter": {**called.isolation, "peak_mib": called.peak_mib}}
        if backend == XNNPACK:
            context.progress("running the network")
            names = context.request.outputs
            rounded = network_outputs(network, names, inputs)
            context.progress("running the file")
            np.savez(work / "inputs.npz", **inputs)  # type: ignore[arg-type]
            self._call(
                context, work, convert.run, model=MODEL_FILE, inputs="inputs.npz", outputs="outputs.npz", names=list(names)
            )
            with np.load(work / "outputs.npz") as found:
                extra["checks"] = self._checked(context, dict(found), rounded, inputs)
        else:
            extra["not_run"] = (
                f"no {backend} backend in the runtime that comes with ExecuTorch's package: run it on a device"
            )
        (work / MODEL_FILE).rename(directory / MODEL_FILE)
        shutil.rmtree(work)
        return ExportResult(extra=extra, target={"backend": backend})

    @staticmethod
    def _checked(context: ExportContext, found: Arrays, own: Arrays, inputs: Arrays) -> dict[str, dict[str, float]]:
        """The file's outputs against the network's own: in fp32, or in PyTorch's run of the same precision."""
        if context.request.policy.name == "fp32":
            return {"conversion": require_network(found, own)}
        expected = network_outputs(fp32_network(context), context.request.outputs, inputs)
        return {"rounded": require_rounded(found, expected, own)}

    @staticmethod
    def _call(context: ExportContext, work: Path, function: Callable[..., object], **arguments: object) -> Isolated:
        return call_isolated(function, arguments, work, context.progress, _PROGRAMS)
