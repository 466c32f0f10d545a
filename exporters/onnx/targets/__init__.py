"""Targets of an ONNX file: one module per target, each a function from graph to graph.

A target chooses the opset and may rewrite the exported graph for one runtime (fused attention, layouts, constants), or
write a graph of its own from the static network.
Rewrites take and return an `onnx_ir.Model`, which is what torch's exporter makes: initializers stay views of the
network's own tensors, so a graph of several gigabytes is rewritten without a copy and without protobuf's 2 GB limit.
(`onnx_ir.to_proto` and `onnx_ir.from_proto` convert for tools that want a `ModelProto`.)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

from depthport.exporters.core.errors import UnsupportedError, UsageError
from depthport.exporters.core.precision import POLICIES, PrecisionPolicy

if TYPE_CHECKING:
    import onnx_ir
    from torch import nn

PORTABLE = "portable"
# Whole names: the digest of the source that decides an artifact sees modules that are named (core/source.py).
_MODULES = {
    PORTABLE: "depthport.exporters.onnx.targets.portable",
    "ort-cpu": "depthport.exporters.onnx.targets.ort_cpu",
    "ort-cuda": "depthport.exporters.onnx.targets.ort_cuda",
    "openvino": "depthport.exporters.onnx.targets.openvino",
    "tensorrt": "depthport.exporters.onnx.targets.tensorrt",
    "tensorrt-matmul": "depthport.exporters.onnx.targets.tensorrt_matmul",
}

NAMES = tuple(_MODULES)


@dataclass(frozen=True)
class OnnxTarget:
    """One target; each module of this package defines one as `TARGET`."""

    name: str
    opset: int
    """Operator set of the default domain."""
    description: str
    rewrite: Callable[[onnx_ir.Model], onnx_ir.Model]
    """Rewrite from the exported graph to the written one; inputs and outputs keep names, shapes and dtypes."""
    emit: Callable[[nn.Module], onnx_ir.Model] | None = None
    """Writes the graph from the static network itself, which then is not traced; :attr:`rewrite` is not called."""
    dtypes: tuple[str, ...] | None = None
    """Dtypes a policy may use in the backbone and the head; None: all."""
    signed_activations: bool = True
    """Activations of quantized layers: int8 with zero 0, which all take; False: uint8, finer for values of one sign."""
    keeps_poses: bool = False
    """True: takes policies whose camera token is a stream of its own, bf16 convolutions among them (opset 22)."""
    rounded_outputs: bool = False
    """True: outputs of quantized convolutions are rounded too, without which the runtime fuses no integer kernel."""

    def require(self, policy: PrecisionPolicy) -> None:
        """Refuse a policy that this target does not support.

        Raises:
            UnsupportedError: a dtype outside of :attr:`dtypes`, or a camera token of its own without :attr:`keeps_poses`.
        """
        if policy.camera_token is not None and not self.keeps_poses:
            able = " or ".join(name for name in NAMES if get_target(name).keeps_poses)
            raise UnsupportedError(f"target {self.name!r} has no precision {policy.name!r}: use target {able}")
        for part, dtype in (("backbone", policy.backbone), ("head", policy.head)):
            if self.dtypes is not None and dtype not in self.dtypes:
                raise UnsupportedError(
                    f"target {self.name!r} has no {dtype} {part} (precision {policy.name!r}): "
                    f"use one of {', '.join(self._precisions())}"
                )

    def _precisions(self) -> list[str]:
        return [
            name
            for name, policy in POLICIES.items()
            if policy.quantization is None and {policy.backbone, policy.head} <= set(self.dtypes or ())
        ]


def as_exported(model: onnx_ir.Model) -> onnx_ir.Model:
    """The rewrite that changes nothing."""
    return model


def get_target(name: str | None) -> OnnxTarget:
    """The target called `name`; None is `portable`.

    Raises:
        UsageError: no target has that name.
    """
    name = name or PORTABLE
    if name not in _MODULES:
        raise UsageError(f"format 'onnx' has no target {name!r}: choose one of {', '.join(_MODULES)}")
    target: OnnxTarget = import_module(_MODULES[name]).TARGET
    return target
