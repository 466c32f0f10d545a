"""Runtime `litert`: `.tflite` artifacts in LiteRT's interpreter on the CPU, by XNNPACK's kernels.

What LiteRT would decide by itself is decided here: it uses one thread unless told; here what the cgroup allows
(:mod:`depthport.runtimes.host.threads`). Tensors are found by the names of the file's signature, and int32 becomes what
the manifest says.

The placement counts what really runs: XNNPACK takes over whole stretches of the graph, and what it has no kernel for
stays with LiteRT's own, on the same CPU. LiteRT lists both; which of them it executes follows from the outputs backwards.

GPU and NPU delegates are phones' (and Macs'): none is offered here.
"""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from depthport.exporters.core import install
from depthport.exporters.core.artifact import Artifact
from depthport.exporters.core.errors import LoadError, RunError, one_line
from depthport.exporters.core.options import Options, read_options
from depthport.exporters.core.usable import unusable
from depthport.runtimes.base import Arrays, Device, LoadOptions, Mode, Placement, Runtime, Session
from depthport.runtimes.host.cpu import cpu_description
from depthport.runtimes.host.threads import allowed_threads

MODEL_FILE = "model.tflite"
SIGNATURE = "serving_default"
XNNPACK = Mode("xnnpack", "the interpreter with XNNPACK's kernels, all threads on one inference")
DELEGATE = "DELEGATE"
OFF_TARGET = (
    "LiteRT is for phones: the same kernels on this CPU show which of two artifacts is faster, not how fast a phone is"
)

_ERRORS = (ValueError, RuntimeError, TypeError, OSError)


class LiteRTRuntime(Runtime):
    """LiteRT through the interpreter of `ai-edge-litert`."""

    name: ClassVar[str] = "litert"
    formats: ClassVar[tuple[str, ...]] = ("litert",)
    title: ClassVar[str] = "LiteRT"
    licence: ClassVar[str | None] = "Apache-2.0"
    packages: ClassVar[tuple[str, ...]] = ("ai-edge-litert",)
    quantized: ClassVar[tuple[str, ...]] = ("int8",)

    def probe(self) -> list[Device]:
        if (missing := _missing()) is not None:
            return [Device("cpu", cpu_description(), unavailable=missing[0], remedy=missing[1])]
        return [Device("cpu", cpu_description(), (XNNPACK,), ("fp32", "fp16", "int8"), off_target=OFF_TARGET)]

    def _load(self, artifact: Artifact, device: str, options: LoadOptions) -> Session:
        self.mode(self.device(device), options.mode)
        read_options(Options, options.extra, self.name)
        return LiteRTSession(artifact, device, options)


def _missing() -> tuple[str, str] | None:
    """Return why LiteRT can't run here, and the line that repairs it."""
    if (missing := unusable(install.LITERT, "ai-edge-litert")) is not None:
        return missing
    try:
        from ai_edge_litert.interpreter import Interpreter  # noqa: F401
    except (ImportError, OSError) as error:
        return f"ai-edge-litert does not start ({one_line(error)})", str(install.LITERT_AGAIN)
    return None


class LiteRTSession(Session):
    """An interpreter with its tensors allocated; `run` returns when the outputs are there."""

    def __init__(self, artifact: Artifact, device: str, options: LoadOptions) -> None:
        super().__init__(artifact, device, options)
        from ai_edge_litert.interpreter import Interpreter

        self._threads = options.threads or allowed_threads()
        try:
            self._interpreter = Interpreter(model_path=str(artifact.file(MODEL_FILE)), num_threads=self._threads)
            self._interpreter.allocate_tensors()
            signature = self._interpreter.get_signature_runner(SIGNATURE)
            inputs, outputs = signature.get_input_details(), signature.get_output_details()
        except _ERRORS as error:
            raise LoadError(f"litert can't load {MODEL_FILE}: {one_line(error)}") from error
        self._inputs = {
            spec.name: inputs[spec.native_name]["index"] for spec in self.input_specs if spec.native_name in inputs
        }
        self._results = {
            spec.name: outputs[spec.native_name]["index"] for spec in self.output_specs if spec.native_name in outputs
        }
        if len(self._inputs) != len(inputs) or len(self._results) != len(outputs):
            raise LoadError(
                f"the model takes {sorted(inputs)} and gives {sorted(outputs)}, not what its manifest says: export it again"
            )

    def _bind(self, inputs: Mapping[str, np.ndarray]) -> None:
        for name, index in self._inputs.items():
            self._interpreter.set_tensor(index, np.ascontiguousarray(inputs[name]))

    def _run(self) -> None:
        try:
            self._interpreter.invoke()
        except _ERRORS as error:
            raise RunError(f"litert failed: {one_line(error)}") from error

    def _synchronize(self) -> None:
        """Nothing is left to wait for."""

    def _outputs(self) -> Arrays:
        return {
            spec.name: self._interpreter.get_tensor(self._results[spec.name]).astype(spec.dtype, copy=False)
            for spec in self.output_specs
        }

    def placement(self) -> Placement:
        operators = self._interpreter._get_ops_details()
        delegates, outside = executed(operators, self._results.values())
        inside = sum(operator["op_name"] != DELEGATE for operator in operators) - outside.total()
        return Placement(
            self.device,
            {
                "kernels": "XNNPACK" if delegates else "LiteRT's own",
                "threads": self._threads,
                "delegated_stretches": delegates,
                "delegated_nodes": inside,
                "other_nodes": dict(outside.most_common()),
            },
            delegated_share=inside / (inside + outside.total()),
        )

    def _close(self) -> None:
        del self._interpreter
        gc.collect()


def executed(operators: Sequence[Mapping[str, Any]], outputs: Any) -> tuple[int, Counter[str]]:
    """Return which of its listed operators an interpreter runs: it lists delegated ones and their delegates alike.

    Args:
        operators: as `Interpreter._get_ops_details` gives them: `op_name`, and `inputs` and `outputs`, indices of tensors.
        outputs: indices of the graph's outputs.

    Returns:
        The number of delegates (stretches of the graph that XNNPACK took over), and how many operators of each name run
        outside of them.
    """
    # A delegate comes after the operators it replaced and has their outputs: later entries win.
    producer = {int(tensor): number for number, operator in enumerate(operators) for tensor in operator["outputs"]}
    waiting, seen = [int(index) for index in outputs], set[int]()
    while waiting:
        number = producer.get(waiting.pop())
        if number is not None and number not in seen:
            seen.add(number)
            waiting += [int(index) for index in operators[number]["inputs"] if index >= 0]
    names = Counter(str(operators[number]["op_name"]) for number in seen)
    delegates = names.pop(DELEGATE, 0)
    return delegates, names


__all__ = ["MODEL_FILE", "LiteRTRuntime", "LiteRTSession", "executed"]
