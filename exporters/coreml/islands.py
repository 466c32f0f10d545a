"""Operations of an fp16 package that stay in fp32, as named parts of the network.

coremltools casts operation by operation and asks a predicate about each. The predicate here is built from the program
itself: by the module an operation comes from, which coremltools keeps as its scope on both routes, and by where it lies
between others.

| island | holds | why |
|---|---|---|
| `reference` | scores and argmin of the reference-view selection | rounding flips the argmin, and with it every pose |
| `camera` | camera decoder and pose matrices | angles and focal lengths to fp32 precision; a few MFLOP |
| `tail` | from the last convolution to the depth and confidence | confidence is exp + 1: fp16 has steps of 1e-3 there |
| `residual` | the residual stream of the transformer | massive activations leave few bits to the rest |
| `norm` | LayerNorm of the transformer | the mean of squares of a massive activation overflows |
| `stem` | everything before the reference-view selection | the choice is made from fp32 tokens |
| `head` | the whole dense head | upstream's own mixed precision |
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from coremltools.converters.mil.mil import Block, Operation

DENSE_OUTPUTS = frozenset({"depth", "depth_conf", "ray", "ray_conf", "sky", "metric_depth"})


def fp16_predicate(islands: Collection[str]) -> Callable[[Operation], bool]:
    """A function for coremltools' `FP16ComputePrecision`: whether an operation is to be cast to fp16."""
    kept: set[str] | None = None

    def to_half(operation: Operation) -> bool:
        nonlocal kept
        if kept is None:
            # Asked first before any cast: the program is still whole.
            kept = operations_of(islands, operation.enclosing_block)
        return operation.name not in kept

    return to_half


def operations_of(islands: Collection[str], block: Block) -> set[str]:
    """Names of the operations that make up the given islands."""
    finders: dict[str, Callable[[Block], Iterable[Operation]]] = {
        "reference": _reference,
        "camera": lambda b: _in_module(b, "camera", "pose"),
        "tail": _tail,
        "residual": _residual,
        "norm": lambda b: (op for op in b.operations if op.op_type == "layer_norm" and "backbone" in module_of(op)),
        "stem": _stem,
        "head": lambda b: _in_module(b, "head"),
    }
    return {op.name for island in islands for op in finders[island](block)}


def module_of(operation: Operation) -> list[str]:
    """Path of the module an operation comes from, e.g. ["backbone", "blocks", "3", "attn"]; empty where unknown."""
    from coremltools.converters.mil.mil.scope import ScopeSource

    for source in (ScopeSource.EXIR_STACK_TRACE, ScopeSource.TORCHSCRIPT_MODULE_NAME):
        scope = operation.scopes.get(source)
        if scope and scope[0] is not None:
            return [part for item in scope if item for part in str(item).split(".")]
    return []


def _in_module(block: Block, *names: str) -> Iterator[Operation]:
    for operation in block.operations:
        if any(name in module_of(operation) for name in names):
            yield operation


def _residual(block: Block) -> Iterator[Operation]:
    """Sums and scalings that a transformer block does itself, outside its attention and its MLP."""
    for operation in block.operations:
        path = module_of(operation)
        if operation.op_type in ("add", "mul") and len(path) > 1 and path[-2] == "blocks":
            yield operation


def _reference(block: Block) -> Iterator[Operation]:
    """Back from the argmin to where the class tokens are taken out, and on to the token that the choice selects."""
    for operation in block.operations:
        if operation.op_type == "reduce_argmin":
            yield from _back(operation, stop={"slice_by_index", "gather", "linear", "layer_norm"})


def _stem(block: Block) -> Iterator[Operation]:
    for operation in block.operations:
        if operation.op_type == "reduce_argmin":
            yield from _back(operation, stop=set())


def _tail(block: Block) -> Iterator[Operation]:
    """Back from each dense output to and including the first convolution."""
    for output in block.outputs:
        if output.name in DENSE_OUTPUTS and output.op is not None:
            yield from _back(output.op, stop={"conv", "linear"})
            yield from _nearest(output.op, {"conv", "linear"})


def _back(operation: Operation, stop: set[str]) -> Iterator[Operation]:
    """The operation and all it depends on, up to (without) operations of the types in `stop`."""
    seen: set[str] = set()
    queue = [operation]
    while queue:
        current = queue.pop()
        if current.name in seen or current.op_type in stop:
            continue
        seen.add(current.name)
        yield current
        queue += _producers(current)


def _nearest(operation: Operation, types: set[str]) -> Iterator[Operation]:
    """The first operations of the given types that one meets going back."""
    seen: set[str] = set()
    queue = [operation]
    while queue:
        current = queue.pop()
        if current.name in seen:
            continue
        seen.add(current.name)
        if current.op_type in types:
            yield current
        else:
            queue += _producers(current)


def _producers(operation: Operation) -> list[Operation]:
    variables = [v for value in operation.inputs.values() for v in (value if isinstance(value, (list, tuple)) else [value])]
    return [v.op for v in variables if v is not None and v.op is not None and v.op.op_type != "const"]
