"""Recipes of ai-edge-quantizer, as the JSON it takes: which operations, found by where in the network they come from."""

from __future__ import annotations

import re
from collections.abc import Sequence

Recipe = list[dict[str, object]]

_EVERYWHERE = ".*"
_WEIGHTS = {"num_bits": 8, "symmetric": True, "granularity": "CHANNELWISE", "dtype": "INT", "block_size": 0}
_HALF_OPERATIONS = ("FULLY_CONNECTED", "CONV_2D", "CONV_2D_TRANSPOSE")
_BLOCK = re.compile(r"_(backbone)/[^;]*?_(\d+)/[^/;]*_(attn|mlp)[/;]")
_PART = re.compile(r"_(backbone|head|camera)[/;]")


def half() -> Recipe:
    """Weights of products and convolutions stored in fp16; arithmetic is the runtime's choice."""
    return [_entry(_EVERYWHERE, operation, "float_casting", _HALF, "FLOAT", True) for operation in _HALF_OPERATIONS]


def dynamic(groups: Sequence[str] | None = None) -> Recipe:
    """int8 weights, a scale a channel, and activations that the kernel rounds to int8 at every call.

    Args:
        groups: of :func:`group`; None: everywhere.
    """
    places = [_EVERYWHERE] if groups is None else [pattern(group) for group in groups]
    return [_entry(place, "*", "min_max_uniform_quantize", _WEIGHTS, "INTEGER", False) for place in places]


def weights_only() -> Recipe:
    """int8 weights, a scale a channel, and float arithmetic: for size."""
    return [_entry(_EVERYWHERE, "*", "min_max_uniform_quantize", _WEIGHTS, "FLOAT", True)]


def group(scope: str) -> str | None:
    """The part of the network that an operation belongs to, by the name of its output.

    A transformer block has two (`backbone.3.attn`, `backbone.3.mlp`); what is before and after the blocks, the head and
    the camera decoder are one each (`backbone`, `head`, `camera`). None: the name tells of no part.
    """
    # The name of a fused operator lists those it was made of, a block's residual sum before the block's product.
    if block := _BLOCK.search(scope):
        return ".".join(block.groups())
    part = _PART.search(scope)
    return part[1] if part else None


def pattern(group: str) -> str:
    """A regular expression that finds the scopes of a group and of no other."""
    if "." not in group:
        inside_a_block = r"(?!.*_\d+/[^/;]*_(?:attn|mlp)[/;])" if group == "backbone" else ""
        return f"^{inside_a_block}.*_{group}[/;]"
    part, index, kind = group.split(".")
    return f"_{part}/[^;]*?_{index}/[^/;]*_{kind}[/;]"


_HALF = {"num_bits": 16, "dtype": "FLOAT"}


def _entry(
    regex: str, operation: str, algorithm: str, weights: dict[str, object], precision: str, dequantize: bool
) -> dict[str, object]:
    return {
        "regex": regex,
        "operation": operation,
        "algorithm_key": algorithm,
        "op_config": {
            "weight_tensor_config": weights,
            "compute_precision": precision,
            "explicit_dequantize": dequantize,
            "skip_checks": False,
        },
    }
