"""Limits of each generation of the Neural Engine, as third parties found them. Data only.

There is no primary source: Apple publishes no such table. These come from measurements and decompiled compiler tables
in github.com/sbryngelson/ane-guide (appendix A, chapters 4 and 17) and, where sources disagree, from the stricter one.
Their M3 column and the M4 half of their last one are predictions themselves.
"""

from __future__ import annotations

from dataclasses import dataclass

SOURCE = "github.com/sbryngelson/ane-guide, appendix A and chapters 4, 17 (third-party measurements)"


@dataclass(frozen=True)
class Family:
    """One generation of the engine."""

    name: str
    """The Mac chips that have it."""
    generation: int
    max_axis: int
    """Longest axis of a tensor."""
    max_kernel_width: int
    """Widest kernel of an fp16 convolution."""


FAMILIES = (
    Family("M1", 1, 16384, 13),
    Family("M2", 2, 16384, 13),
    Family("M3", 3, 16384, 13),
    Family("M4, M5", 4, 65536, 15),
)

MAX_RANK = 5
MAX_ARG_AXIS = 2048
"""Longest axis of an argmin or argmax."""
RESIDENT_BYTES = 2 << 20
"""On-chip memory of one operand; a larger one streams from DRAM, correct but slower."""

NATIVE_FROM = {
    **dict.fromkeys(
        (
            "abs", "add", "atan", "batch_norm", "ceil", "clip", "concat", "conv", "conv_transpose", "equal", "erf",
            "exp", "expand_dims", "floor", "floor_div", "gelu", "greater", "greater_equal", "identity", "inverse",
            "layer_norm", "less", "less_equal", "linear", "log", "logical_not", "matmul", "maximum", "minimum", "mul",
            "not_equal", "pad", "pow", "real_div", "reduce_argmax", "reduce_l1_norm", "reduce_l2_norm", "reduce_max",
            "reduce_mean", "reduce_min", "reduce_sum", "reduce_sum_square", "relu", "reshape", "round", "rsqrt",
            "scaled_dot_product_attention", "select", "sigmoid", "sign", "silu", "slice_by_index", "slice_by_size",
            "softmax", "split", "sqrt", "square", "squeeze", "stack", "sub", "tanh", "tile", "transpose", "cast",
        ),
        1,
    ),
    **dict.fromkeys(("gather", "gather_along_axis", "upsample_bilinear", "resize_bilinear"), 2),
    **dict.fromkeys(("reduce_argmin", "sin", "cos"), 3),
}  # fmt: skip
"""First generation that runs an operation itself. An operation that is not listed runs on none (`tan`, `mod`, ...)."""
