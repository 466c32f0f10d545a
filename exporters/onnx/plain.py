"""Exports that people make without this package, as options of the format, to be measured alike (target `portable`).

* `--option network=upstream`: `torch.onnx.export` of upstream's own network as it is, by either of torch's exporters;
* `--precision int8 --option mix=dynamic`: the portable file after ONNX Runtime's `quantize_dynamic`, which has no budget.
"""

from __future__ import annotations

import io
from contextlib import redirect_stdout
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

import msgspec

from depthport.exporters.base import ExportContext
from depthport.exporters.core import install
from depthport.exporters.core.errors import ExportError, UnavailableError, UnsupportedError, UsageError
from depthport.exporters.core.options import Options, read_options
from depthport.exporters.core.provenance import package_versions
from depthport.exporters.da3.request import ExportRequest
from depthport.exporters.onnx.targets import PORTABLE
from depthport.exporters.pytorch.program import example_inputs

if TYPE_CHECKING:
    import onnx_ir


class UpstreamOptions(Options, frozen=True):
    """Option of an export of upstream's own network."""

    where: ClassVar[str] = "target portable, to compare with"

    network: Literal["upstream"] | None = None
    """`torch.onnx.export` of upstream's own network as it is, by either of torch's exporters; by default ours."""


class DynamicOptions(Options, frozen=True):
    """Option of ONNX Runtime's own quantization."""

    where: ClassVar[str] = "precision int8 and target portable, to compare with"

    mix: Literal["dynamic"] | None = None
    """The portable file after ONNX Runtime's `quantize_dynamic`, which has no budget."""


def plain_kind(request: ExportRequest) -> type[Options] | None:
    """Return which of the two is asked for; None: neither."""
    if request.policy.quantization is None:
        return UpstreamOptions if "network" in request.options else None
    return DynamicOptions if request.options.get("mix") == "dynamic" else None


def check_plain(request: ExportRequest, kind: type[Options], target: str) -> dict[str, object]:
    """The option, and what decides what it writes.

    Raises:
        UsageError: another value, others beside it, or another target than `portable`.
        UnsupportedError: open dimensions, poses or pixels, which neither takes.
        UnavailableError: ONNX Runtime, which quantizes, is not installed.
    """
    options = msgspec.structs.asdict(read_options(kind, request.options, f"such an export ({kind.where})"))
    if target != PORTABLE:
        raise UsageError(f"target {target!r} has none of the options {', '.join(options)}: they are for {PORTABLE}")
    if request.dynamic or request.pose_input or request.preprocess:
        raise UnsupportedError(
            "a comparison export has a fixed shape and takes normalised images: leave out the other options"
        )
    if kind is UpstreamOptions:
        return options
    if find_spec("onnxruntime") is None:
        raise UnavailableError(f"option mix=dynamic needs onnxruntime: {install.ONNXRUNTIME}")
    return {**options, "onnxruntime": package_versions(("onnxruntime",))["onnxruntime"]}


def upstream_graph(context: ExportContext, opset: int, folder: Path) -> onnx_ir.Model:
    """Upstream's own network as torch's exporters make it, the newer one first.

    Raises:
        ExportError: both failed, with the first cause of each.
    """
    import onnx_ir
    import torch
    from torch import Tensor, nn

    from depthport.exporters.da3.upstream import build_upstream, upstream_forward

    request = context.request
    upstream = build_upstream(request.model, context.state_dict())

    class Upstream(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = upstream

        def forward(self, image: Tensor) -> tuple[Tensor, ...]:
            return tuple(upstream_forward(self.net, image, request.outputs).values())

    path = folder / "upstream.onnx"
    reasons = []
    for name, dynamo in (("dynamo", True), ("TorchScript", False)):
        context.progress(f"exporting upstream itself, {name}")
        try:
            # The older one prints its whole graph when it fails.
            with redirect_stdout(io.StringIO()):
                torch.onnx.export(
                    Upstream().eval(), example_inputs(request), path, dynamo=dynamo, opset_version=opset,
                    input_names=["image"], output_names=list(request.outputs), external_data=False, verbose=False,
                )  # fmt: skip
            return onnx_ir.load(path)
        except Exception as error:  # noqa: BLE001 - whatever it raises is the answer: a user would see the same
            reasons.append(f"{name}: {innermost(error)}")
        finally:
            path.unlink(missing_ok=True)
    raise ExportError(f"torch.onnx.export can't export upstream itself ({'; '.join(reasons)})")


def quantize_dynamically(path: Path) -> None:
    """Every MatMul that ONNX Runtime takes with int8 weights, activations quantized as they come; its other defaults."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    made = path.with_name("dynamic.onnx")
    quantize_dynamic(path, made, weight_type=QuantType.QInt8, op_types_to_quantize=["MatMul", "Gemm"])
    made.replace(path)


def innermost(error: BaseException) -> str:
    """The first cause's first line: what torch's exporter wraps around it says nothing."""
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause
    return f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0][:160]}"
