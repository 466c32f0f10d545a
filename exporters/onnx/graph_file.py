"""An ONNX file read as a graph."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING

from depthport.exporters.core.errors import ExportError, one_line

if TYPE_CHECKING:
    import onnx_ir

if TYPE_CHECKING:
    import onnx_ir


def read_graph(path: Path) -> onnx_ir.Model:
    """The file's graph.

    Raises:
        ExportError: there is no such file, or it is no ONNX model.
    """
    import onnx_ir as ir
    from google.protobuf.message import DecodeError

    try:
        model = ir.load(path)
    except (OSError, DecodeError, ValueError, TypeError, KeyError) as error:
        raise ExportError(f"{path.name} can't be read as an ONNX model ({one_line(error)}): export it again") from error
    if not len(model.graph):
        raise ExportError(f"{path.name} has no ONNX graph: export it again")
    return model


_SCOPES = "pkg.torch.onnx.name_scopes"


def scope_of(node: onnx_ir.Node) -> str:
    """The path of the module a node comes from, as torch's exporter notes it; empty where it notes none."""
    text = node.metadata_props.get(_SCOPES, "")
    try:
        names = ast.literal_eval(text) if text else []
    except (ValueError, SyntaxError):
        return ""
    # The last entry is the operator, those before it are the modules from the outside in.
    paths = [str(name) for name in names[:-1] if name]
    return paths[-1] if paths else ""
