"""Exporter `litert`: one `model.tflite` for phones, browsers and desktops, through litert-torch.

Its signature `serving_default` takes and gives tensors by the manifest's names; `reference_view` is int32, because the
format's runtimes have little int64. The file counts as written only if LiteRT computes the network with it
(:mod:`depthport.exporters.pytorch.converted`). Conversion and quantization happen in a process of their own, on a copy of
the program, without network (:mod:`depthport.exporters.core.isolation`).

Precision `fp16` stores weights in fp16; arithmetic is then the runtime's choice (fp32 on CPUs, fp16 in GPU delegates).
Precision `int8` is ai-edge-quantizer's: int8 products with activations rounded at every call, its mix judged by depth and
poses on photographs (:class:`~depthport.exporters.quantization.plan.Int8Options`).
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np

from depthport.exporters.base import ExportContext, Exporter, ExportResult
from depthport.exporters.core import install
from depthport.exporters.core.artifact import Manifest
from depthport.exporters.core.errors import UnsupportedError, UsageError
from depthport.exporters.core.isolation import Isolated, call_isolated
from depthport.exporters.core.options import Options
from depthport.exporters.core.usable import unusable
from depthport.exporters.da3.request import ExportRequest
from depthport.exporters.da3.signature import input_specs
from depthport.exporters.litert import convert
from depthport.exporters.litert.quantize import Chosen, choose_recipe, held_out, read_trials
from depthport.exporters.litert.recipes import Recipe, half
from depthport.exporters.pytorch.converted import (
    errors,
    fp32_network,
    network_outputs,
    probe_inputs,
    require_network,
    save_copy,
)
from depthport.exporters.pytorch.program import require_static
from depthport.exporters.quantization.plan import Int8Options, int8_options

MODEL_FILE = "model.tflite"
PRECISIONS = ("fp32", "fp16", "int8")


class LiteRTExporter(Exporter):
    """A `.tflite` with one named signature, static shape."""

    format: ClassVar[str] = "litert"
    main_file: ClassVar[str | None] = MODEL_FILE
    slow: ClassVar[bool] = True
    packages: ClassVar[tuple[str, ...]] = ("litert-torch", "litert-converter", "ai-edge-litert", "ai-edge-quantizer")
    takes: ClassVar[tuple[type[Options], ...]] = (Int8Options,)

    def probe(self) -> str | None:
        missing = unusable(install.DA3_LITERT, "torch", *self.packages)
        return ": ".join(missing) if missing else None

    def options(self, request: ExportRequest) -> dict[str, object]:
        require_static(request, allow=("pose_input", "quantization int8"))
        if request.policy.name not in PRECISIONS:
            raise UnsupportedError(
                f"format {self.format!r} has no precision {request.policy.name!r}: use fp32, fp16 or int8"
            )
        if request.target is not None:
            raise UsageError(f"format {self.format!r} has no target {request.target!r}: leave it out")
        if request.policy.quantization is None:
            return super().options(request)
        if request.pose_input:
            raise UnsupportedError(f"format {self.format!r} has no int8 with pose inputs: export fp32 or fp16")
        return {"target": None, **int8_options(request).to_json()}

    def declares(self, manifest: Manifest) -> tuple[tuple[str, str], ...]:
        extra = manifest.extra
        if "quantization" not in extra:
            return (("arithmetic", extra["arithmetic"]),) if "arithmetic" in extra else ()
        found, worst = extra["quantization"], extra["quantization"]["held_out"]
        cost = f"on photographs depth is off by {worst['depth']:.1e}, cameras by {worst['rotation_deg']:.2f}°"
        return (("int8", f"{found['share_of_gflop']:.1%} of the products ({found['arithmetic']}); {cost}"),)

    def write(self, context: ExportContext, directory: Path) -> ExportResult:
        work = directory / "work"
        work.mkdir()
        build = _Build(context, work)
        build.convert()
        extra = build.finish()
        (work / MODEL_FILE).rename(directory / MODEL_FILE)
        shutil.rmtree(work)
        return ExportResult(extra=extra)


class _Build:
    """The steps of one export, in a folder that the converter may do with as it likes."""

    def __init__(self, context: ExportContext, work: Path) -> None:
        self.context = context
        self.work = work
        self.inputs = probe_inputs(context)
        network = fp32_network(context)
        save_copy(context, network, work / "program.pt2")
        context.progress("running the network")
        self.expected = network_outputs(network, context.request.outputs, self.inputs)

    def convert(self) -> None:
        """The fp32 file, proved to be the network."""
        names = [spec.native_name for spec in input_specs(self.context.request)]
        called = self._call(
            convert.convert, program="program.pt2", model="fp32.tflite", inputs=names, outputs=self.context.request.outputs
        )
        (self.work / "program.pt2").unlink()
        self.isolation = {**called.isolation, "peak_mib": called.peak_mib}
        self.context.progress("running the file")
        self.parity = require_network(self._run("fp32.tflite"), self.expected)

    def finish(self) -> dict[str, object]:
        """The file of the request's precision, and what to say of it."""
        checks = {"conversion": self.parity}
        extra: dict[str, object] = {"converter": self.isolation, "checks": checks}
        policy = self.context.request.policy
        if policy.name == "fp32":
            (self.work / "fp32.tflite").rename(self.work / MODEL_FILE)
            return extra
        recipe = half()
        if policy.quantization is not None:
            chosen = self._choose()
            recipe, extra["quantization"] = chosen.recipe, chosen.report
        else:
            extra["arithmetic"] = "float32 on CPUs, float16 where a GPU delegate computes in it"
        self.context.progress(f"writing {policy.name}")
        self._call(convert.quantize, model="fp32.tflite", quantized=MODEL_FILE, recipe=recipe)
        # Not judged: what rounding costs is a property of the precision. Missing, misshapen or infinite outputs are.
        checks["rounded"] = errors(self._run(MODEL_FILE), self.expected)
        return extra

    def _choose(self) -> Chosen:
        np.savez(self.work / "scenes.npz", **held_out(self.context))  # type: ignore[arg-type]
        gflop = self._call(convert.arithmetic, model="fp32.tflite").value

        def try_(recipes: Sequence[Recipe], outputs: Sequence[str]) -> list[dict[str, np.ndarray]]:
            trials = self._call(
                convert.try_recipes, model="fp32.tflite", recipes=recipes, scenes="scenes.npz", outputs=list(outputs)
            )
            return read_trials(self.work, trials.value)

        return choose_recipe(self.context, gflop, try_)

    def _run(self, model: str) -> dict[str, np.ndarray]:
        np.savez(self.work / "inputs.npz", **self.inputs)  # type: ignore[arg-type]
        self._call(convert.run, model=model, inputs="inputs.npz", outputs="outputs.npz")
        with np.load(self.work / "outputs.npz") as found:
            return dict(found)

    def _call(self, function: Callable[..., object], **arguments: object) -> Isolated:
        return call_isolated(function, arguments, self.work, self.context.progress)
