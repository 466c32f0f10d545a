"""Check before a build: the nodes of an ONNX graph that TensorRT will refuse, and the cost of the build.

TensorRT's own messages come late and often name no node. The limits here are those of NVIDIA's documentation (operator
support of the ONNX parser, support matrix, "Limitations"): no double, complex or string tensors, at most 8 dimensions,
fewer than 2³¹ elements a tensor, bf16 from Ampere on and fp8 from Ada on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import prod
from typing import TYPE_CHECKING

from depthport.exporters.core.errors import UnsupportedError
from depthport.exporters.tensorrt.options import Range

if TYPE_CHECKING:
    import onnx_ir

MAX_RANK = 8
MAX_ELEMENTS = (1 << 31) - 1
BUILD_FACTOR = 4.7
"""Peak memory of a build over the bytes of the weights, beside the process's own: measured with TensorRT-RTX 1.7.1 on
da3-large in fp16 and bf16 (in fp32 3.3)."""
_TYPES = frozenset(
    ("FLOAT", "FLOAT16", "BFLOAT16", "INT8", "UINT8", "INT32", "INT64", "BOOL", "FLOAT8E4M3FN", "INT4", "FLOAT4E2M1")
)
_SINCE: Mapping[str, tuple[int, str]] = {"BFLOAT16": (80, "Ampere"), "FLOAT8E4M3FN": (89, "Ada")}
_SHOWN = 3


@dataclass(frozen=True)
class Problem:
    """One node that will not be built."""

    node: str
    operator: str
    why: str

    def __str__(self) -> str:
        return f"node {self.node!r} ({self.operator}): {self.why}"


@dataclass(frozen=True)
class Preflight:
    """Findings of the check."""

    problems: tuple[Problem, ...]
    nodes: int
    weights_bytes: int
    activations_bytes: int
    """Largest sum of tensors alive at once if every one is written out: fusion needs less."""
    build_bytes: int
    """Estimated peak memory of the build, on the host."""

    def require(self) -> None:
        """Raise UnsupportedError with one line if a node will not be built."""
        if self.problems:
            more = f"; and {len(self.problems) - _SHOWN} more" if len(self.problems) > _SHOWN else ""
            raise UnsupportedError(f"TensorRT can't build this graph: {'; '.join(map(str, self.problems[:_SHOWN]))}{more}")

    def estimate(self) -> dict[str, int]:
        """The estimate alone, for a manifest."""
        return {name: value for name, value in asdict(self).items() if name != "problems"}


def preflight(
    model: onnx_ir.Model, supports: Callable[[str], bool], capabilities: Sequence[str], profile: Mapping[str, Range]
) -> Preflight:
    """Check a graph.

    Args:
        model: the graph, weights need not be loaded.
        supports: whether the parser knows an operator (`OnnxParser.supports_operator`).
        capabilities: GPUs the engine is for.
        profile: ranges of the open dimensions; memory is estimated at their largest.
    """
    graph = model.graph
    sizes = {name: size.max for name, size in profile.items()}
    problems: list[Problem] = []
    for value in graph.inputs:
        open_dims = [str(dim) for dim in value.shape or () if not isinstance(dim, int) and str(dim) not in sizes]
        if value.shape is None or open_dims:
            what = f"leaves {', '.join(open_dims)} open without a range" if open_dims else "has no shape"
            problems.append(Problem(value.name or "", "input", f"{what}: give --option NAME=MIN:MAX"))
    for node in graph:
        why = _refusal(node, supports, capabilities, sizes)
        if why is not None:
            problems.append(Problem(node.name or (node.outputs[0].name or ""), node.op_type, why))
    weights = sum(v.const_value.nbytes for v in graph.initializers.values() if v.const_value is not None)
    return Preflight(
        tuple(problems), len(graph), weights, live_bytes(model, sizes), round(BUILD_FACTOR * weights),
    )  # fmt: skip


def _refusal(
    node: onnx_ir.Node, supports: Callable[[str], bool], capabilities: Sequence[str], sizes: Mapping[str, int]
) -> str | None:
    """Return why a node will not be built; None if it will."""
    if node.domain not in ("", "ai.onnx"):
        return f"it is of domain {node.domain!r}, which only its own runtime supports: export with --target tensorrt"
    if not supports(node.op_type):
        return "TensorRT's parser has no such operator"
    for value in (*node.inputs, *node.outputs):
        if value is None:
            continue
        kind = value.dtype.name if value.dtype is not None else ""
        if kind and kind not in _TYPES:
            return f"tensor {value.name!r} is {kind.lower()}, which TensorRT lacks"
        if kind in _SINCE:
            since, generation = _SINCE[kind]
            old = [name for name in capabilities if int(name[2:]) < since]
            if old:
                return f"tensor {value.name!r} is {kind.lower()}, which {', '.join(old)} has not: {generation} and newer do"
        shape = value.shape
        if shape is None:
            continue
        if len(shape) > MAX_RANK:
            return f"tensor {value.name!r} has {len(shape)} dimensions, TensorRT takes {MAX_RANK}"
        elements = _elements(value, sizes)
        if elements is not None and elements > MAX_ELEMENTS:
            return f"tensor {value.name!r} has {elements:,} elements, TensorRT takes {MAX_ELEMENTS:,}: give fewer views"
    return None


def live_bytes(model: onnx_ir.Model, sizes: Mapping[str, int]) -> int:
    """Largest sum of bytes of tensors that are alive at the same time, in the order of the file."""
    order = list(model.graph)
    last: dict[object, int] = {}
    for index, node in enumerate(order):
        for value in node.inputs:
            if value is not None and value.producer() is not None:
                last[value] = index
    for value in model.graph.outputs:
        last[value] = len(order)
    live = peak = 0
    dying: dict[int, int] = {}
    for index, node in enumerate(order):
        for value in node.outputs:
            size = _bytes(value, sizes)
            live += size
            end = last.get(value, index)
            dying[end] = dying.get(end, 0) + size
        peak = max(peak, live)
        live -= dying.pop(index, 0)
    return peak


def _elements(value: onnx_ir.Value, sizes: Mapping[str, int]) -> int | None:
    if value.shape is None:
        return None
    dims = [dim if isinstance(dim, int) else sizes.get(str(dim)) for dim in value.shape]
    return None if None in dims else prod(dim for dim in dims if dim is not None)


def _bytes(value: onnx_ir.Value, sizes: Mapping[str, int]) -> int:
    elements = _elements(value, sizes)
    return 0 if elements is None or value.dtype is None else round(elements * value.dtype.itemsize)
