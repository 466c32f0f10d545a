"""From the static network to a Core AI program and a saved asset, with coreai-torch.

coreai-torch prints to standard output and warns of every local build of torch; both are kept from readers of
standard output as data.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING

from depthport.exporters.core.errors import ExportError, one_line
from depthport.exporters.core.provenance import package_version
from depthport.exporters.coreai.lowerings import register
from depthport.exporters.coreai.options import TARGETS

if TYPE_CHECKING:
    from coreai.authoring import AIProgram
    from coreai.runtime import AIModelAssetMetadata
    from torch import Tensor, nn
    from torch.export import ExportedProgram

ENTRY = "main"
"""The asset's one function."""


def capture(network: nn.Module, examples: Sequence[Tensor]) -> ExportedProgram:
    """The network as a graph of the operations that coreai-torch converts.

    Args:
        network: static, in eval mode.
        examples: one tensor an input, of the input's shape and dtype; values are not used.

    Raises:
        ExportError: torch can't capture it.
    """
    import torch

    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        import coreai_torch

        try:
            program = torch.export.export(network, tuple(examples), strict=False)
            decomposed: ExportedProgram = program.run_decompositions(coreai_torch.get_decomp_table())
            return decomposed
        except (RuntimeError, torch._dynamo.exc.TorchDynamoException) as error:
            raise ExportError(f"torch can't export the network: {one_line(error)}") from error


def convert(
    program: ExportedProgram, inputs: Sequence[str], outputs: Sequence[str], *, traces: bool = False
) -> tuple[AIProgram, list[str]]:
    """A Core AI program of one function, and the names of our lowerings that it needed.

    Args:
        program: what :func:`capture` returned.
        inputs, outputs: their names in the asset, in the graph's order.
        traces: keep where in torch's graph each operation comes from (for `inspect`; the file becomes larger).

    Raises:
        ExportError: coreai-torch has no conversion for an operation, or failed.
    """
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        from coreai_torch import TorchConverter

        mode = TorchConverter.Mode.DEBUG if traces else TorchConverter.Mode.RELEASE
        converter = TorchConverter(mode=mode)
        added = register(converter)
        try:
            converter.add_exported_program(
                program, input_names=list(inputs), output_names=list(outputs), entrypoint_name=ENTRY
            )
            return converter.to_coreai(), added
        except (ValueError, TypeError, RuntimeError, KeyError, AttributeError, AssertionError) as error:
            version = package_version("coreai-torch")
            raise ExportError(f"coreai-torch {version} can't convert the network: {one_line(error)}") from error


def save(program: AIProgram, path: Path, metadata: AIModelAssetMetadata, target: str) -> None:
    """Write a program as an asset.

    Args:
        path: a folder ending in `.aimodel`; replaced if it exists.
        metadata: a `coreai.runtime.AIModelAssetMetadata`.
        target: a key of :data:`depthport.exporters.coreai.options.TARGETS`.

    Raises:
        ExportError: coreai-core could not write it.
    """
    from coreai.authoring import OSVersion

    try:
        program.save_asset(path, metadata=metadata, minimum_os=OSVersion(TARGETS[target]))
    except (RuntimeError, ValueError, OSError) as error:
        raise ExportError(f"coreai-core can't write the asset: {one_line(error.__cause__ or error)}") from error
