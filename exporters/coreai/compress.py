"""Compressing the weights of a Core AI program with coreai-opt: int8, or a palette of 256, 64 or 16 values.

coreai-opt compresses every constant that a product multiplies with, the camera decoder's among them, and can't be told
to leave one out; what that costs depth and poses is measured on the saved asset (:mod:`depthport.exporters.coreai.verify`)
and stands in the manifest. Activations keep their dtype. Palettes are found by k-means, which coreai-opt compiles from
C++ when first asked: a compiler must be there.
"""

from __future__ import annotations

import warnings
from importlib import import_module
from typing import TYPE_CHECKING, Any

from depthport.exporters.core import install
from depthport.exporters.core.errors import ExportError, UnavailableError, one_line
from depthport.exporters.core.provenance import package_version

if TYPE_CHECKING:
    from coreai.authoring import AIProgram

INSTALL = f"{install.COREAI} && {install.COREAI_COMPRESS}"
GROUP = 16
"""Channels that share a palette of fewer than 256 values."""


def compress(program: AIProgram, kind: str) -> AIProgram:
    """The program with compressed weights (changed in place where coreai-opt can).

    Args:
        program: what :func:`depthport.exporters.coreai.convert.convert` returned.
        kind: one of :data:`depthport.exporters.coreai.options.Compression` but `none`.

    Raises:
        UnavailableError: coreai-opt or what it needs is not installed.
        ExportError: it failed.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            passes: Any = import_module("coreai_opt.coreai_utils")
        except ImportError as error:
            raise UnavailableError(f"option compress needs coreai-opt ({one_line(error)}): {INSTALL}") from error
        scope = passes.CompressionGranularity
        try:
            if kind == "int8":
                rounded: AIProgram = passes.quantize_weights(
                    program, passes.DType.INT8, granularity=scope.PER_CHANNEL, in_place=True
                )
                return rounded
            bits = int(kind.removeprefix("palette"))
            palettized: AIProgram = passes.palettize_weights(
                program, None, n_bits=bits, group_size=GROUP, num_kmeans_workers=1, in_place=True,
                granularity=scope.PER_TENSOR if bits == 8 else scope.PER_GROUPED_CHANNEL,
                # Its fast mode rounds weights to four decimals, which is coarser than eight bits of them.
                enable_fast_kmeans_mode=False,
            )  # fmt: skip
            return palettized
        except (ValueError, TypeError, RuntimeError, OSError, AttributeError) as error:
            version = package_version("coreai-opt")
            raise ExportError(f"coreai-opt {version} can't compress the weights to {kind}: {one_line(error)}") from error
