"""What a user would run on a CPU instead, each with its own package alone, and ours: the workers of
`depthport.bench.studies.alternatives`.

Nothing of ours is between a package and the network here, except in the cells that are called ours: upstream's module is
exported, quantized and compiled with each package's own call and its defaults, the number of threads aside.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from msgspec import Struct

from depthport.bench.workers.messages import Done, Request
from depthport.bench.workers.serve import serve
from depthport.exporters.core.files.npz import write_npz
from depthport.exporters.core.json_types import JsonObject
from depthport.exporters.core.provenance import peak_rss_mib

if TYPE_CHECKING:
    from torch import nn

Array = np.ndarray
Run = Callable[[Array], Mapping[str, Array]]
"""`image` (B, N, 3, H, W) float32 to outputs by name."""

OUTPUTS = ("depth", "depth_conf", "extrinsics", "intrinsics")
BASELINE = "upstream, eager"


def upstream_module(model: str, weights: str) -> nn.Module:
    """Upstream's network behind `forward(image)`, which returns :data:`OUTPUTS` in order (models with all of them)."""
    from torch import Tensor, nn

    from depthport.exporters.da3.build import named_upstream

    class Upstream(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = named_upstream(model, weights)

        def forward(self, image: Tensor) -> tuple[Tensor, ...]:
            given = self.net(image)
            return tuple(given[name] for name in OUTPUTS)

    return Upstream().eval()


def write_plain_onnx(model: str, weights: str, image: Array, path: Path) -> str | None:
    """`torch.onnx.export` of upstream's module as it is, by either of torch's exporters; why both failed, or None."""
    import torch

    module = upstream_module(model, weights)
    reasons = []
    for name, dynamo in (("dynamo", True), ("TorchScript", False)):
        try:
            with torch.no_grad():
                torch.onnx.export(
                    module, (torch.from_numpy(image),), path, dynamo=dynamo, input_names=["image"],
                    output_names=list(OUTPUTS), external_data=False,
                )  # fmt: skip
        except Exception as error:  # noqa: BLE001 - whatever it raises is the answer: a user would see the same
            path.unlink(missing_ok=True)
            reasons.append(f"{name}: {innermost(error)}")
        else:
            return None
    return "; ".join(reasons)


def innermost(error: BaseException) -> str:
    """The first cause's first line: what torch's exporter wraps around it says nothing."""
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause
    return f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0][:160]}"


def write_dynamic_int8(plain: Path, path: Path) -> None:
    """ONNX Runtime's `quantize_dynamic` of every MatMul it takes, int8 weights, its other defaults."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    quantize_dynamic(plain, path, weight_type=QuantType.QInt8, op_types_to_quantize=["MatMul", "Gemm"])


def upstream_run(model: str, weights: str, threads: int, *, compiled: bool) -> Run:
    """Upstream's module in PyTorch."""
    import torch

    torch.set_num_threads(threads)
    module: Any = upstream_module(model, weights)
    if compiled:
        module.net = torch.compile(module.net)

    def run(image: Array) -> Mapping[str, Array]:
        with torch.inference_mode():
            return {name: value.numpy() for name, value in zip(OUTPUTS, module(torch.from_numpy(image)), strict=True)}

    return run


def onnxruntime_run(path: Path, threads: int) -> Run:
    """An ONNX file in ONNX Runtime's CPU provider."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]

    def run(image: Array) -> Mapping[str, Array]:
        return dict(zip(names, session.run(None, {"image": image}), strict=True))

    return run


def openvino_run(path: Path, threads: int) -> Run:
    """An ONNX file in OpenVINO's CPU plugin, which takes bf16 by itself where the processor has it."""
    import openvino

    compiled = openvino.Core().compile_model(path, "CPU", {"INFERENCE_NUM_THREADS": threads})
    names = [output.get_any_name() for output in compiled.outputs]

    def run(image: Array) -> Mapping[str, Array]:
        found = compiled([image])
        return {name: found[index] for index, name in enumerate(names)}

    return run


def our_run(runtime: str, artifact: str, threads: int, mode: str | None) -> Run:
    """An artifact of ours through its adapter."""
    from depthport.exporters.core.artifact import load_artifact
    from depthport.runtimes.base import LoadOptions
    from depthport.runtimes.registry import get_runtime

    session = get_runtime(runtime).load(load_artifact(artifact), "cpu", LoadOptions(mode=mode, threads=threads))

    def run(image: Array) -> Mapping[str, Array]:
        session.bind({"image": image})
        session.run()
        session.synchronize()
        return session.outputs()

    return run


def network_gflop(artifact: str) -> float:
    """Arithmetic of one call of the static network, a `pytorch` artifact: products, convolutions and attention."""
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    from depthport.exporters.core.artifact import load_artifact
    from depthport.runtimes.base import LoadOptions
    from depthport.runtimes.registry import get_runtime

    loaded = load_artifact(artifact)
    shape = loaded.manifest.shape
    with get_runtime("pytorch").load(loaded, "cpu", LoadOptions(mode="eager")) as session:
        session.bind({"image": np.zeros((shape.batch, shape.views, 3, shape.height, shape.width), np.float32)})
        # The counter does not know the CPU's fused attention; as two products it counts.
        with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
            session.run()
            session.synchronize()
    return float(counter.get_total_flops()) / 1e9


def make(cell: Mapping[str, Any]) -> Run:
    """The run of a cell: `kind` and what its function takes."""
    kinds: dict[str, Callable[..., Run]] = {
        "upstream": upstream_run, "onnxruntime": onnxruntime_run, "openvino": openvino_run, "ours": our_run,
    }  # fmt: skip
    return kinds[cell["kind"]](**{name: value for name, value in cell.items() if name not in ("kind", "name")})


class LoadCell(Request[Done], frozen=True, tag="load"):
    """Load and infer once, untimed."""

    reply = Done
    cell: JsonObject
    images: tuple[str, ...]


class Peak(Struct, frozen=True):
    peak_mib: float | None


class GetPeak(Request[Peak], frozen=True, tag="peak"):
    """Peak resident memory of this process."""

    reply = Peak


class Work(Struct, frozen=True):
    gflop: float


class CountWork(Request[Work], frozen=True, tag="count"):
    """Arithmetic of the network."""

    reply = Work
    artifact: str


class Times(Struct, frozen=True):
    ns: list[int]


class TimeScene(Request[Times], frozen=True, tag="block"):
    """One inference to wake up, then timed ones; numpy in, numpy out. Outputs of the last go to a file."""

    reply = Times
    scene: int
    calls: int
    outputs: str


AnyRequest = LoadCell | GetPeak | CountWork | TimeScene


class Worker:
    """One cell in one process."""

    def handle(self, request: AnyRequest, progress: Callable[[str], None]) -> Done | Peak | Work | Times:
        match request:
            case LoadCell():
                self.images = [np.load(path) for path in request.images]
                self.run = make(request.cell)
                self.run(self.images[0])
                return Done()
            case GetPeak():
                return Peak(peak_rss_mib())
            case CountWork():
                return Work(network_gflop(request.artifact))
            case TimeScene():
                return self.block(request)

    def block(self, request: TimeScene) -> Times:
        image = self.images[request.scene]
        self.run(image)
        samples = []
        outputs: Mapping[str, Array] = {}
        for _ in range(request.calls):
            started = time.perf_counter_ns()
            outputs = self.run(image)
            samples.append(time.perf_counter_ns() - started)
        write_npz(Path(request.outputs), {name: outputs[name] for name in OUTPUTS})
        return Times(samples)


if __name__ == "__main__":
    serve(AnyRequest, Worker().handle)
