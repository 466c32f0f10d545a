"""Elementwise operations: arithmetic, comparison, activation, cast, select."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from depthport.exporters.coreml.mil.ops.call import Call, operator

_BINARY: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "add": torch.add,
    "sub": torch.sub,
    "mul": torch.mul,
    "real_div": torch.true_divide,
    "floor_div": torch.floor_divide,
    "mod": torch.remainder,
    "pow": torch.pow,
    "maximum": torch.maximum,
    "minimum": torch.minimum,
    "equal": torch.eq,
    "not_equal": torch.ne,
    "less": torch.lt,
    "less_equal": torch.le,
    "greater": torch.gt,
    "greater_equal": torch.ge,
    "logical_and": torch.logical_and,
    "logical_or": torch.logical_or,
    "logical_xor": torch.logical_xor,
}

_UNARY: dict[str, Callable[[Tensor], Tensor]] = {
    "abs": torch.abs,
    "atan": torch.atan,
    "ceil": torch.ceil,
    "cos": torch.cos,
    "erf": torch.erf,
    "exp": torch.exp,
    "floor": torch.floor,
    "identity": lambda x: x,
    "logical_not": torch.logical_not,
    "relu": torch.relu,
    "round": torch.round,
    "sigmoid": torch.sigmoid,
    "sign": torch.sign,
    "silu": F.silu,
    "sin": torch.sin,
    "sqrt": torch.sqrt,
    "square": torch.square,
    "tan": torch.tan,
    "tanh": torch.tanh,
}

_GELU: dict[str, Callable[[Tensor], Tensor]] = {
    "EXACT": F.gelu,
    "TANH_APPROXIMATION": lambda x: F.gelu(x, approximate="tanh"),
    "SIGMOID_APPROXIMATION": lambda x: x * torch.sigmoid(1.702 * x),
}


@operator(*_BINARY)
def binary(call: Call) -> Tensor:
    """Elementwise operation of two operands."""
    return _BINARY[call.type](call.tensor("x"), call.tensor("y"))


@operator(*_UNARY)
def unary(call: Call) -> Tensor:
    """Elementwise operation of one operand."""
    return _UNARY[call.type](call.tensor("x"))


@operator("inverse")
def inverse(call: Call) -> Tensor:
    """1 / (x + epsilon), with an epsilon that is not zero unless asked for: not a reciprocal."""
    return 1.0 / (call.tensor("x") + call.number("epsilon", 1e-4))


@operator("rsqrt")
def rsqrt(call: Call) -> Tensor:
    """1 / √(x + epsilon)."""
    return torch.rsqrt(call.tensor("x") + call.number("epsilon", 1e-12))


@operator("log")
def log(call: Call) -> Tensor:
    """Natural logarithm of x + epsilon."""
    return torch.log(call.tensor("x") + call.number("epsilon", 1e-45))


@operator("clip")
def clip(call: Call) -> Tensor:
    """Clamp to [alpha, beta]."""
    return call.tensor("x").clamp(call.number("alpha"), call.number("beta"))


@operator("gelu")
def gelu(call: Call) -> Tensor:
    """GELU, exact or by one of its approximations."""
    return _GELU[call.text("mode", "EXACT")](call.tensor("x"))


@operator("select")
def select(call: Call) -> Tensor:
    """Choose from `a` where `cond` holds, else from `b`."""
    return torch.where(call.tensor("cond").bool(), call.tensor("a"), call.tensor("b"))


@operator("cast")
def cast(call: Call) -> Tensor:
    """The interpreter brings the result to its declared type; here only what a float loses as an integer."""
    x = call.tensor("x")
    target = call.text("dtype", "")
    if target == "bool":
        return x != 0
    return x.trunc() if x.is_floating_point() and target.startswith(("int", "uint")) else x
