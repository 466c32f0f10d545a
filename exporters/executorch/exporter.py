"""Exporter `executorch`: one `model.pte` for a backend, through ExecuTorch's own lowering.

Targets are backends: `xnnpack` (CPUs of phones and desktops; what no target means), and `coreml` and `vulkan`, whose files
run only where such a device and a runtime built for it are. A file counts as written only if it computes the network
(:mod:`depthport.exporters.pytorch.converted`): to 1e-5 in fp32, and in fp16 no worse than a few times what PyTorch loses in
fp16, with the same reference view. XNNPACK's is executed by ExecuTorch; of the others the lowered graph is computed in
PyTorch (:mod:`depthport.exporters.executorch.backends`), and the manifest says that and that the file was `not_run`.

Lowering happens in a process of its own, on a copy of the program, without network
(:mod:`depthport.exporters.core.isolation`); the one program it may start is `flatc`, which comes with ExecuTorch.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar

import numpy as np

from depthport.exporters.base import ExportContext, Exporter, ExportResult
from depthport.exporters.core import install
from depthport.exporters.core.artifact import Artifact, Manifest
from depthport.exporters.core.errors import ExportError, UnavailableError, UnsupportedError, UsageError
from depthport.exporters.core.inspection import Table
from depthport.exporters.core.isolation import Isolated, call_isolated
from depthport.exporters.core.usable import unusable
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
NOT_RUN = {
    "coreml": "Core ML runs on Apple's systems alone; its ML Programs were computed by depthport's interpreter of them",
    "vulkan": "ExecuTorch's package has no Vulkan runtime; the lowered graph was computed in PyTorch, without its shaders",
}
COREML_EXTENSION = "executorch.backends.apple.coreml.executorchcoreml"
_PROGRAMS = ("flatc",)


class ExecuTorchExporter(Exporter):
    """A `.pte` with the method `forward`, static shape; outputs in the manifest's order, for the format has no names."""

    format: ClassVar[str] = "executorch"
    targets: ClassVar[tuple[str, ...]] = BACKENDS
    main_file: ClassVar[str | None] = MODEL_FILE
    slow: ClassVar[bool] = True
    packages: ClassVar[tuple[str, ...]] = ("executorch", "torchao", "coremltools")

    def probe(self) -> str | None:
        missing = unusable(install.DA3_EXECUTORCH, "torch", "executorch", "torchao")
        return ": ".join(missing) if missing else None

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
        if backend == "coreml" and find_spec(COREML_EXTENSION) is None:
            raise UnavailableError(
                "ExecuTorch's package lowers to Core ML on macOS and on Linux x86-64, with Python 3.10 to 3.13: "
                "use one of them, or another target"
            )
        network, inputs, names = context.network(), probe_inputs(context), list(context.request.outputs)
        save_copy(context, network, work / "program.pt2")
        context.progress("running the network")
        own = network_outputs(network, context.request.outputs, inputs)
        np.savez(work / "inputs.npz", **inputs)  # type: ignore[arg-type]
        arrays = {"inputs": "inputs.npz", "outputs": "outputs.npz", "names": names}
        there = {} if backend == XNNPACK else arrays
        called = self._call(context, work, convert.lower, program="program.pt2", model=MODEL_FILE, backend=backend, **there)
        lowering = called.value
        if not lowering["delegated_nodes"]:
            raise ExportError(
                f"backend {backend!r} took over nothing of {context.request.model.name}: choose another target"
            )
        if backend == XNNPACK:
            context.progress("running the file")
            self._call(context, work, convert.run, model=MODEL_FILE, **arrays)
        with np.load(work / "outputs.npz") as found:
            checks = self._checked(context, dict(found), own, inputs)
        (work / MODEL_FILE).rename(directory / MODEL_FILE)
        shutil.rmtree(work)
        extra = {
            "lowering": lowering, "checks": checks, "converter": {**called.isolation, "peak_mib": called.peak_mib},
            **({"not_run": NOT_RUN[backend]} if backend in NOT_RUN else {}),
        }  # fmt: skip
        return ExportResult(extra=extra, target={"backend": backend})

    def declares(self, manifest: Manifest) -> tuple[tuple[str, str], ...]:
        extra = manifest.extra
        if "delegated_share" not in extra.get("lowering", ()):  # written by an earlier version
            return ()
        lowering = extra["lowering"]
        taken = f"{lowering['delegated_share']:.1%} of the operators in {lowering['delegates']} stretches"
        not_run = (("not run", extra["not_run"]),) if "not_run" in extra else ()
        return ((lowering["backend"], taken), *not_run)

    def inspect(
        self, artifact: Artifact, arrays: Mapping[str, np.ndarray] | None = None, run: bool = True  # noqa: ARG002
    ) -> tuple[Table, ...]:  # fmt: skip
        extra = artifact.manifest.extra
        outside = tuple((name, str(count)) for name, count in extra["lowering"]["other_nodes"].items())
        errors = tuple(
            (name, f"{error:.1e}") for found in extra.get("checks", {}).values() for name, error in found.items()
        )
        return (
            Table("Outside of the backend", ("operator", "count"), outside, "One CPU thread, ExecuTorch's own kernels."),
            Table("Checked when it was made", ("output", "error"), errors, "Relative L2, against the network in fp32."),
        )

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
