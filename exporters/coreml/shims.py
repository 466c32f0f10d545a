"""Defects of coremltools that this exporter works around, each with its upstream issue, each off once that is fixed.

A shim replaces one conversion function in coremltools' registry, or one helper, while a conversion runs, and puts back
what was there. `fixed_in` is the first version in which upstream's own is used.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partialmethod
from types import ModuleType
from typing import TYPE_CHECKING

from depthport.exporters.core.provenance import package_version

if TYPE_CHECKING:
    from coremltools.converters.mil.frontend.torch.converter import TranscriptionContext
    from coremltools.converters.mil.frontend.torch.internal_graph import InternalTorchIRNode
    from coremltools.converters.mil.mil import Program


@dataclass(frozen=True)
class Shim:
    """One defect and its remedy."""

    name: str
    issue: str
    """Upstream's issue or pull request."""
    defect: str
    fixed_in: tuple[int, int] | None
    """First coremltools (major, minor) that does not need it; None: none is released yet."""
    apply: Callable[[ExitStack], None]
    """Puts the remedy in place and registers its removal."""


def shims_needed(version: str | None = None) -> list[Shim]:
    """The shims that the given (default: the installed) coremltools needs."""
    text = version or package_version("coremltools") or "0.0"
    installed = tuple(int(number) for number in re.findall(r"\d+", text)[:2])
    return [shim for shim in SHIMS if shim.fixed_in is None or installed < shim.fixed_in]


@contextmanager
def shimmed() -> Iterator[list[str]]:
    """Apply the needed shims; yields their names. Also keeps coremltools from printing bars and warnings."""
    needed = shims_needed()
    with ExitStack() as stack:
        _silence(stack)
        _validate_once(stack)
        _trust_indices(stack)
        for shim in needed:
            shim.apply(stack)
        yield [shim.name for shim in needed]


def import_coremltools() -> ModuleType:
    """coremltools, without the eight warnings it logs on every import off a Mac or with a newer torch."""
    logger = logging.getLogger("coremltools")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        import coremltools
    finally:
        logger.setLevel(level)
    module: ModuleType = coremltools
    return module


def _replace(stack: ExitStack, owner: object, name: str, value: object) -> None:
    stack.callback(setattr, owner, name, getattr(owner, name))
    setattr(owner, name, value)


def _replace_operator(
    stack: ExitStack, name: str, function: Callable[[TranscriptionContext, InternalTorchIRNode], None]
) -> None:
    """Swap the conversion function of a torch operation, or add one."""
    from coremltools.converters.mil.frontend.torch.torch_op_registry import _TORCH_OPS_REGISTRY

    registry: dict[str, object] = _TORCH_OPS_REGISTRY.name_to_func_mapping
    if name in registry:
        stack.callback(registry.__setitem__, name, registry[name])
    else:
        stack.callback(registry.pop, name, None)
    registry[name] = function


def _exact_reciprocal(stack: ExitStack) -> None:
    from coremltools.converters.mil.frontend.torch.ops import _get_inputs
    from coremltools.converters.mil.mil import Builder, types

    def reciprocal(context: TranscriptionContext, node: InternalTorchIRNode) -> None:
        x = _get_inputs(context, node, expected=1)[0]
        if types.is_int(x.dtype):
            x = Builder.cast(x=x, dtype="fp32")
        context.add(Builder.real_div(x=1.0, y=x, name=node.name))

    _replace_operator(stack, "reciprocal", reciprocal)


def _alias_is_identity(stack: ExitStack) -> None:
    from coremltools.converters.mil.frontend.torch.ops import _get_inputs

    def alias(context: TranscriptionContext, node: InternalTorchIRNode) -> None:
        context.add(_get_inputs(context, node, expected=1)[0], node.name)

    _replace_operator(stack, "alias", alias)


def _scalars_of_one_element(stack: ExitStack) -> None:
    """`int(array)` of a constant with one element and a dimension, which numpy 2.4 refuses."""
    from coremltools.converters.mil.frontend.torch import ops
    from coremltools.converters.mil.mil import Builder

    original = ops._cast

    def cast(context: TranscriptionContext, node: InternalTorchIRNode, dtype: type, dtype_name: str) -> None:
        x = ops._get_inputs(context, node, expected=1)[0]
        if x.can_be_folded_to_const() and getattr(x.val, "size", 0) == 1:
            context.add(Builder.const(val=dtype(x.val.item()), name=node.name), node.name)
        else:
            original(context, node, dtype, dtype_name)

    _replace(stack, ops, "_cast", cast)


def _validate_once(stack: ExitStack) -> None:
    """Coremltools validates the whole program after each of its hundred passes, half of a conversion's time.

    Nothing is lost: the saved file is checked by :mod:`depthport.exporters.coreml.mil`.
    """
    from coremltools.converters.mil.mil.program import Program

    _replace(stack, Program, "validate", lambda *_args, **_kwargs: None)


def _trust_indices(stack: ExitStack) -> None:
    """Leave out the select that makes negative indices of a gather positive.

    The network's indices are an argmin and permutations of it, never negative, and the select is int32, which the
    Neural Engine does not have.
    """
    from coremltools.converters.mil.mil.passes.graph_pass import AbstractGraphPass
    from coremltools.converters.mil.mil.passes.pass_registry import PASS_REGISTRY

    class Trust(AbstractGraphPass):  # type: ignore[misc]
        def apply(self, prog: Program) -> None:
            pass

    name = "common::guard_negative_gather_indices"
    stack.callback(PASS_REGISTRY.passes.__setitem__, name, PASS_REGISTRY.passes[name])
    PASS_REGISTRY.passes[name] = Trust


def _silence(stack: ExitStack) -> None:
    from tqdm import tqdm

    _replace(stack, tqdm, "__init__", partialmethod(tqdm.__init__, disable=True))
    logger = logging.getLogger("coremltools")
    stack.callback(logger.setLevel, logger.level)
    logger.setLevel(logging.ERROR)


NEXT_RELEASE = (9, 1)
"""All are fixed on coremltools' main branch, and 9.0 is the newest release. Of its pre-release 9.1.dev1, executed, two are
gone and `reciprocal` is not. Should a release lack a fix after all, the parity gate refuses what the first defect makes,
and the other two stop the conversion: none can pass unseen."""

SHIMS = (
    Shim(
        "reciprocal",
        "https://github.com/apple/coremltools/pull/2773",
        "1 / x and c / x become an inverse with epsilon 1e-4: poses are off by 1.5e-4 in an fp32 model, silently",
        None,
        _exact_reciprocal,
    ),
    Shim(
        "alias",
        "https://github.com/apple/coremltools/pull/2659",
        "aten.alias, which torch.export puts in, has no conversion",
        NEXT_RELEASE,
        _alias_is_identity,
    ),
    Shim(
        "scalars",
        "https://github.com/apple/coremltools/issues/2633",
        "int() of an array of one element fails with numpy 2.4 and newer (torch.jit.trace route)",
        NEXT_RELEASE,
        _scalars_of_one_element,
    ),
)
