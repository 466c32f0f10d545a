"""Times of a program, operator by operator, which `depthport profile` adds up by part of the network.

The program is run by an interpreter that gives every operator a label. On the CPU the clock is read around each. On CUDA
PyTorch's profiler (CUPTI) tells how long the kernels took that each label launched, so gaps between launches, which a
CUDA graph does not have, are no part of it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, fx
from torch._C._autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from depthport.exporters.core.errors import RunError
from depthport.runtimes.base import DeviceRates, OperatorTime
from depthport.runtimes.pytorch.device import wait

_LABEL = "depthport:"
_WARM_UPS = 2
_MATMUL_SIZE = {"cpu": 1024, "cuda": 8192}
_COPY_BYTES = {"cpu": 64 << 20, "cuda": 1 << 30}
_CACHED_BYTES = tuple(1 << power for power in range(16, 26, 2))
"""Of copies that caches may hold: 64 KiB to 16 MiB."""


def profile_program(module: fx.GraphModule, inputs: tuple[Tensor, ...], calls: int) -> list[OperatorTime]:
    """Time every operator of `module`, an exported program on the device of `inputs`, in each of `calls`.

    Raises:
        RunError: a device other than cpu and cuda, or a profiler that saw no kernel.
    """
    if inputs[0].device.type not in _MATMUL_SIZE:
        raise RunError(f"operators can't be timed on {inputs[0].device.type}: use cpu or cuda")
    interpreter = _Interpreter(module)
    with torch.inference_mode():
        interpreter.run(*inputs)
        for _ in range(_WARM_UPS):
            interpreter.run(*inputs)
        interpreter.seconds.clear()
        if inputs[0].device.type == "cpu":
            for _ in range(calls):
                interpreter.run(*inputs)
            seconds: Mapping[str, Sequence[float]] = interpreter.seconds
        else:
            seconds = _kernel_seconds(lambda: interpreter.run(*inputs), inputs[0].device, calls)
    return [
        OperatorTime(*interpreter.work[node], tuple(seconds.get(node.name, ())) or (0.0,) * calls)
        for node in module.graph.nodes
        if node in interpreter.work
    ]


class _Interpreter(fx.Interpreter):
    """Runs a program under labels; on the CPU it keeps the clock, on the first run it notes shapes and work."""

    def __init__(self, module: fx.GraphModule) -> None:
        super().__init__(module)
        self.seconds: dict[str, list[float]] = {}
        self.work: dict[fx.Node, tuple[str, str, tuple[tuple[int, ...], ...], int, int]] = {}

    def run_node(self, n: fx.Node) -> object:
        if n.op != "call_function":
            return super().run_node(n)
        with torch.profiler.record_function(_LABEL + n.name):
            begin = time.perf_counter()
            value = super().run_node(n)
            elapsed = time.perf_counter() - begin
        self.seconds.setdefault(n.name, []).append(elapsed)
        if n not in self.work:
            arguments = [given for given in map(self.env.get, n.all_input_nodes) if isinstance(given, Tensor)]
            results = [part for part in (value if isinstance(value, Sequence) else (value,)) if isinstance(part, Tensor)]
            name = operator_name(n.target)
            shapes = tuple(tuple(tensor.shape) for tensor in arguments)
            self.work[n] = (
                _path(n), name, shapes, flop(name, shapes, tuple(results[0].shape) if results else ()),
                _moved(arguments, results),
            )  # fmt: skip
        return value


def operator_name(target: Any) -> str:
    """`aten.linear.default` and `depthport.attention.default` as `linear` and `attention`."""
    schema = getattr(target, "_schema", None)
    return getattr(target, "__name__", str(target)) if schema is None else schema.name.rpartition("::")[2]


def flop(name: str, shapes: Sequence[tuple[int, ...]], result: tuple[int, ...]) -> int:
    """Floating-point operations of an operator, a multiplication and an addition counted as two.

    Args:
        name: as :func:`operator_name` gives it.
        shapes: of its tensor arguments in order.
        result: shape of its (first) result.
    """
    size = math.prod(result)
    if name in ("linear", "linear_gelu"):
        return 2 * size * shapes[1][-1]
    if name in ("matmul", "mm", "bmm"):
        return 2 * size * shapes[0][-1]
    if name in ("conv2d", "convolution"):
        return 2 * size * math.prod(shapes[1][1:])
    if name == "convolution_relu":  # kernel (O, 3, 3, C)
        return 2 * size * math.prod(shapes[1][1:])
    if name == "conv_transpose2d":
        return 2 * math.prod(shapes[0]) * math.prod(shapes[1][1:])
    if name == "scaled_dot_product_attention":  # (G, heads, L, D)
        return 4 * math.prod(shapes[0]) * shapes[1][-2]
    if name == "attention":  # (G, L, heads, D)
        return 4 * math.prod(shapes[0]) * shapes[1][1]
    return 0


def _moved(arguments: Sequence[Tensor], results: Sequence[Tensor]) -> int:
    """Bytes of arguments and results; 0 where a result is a view of an argument."""
    storages = {tensor.untyped_storage().data_ptr() for tensor in arguments}
    if not results or any(tensor.untyped_storage().data_ptr() in storages for tensor in results):
        return 0
    return sum(tensor.numel() * tensor.element_size() for tensor in (*arguments, *results))


def _path(node: fx.Node) -> str:
    stack = node.meta.get("nn_module_stack") or {}
    return str(list(stack.values())[-1][0]) if stack else ""


def _kernel_seconds(call: Callable[[], object], device: torch.device, calls: int) -> dict[str, list[float]]:
    """Device time of each label's kernels, call by call."""
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as record:
        for _ in range(calls):
            call()
        wait(device)
    seconds: dict[str, list[float]] = {}
    for event in sorted(record.events() or (), key=lambda event: event.time_range.start):
        if event.name.startswith(_LABEL) and event.device_type == DeviceType.CPU:
            seconds.setdefault(event.name.removeprefix(_LABEL), []).append(event.device_time_total / 1e6)
    if not any(map(any, seconds.values())):
        raise RunError("PyTorch's profiler saw no kernel on this device: CUPTI may be in use or forbidden here")
    return seconds


def measure_rates(device: torch.device, dtype: torch.dtype, repetitions: int = 7) -> DeviceRates:
    """The device's rates: the best of a few repetitions, on random numbers (zeros multiply faster)."""
    size = _MATMUL_SIZE[device.type]
    a, b = (torch.randn(size, size, device=device, dtype=torch.float32).to(dtype) for _ in range(2))
    product = torch.empty_like(a)
    source = torch.randn(_COPY_BYTES[device.type] // 4, device=device)
    target = torch.empty_like(source)

    def copied_bytes_s(moved: int) -> float:
        few = moved // 8
        # An addition, because `copy_` uses the copy engine, which is slower than kernels are.
        return moved / _best(lambda: torch.add(source[:few], 1.0, out=target[:few]), device, repetitions)

    with torch.inference_mode():
        matmul = _best(lambda: torch.mm(a, b, out=product), device, repetitions)
        cached = tuple((moved, copied_bytes_s(moved)) for moved in _CACHED_BYTES)
        copied = copied_bytes_s(2 * _COPY_BYTES[device.type])
    return DeviceRates(2 * size**3 / matmul, copied, str(dtype).removeprefix("torch."), cached)


def _best(call: Callable[[], object], device: torch.device, repetitions: int) -> float:
    best = math.inf
    for _ in range(repetitions + 1):
        wait(device)
        begin = time.perf_counter()
        call()
        wait(device)
        best = min(best, time.perf_counter() - begin)
    return best
