"""Intermediate tensors as outputs: which are looked at, and running a graph for them without holding all at once."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from depthport.exporters.core import install
from depthport.exporters.core.errors import ExportError, UnavailableError, one_line
from depthport.exporters.onnx.graph_file import scope_of

if TYPE_CHECKING:
    import onnx_ir
    from onnxruntime import InferenceSession

LOOKED_AT = frozenset(
    ("LayerNormalization", "Attention", "Softmax", "MatMul", "Gemm", "Conv", "Add", "Gelu", "Relu", "Resize", "Exp")
)
"""Operators whose outputs are compared: attention, norms, products, residual sums, the head's stages."""
GROUP_BYTES = 1 << 29
"""Outputs fetched in one run, at most."""
_FLOATS = frozenset(("FLOAT", "FLOAT16", "BFLOAT16"))


@dataclass(frozen=True)
class Probe:
    """One intermediate tensor."""

    name: str
    operator: str
    scope: str
    """Module it belongs to (`backbone.blocks.3.attn.proj`)."""
    dtype: str
    """ONNX's name of its type."""
    nbytes: int
    """Size in fp32."""


def probes(model: onnx_ir.Model) -> list[Probe]:
    """The tensors worth a look, in the order in which they are computed."""
    found = []
    for node in model.graph:
        value = node.outputs[0]
        known = value.dtype is not None and value.shape is not None and value.name
        if node.op_type not in LOOKED_AT or not known or value.dtype is None or value.dtype.name not in _FLOATS:
            continue
        sizes = [dim if isinstance(dim, int) else 1 for dim in value.shape or ()]
        found.append(Probe(str(value.name), node.op_type, scope_of(node), value.dtype.name, 4 * prod(sizes)))
    return found


def groups(chosen: Sequence[Probe]) -> Iterator[list[Probe]]:
    """Split into runs of at most :data:`GROUP_BYTES` of outputs."""
    group: list[Probe] = []
    for probe in chosen:
        if group and sum(p.nbytes for p in group) + probe.nbytes > GROUP_BYTES:
            yield group
            group = []
        group.append(probe)
    if group:
        yield group


def expose(model: onnx_ir.Model, names: Sequence[str]) -> None:
    """Make the tensors called `names` outputs, in front of the graph's own."""
    values = {value.name: value for node in model.graph for value in node.outputs}
    own = [output.name for output in model.graph.outputs]
    for name in reversed([name for name in names if name not in own]):
        model.graph.outputs.insert(0, values[name])


@contextmanager
def session(model: onnx_ir.Model) -> Iterator[InferenceSession]:
    """The graph in ONNX Runtime on the CPU, without rewrites: what is written is what is computed.

    Raises:
        UnavailableError: onnxruntime is not installed.
        ExportError: it can't load the graph.
    """
    try:
        import onnxruntime as ort
    except ImportError as error:
        raise UnavailableError(f"layers are compared with ONNX Runtime: {install.ONNXRUNTIME}") from error
    import onnx_ir as ir

    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "probed.onnx"
        ir.save(model, path, external_data="probed.data")
        try:
            native = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # its native errors share no base but Exception
            raise ExportError(f"onnxruntime can't load the graph to look into it: {one_line(error)}") from error
        yield native


def fetch(
    native: InferenceSession, names: Sequence[str], inputs: Mapping[str, np.ndarray]
) -> dict[str, NDArray[np.float32]]:
    """Values of the tensors called `names`."""
    values = native.run(list(names), dict(inputs))
    return dict(zip(names, values, strict=True))
