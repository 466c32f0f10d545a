"""Prediction of the operations that the Neural Engine refuses, per chip family, and their share of the work.

A prediction from third-party tables (:mod:`depthport.exporters.coreml.mil.ane_chips`), never a measurement: Core ML decides
when it loads a model, by rules that it does not publish, and may keep even accepted operations elsewhere. On a Mac
`MLComputePlan` says what was decided; :func:`against_plan` says where the two differ.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass

from depthport.exporters.coreml.mil.ane_chips import (
    FAMILIES,
    MAX_ARG_AXIS,
    MAX_RANK,
    NATIVE_FROM,
    RESIDENT_BYTES,
    SOURCE,
    Family,
)
from depthport.exporters.coreml.mil.dtypes import BITS
from depthport.exporters.coreml.mil.flops import function_flops
from depthport.exporters.coreml.mil.program import Function, Operation, TensorType

Types = Mapping[str, TensorType]


@dataclass(frozen=True)
class Blocker:
    """Operations of one type that are refused for one reason."""

    operation: str
    reason: str
    count: int
    flop_share: float
    """Share of the whole function's FLOPs, 0 to 1."""
    first: str
    """Name of the first of them."""


@dataclass(frozen=True)
class FamilyPrediction:
    """One chip family."""

    family: str
    operations: int
    blocked: int
    blocked_flop_share: float
    switches: int
    """Number of times execution leaves the engine and comes back, if each blocked run of operations goes elsewhere."""
    streaming: int
    """Operations with an operand too large for on-chip memory: slower, not refused."""
    blockers: tuple[Blocker, ...]
    refused: tuple[str, ...]
    """Names of the refused operations; empty where most are (an fp32 package), which needs no list."""


@dataclass(frozen=True)
class Prediction:
    """All families. Everything here is predicted."""

    families: tuple[FamilyPrediction, ...]
    flops: int
    source: str = SOURCE
    kind: str = "predicted"

    def to_json(self) -> dict[str, object]:
        return asdict(self)


def predict(function: Function) -> Prediction:
    """Judge every operation of a function for every chip family."""
    types, work = function.types(), function_flops(function)
    total = max(1, sum(work.values()))
    operations = [op for op in function.operations if op.type != "const" and not op.type.startswith("constexpr_")]
    return Prediction(tuple(_family(f, operations, types, work, total) for f in FAMILIES), total)


def reasons(operation: Operation, types: Types, family: Family) -> list[str]:
    """Return why a family refuses an operation; empty where it takes it."""
    found = [*_type_reasons(operation, types), *_shape_reasons(operation, types, family)]
    first = NATIVE_FROM.get(operation.type)
    if first is None:
        found.append("no such operation on the engine")
    elif family.generation < first:
        found.append(f"needs {next(f.name for f in FAMILIES if f.generation >= first)} or newer")
    return found


def against_plan(refused: Collection[str], plan: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """Return where the prediction for a chip family differs from Core ML's decisions on a Mac.

    Args:
        refused: names of the operations that are predicted to be refused.
        plan: device (`cpu`, `gpu`, `ane`) by operation name, from `MLComputePlan`.

    Returns:
        Names of operations predicted to run on the engine that were placed elsewhere, and of operations predicted to be
        refused that it took.
    """
    elsewhere = [name for name, device in plan.items() if device != "ane" and name not in refused]
    taken = [name for name, device in plan.items() if device == "ane" and name in refused]
    return elsewhere, taken


def family_of(chip: str) -> str | None:
    """The chip family of a Mac's processor, `Apple M2 Pro`; None where the tables have none for it."""
    match = re.search(r"\bM\d+\b", chip)
    return next((f.name for f in FAMILIES if match and match[0] in f.name.split(", ")), None)


def _family(
    family: Family, operations: list[Operation], types: Types, work: Mapping[str, int], total: int
) -> FamilyPrediction:
    groups: dict[tuple[str, str], list[Operation]] = defaultdict(list)
    refused: list[bool] = []
    for operation in operations:
        why = reasons(operation, types, family)
        refused.append(bool(why))
        if why:
            groups[operation.type, why[0]].append(operation)
    blockers = tuple(
        Blocker(kind, reason, len(ops), sum(work[o.name] for o in ops) / total, ops[0].name)
        for (kind, reason), ops in groups.items()
    )
    return FamilyPrediction(
        family=family.name,
        operations=len(operations),
        blocked=sum(refused),
        blocked_flop_share=sum(b.flop_share for b in blockers),
        switches=_inner_runs(refused),
        streaming=sum(_streams(op, types) for op in operations),
        blockers=tuple(sorted(blockers, key=lambda b: (-b.flop_share, b.operation))),
        refused=_names(operations, refused),
    )


def _names(operations: list[Operation], refused: list[bool]) -> tuple[str, ...]:
    if 2 * sum(refused) > len(refused):
        return ()
    return tuple(operation.name for operation, no in zip(operations, refused, strict=True) if no)


def _inner_runs(refused: list[bool]) -> int:
    """Runs of refused operations with accepted ones before and after them."""
    if False not in refused:
        return 0
    first, last = refused.index(False), len(refused) - 1 - refused[::-1].index(False)
    return sum(refused[i] and not refused[i - 1] for i in range(first + 1, last))


def _type_reasons(operation: Operation, types: Types) -> list[str]:
    results = {v.type.dtype for v in operation.outputs if v.type is not None}
    operands = {
        types[b.name].dtype
        for name in ("x", "y", "values", "a", "b", "query", "key", "value", "data")
        for b in operation.inputs.get(name, ())
        if b.name is not None and b.name in types
    }
    wide = sorted((results | operands) & {"fp32", "int32", "fp64"})
    if operation.type == "cast":
        return [f"cast with {wide[0]}"] if wide else []
    return [f"computes in {wide[0]}"] if wide else []


def _shape_reasons(operation: Operation, types: Types, family: Family) -> list[str]:
    shapes = [v.type.shape for v in operation.outputs if v.type is not None]
    operands = [types[n].shape for n in _tensor_operands(operation) if n in types]
    found = []
    rank = max((len(s) for s in (*shapes, *operands)), default=0)
    if rank > MAX_RANK:
        found.append(f"rank {rank}, above {MAX_RANK}")
    if rank == MAX_RANK and operation.type in ("linear", "matmul", "conv", "conv_transpose"):
        found.append(f"{operation.type} of rank {rank}")
    # Convolution channels are not bound by the axis limit; its weight is no tensor of the datapath.
    longest = max((d or 1 for s in (*shapes, *operands) for d in s), default=0)
    if longest > family.max_axis:
        found.append(f"axis longer than {family.max_axis}")
    if operation.type in ("conv", "conv_transpose"):
        width = _weight_shape(operation, types)[-1:]
        if width and (width[0] or 1) > family.max_kernel_width:
            found.append(f"kernel width {width[0]}, above {family.max_kernel_width}")
    if operation.type in ("reduce_argmin", "reduce_argmax") and longest > MAX_ARG_AXIS:
        found.append(f"argument of an axis longer than {MAX_ARG_AXIS}")
    return found


def _streams(operation: Operation, types: Types) -> bool:
    sizes = [
        t.size * BITS.get(t.dtype, 0) // 8
        for t in (*(v.type for v in operation.outputs), *(types.get(n) for n in _tensor_operands(operation)))
        if t is not None
    ]
    return max(sizes, default=0) > RESIDENT_BYTES


def _tensor_operands(operation: Operation) -> list[str]:
    names = ("x", "y", "values", "a", "b", "cond", "query", "key", "value")
    return [b.name for name in names for b in operation.inputs.get(name, ()) if b.name is not None]


def _weight_shape(operation: Operation, types: Types) -> tuple[int | None, ...]:
    bindings = operation.inputs.get("weight", ())
    name = bindings[0].name if bindings else None
    return types[name].shape if name is not None and name in types else ()
