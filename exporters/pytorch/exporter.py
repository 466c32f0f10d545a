"""Exporter `pytorch`: upstream's parameters once, and the static network as a program that borrows them.

* `model.safetensors` + `config.json`: upstream's parameters in fp32 in Hugging Face layout, keys prefixed `model.`;
  upstream's own `from_pretrained` reads the folder. The baseline runs from these two files.
* `program.pt2`: the static network in the request's policy, saved by `torch.export.save`. Every tensor in it that is
  one of upstream's, or one of them rounded to the policy's dtype, is stored as a single zero expanded to its shape,
  and the file `parameters.json` inside the archive says which key of `model.safetensors` takes its place
  (:func:`depthport.runtimes.pytorch.program.load_program` puts it there). So a da3-large artifact is 1.4 GB and not 2.8.

With target `cuda` there is one file instead, `network.safetensors`: the fused network
(:mod:`depthport.exporters.da3.fused`) with its tensors in the dtypes they run in
(:mod:`depthport.exporters.da3.fused.stored`). It calls the operators of :mod:`depthport.exporters.da3.kernels`: kernels on
NVIDIA GPUs, plain PyTorch everywhere else. Upstream's parameters are not beside it: none of the policies that have a fused
network is one of upstream's own.
"""

from __future__ import annotations

import hashlib
import io
import json
import warnings
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, cast

from depthport.exporters.base import ExportContext, Exporter, ExportResult
from depthport.exporters.core import install
from depthport.exporters.core.errors import UnsupportedError, UsageError
from depthport.exporters.core.files.atomic import write_bytes, write_json
from depthport.exporters.core.options import Options
from depthport.exporters.da3.request import ExportRequest
from depthport.exporters.pytorch.program import export_program, from_pixels, require_static
from depthport.exporters.quantization.half import RoundingOptions, lower_network, rounding_options

if TYPE_CHECKING:
    from torch import Tensor
    from torch.export import ExportedProgram

    from depthport.exporters.da3.fused.stored import FusedNetwork

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
PROGRAM_FILE = "program.pt2"
PARAMETERS_ENTRY = "parameters.json"
KEY_PREFIX = "model."

FUSED_TARGET = "cuda"

_ONE_ELEMENT_WARNING = "No complete tensor found in the group"


class PyTorchExporter(Exporter):
    """Files for upstream itself and for the static network in eager or compiled PyTorch."""

    format: ClassVar[str] = "pytorch"
    targets: ClassVar[tuple[str, ...]] = (FUSED_TARGET,)
    packages: ClassVar[tuple[str, ...]] = ("safetensors",)
    takes: ClassVar[tuple[type[Options], ...]] = (RoundingOptions,)
    keeps_poses: ClassVar[tuple[str, ...]] = ("bf16-poses",)

    def probe(self) -> str | None:
        missing = [name for name in ("torch", "safetensors") if find_spec(name) is None]
        return f"{' and '.join(missing)} not installed: {install.DA3}" if missing else None

    def options(self, request: ExportRequest) -> dict[str, object]:
        require_static(request, allow=("pose_input", "preprocess"))
        if request.target not in (None, FUSED_TARGET):
            raise UsageError(
                f"format 'pytorch' has no target {request.target!r}: choose {FUSED_TARGET!r}, "
                "or none for files that run on every device"
            )
        if request.target == FUSED_TARGET:
            # The fused network is another one: it takes no poses.
            require_static(request, allow=("preprocess",))
            require_fusible(request)
        if request.policy.camera_token is not None:
            require_static(request)
            return rounding_options(request).to_json()
        return super().options(request)

    def write(self, context: ExportContext, directory: Path) -> ExportResult:
        from safetensors.torch import save_file

        request = context.request
        if request.target == FUSED_TARGET:
            return _write_fused(context, directory)
        rounded = {"rounding": lower_network(context).report} if request.policy.camera_token is not None else {}
        program = export_program(context)
        state = context.state_dict()
        context.progress("writing weights")
        save_file(
            _unshared({f"{KEY_PREFIX}{name}": tensor for name, tensor in state.items()}),
            directory / WEIGHTS_FILE,
            metadata={"format": "pt", "weights": request.weights.id, "licence": request.weights.licence},
        )
        write_json(directory / CONFIG_FILE, _hub_config(request))
        context.progress("writing the program")
        borrowed = borrow_parameters(program, state)
        write_bytes(directory / PROGRAM_FILE, program_bytes(program, borrowed))
        return ExportResult(
            extra={
                **rounded,
                "nodes": sum(node.op == "call_function" for node in program.graph.nodes),
                "borrowed_parameters": len(borrowed),
                "own_parameters": len(program.state_dict) - len(borrowed),
            }
        )


def require_fusible(request: ExportRequest) -> None:
    """Refuse a policy or a model that the fused kernels do not support.

    Raises:
        UnsupportedError: a quantized policy, one with fp32 matrix products or convolutions, or another network than the
            any-view one with GELU blocks.
    """
    spec, policy = request.model, request.policy
    if spec.family != "anyview" or spec.feed_forward != "mlp":
        raise UnsupportedError(
            f"target {FUSED_TARGET!r} has no {spec.name}: its kernels are for da3-small, da3-base and da3-large; "
            "leave out the target"
        )

    if policy.quantization is not None or "float32" in (policy.backbone, policy.head):
        raise UnsupportedError(
            f"target {FUSED_TARGET!r} has no precision {policy.name!r}: use bf16-fp16, fp16 or bf16, "
            "or leave out the target"
        )


def _write_fused(context: ExportContext, directory: Path) -> ExportResult:
    """The fused network of the request as a file."""
    from depthport.exporters.da3.fused.network import build_fused
    from depthport.exporters.da3.fused.stored import NETWORK_FILE, save_network
    from depthport.exporters.da3.upstream import build_upstream

    request, shape = context.request, context.request.shape
    context.progress("fusing")
    upstream = build_upstream(request.model, context.state_dict())
    size = (shape.batch, shape.views, shape.height, shape.width)
    network = from_pixels(build_fused(upstream, *size, request.outputs, request.policy), request)
    context.progress("writing the network")
    save_network(cast("FusedNetwork", network), directory / NETWORK_FILE)
    return ExportResult(extra={"parameters": sum(tensor.numel() for tensor in network.parameters())})


def borrow_parameters(program: ExportedProgram, state: Mapping[str, Tensor]) -> dict[str, str]:
    """Replace every parameter of `program` that `state` already holds by an expanded zero.

    Args:
        program: changed in place.
        state: upstream's parameters in fp32.

    Returns:
        The key of `model.safetensors` that each replaced parameter is to be taken from; the parameter's own dtype is
        the one to round it to.
    """
    import torch

    dtypes = {parameter.dtype for parameter in program.state_dict.values()}
    known = {_fingerprint(tensor.to(dtype)): key for dtype in dtypes for key, tensor in state.items()}
    borrowed: dict[str, str] = {}
    for name, parameter in program.state_dict.items():
        key = known.get(_fingerprint(parameter))
        if key is not None:
            borrowed[name] = f"{KEY_PREFIX}{key}"
            stand_in = torch.zeros((), dtype=parameter.dtype).expand(parameter.shape)
            program.state_dict[name] = torch.nn.Parameter(stand_in, requires_grad=False)
    return borrowed


def program_bytes(program: ExportedProgram, borrowed: Mapping[str, str]) -> bytes:
    """The archive `torch.export.save` writes; small, since it holds few parameters."""
    import torch

    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # A tensor that repeats one element is stored as that element, which torch finds worth a warning.
        warnings.filterwarnings("ignore", message=_ONE_ELEMENT_WARNING)
        torch.export.save(program, buffer, extra_files={PARAMETERS_ENTRY: json.dumps(dict(borrowed))})
    return buffer.getvalue()


def _unshared(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors with separate memory, as safetensors requires (upstream shares a LayerNorm)."""
    seen: set[int] = set()
    own: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        own[name] = tensor.clone() if tensor.data_ptr() in seen else tensor.contiguous()
        seen.add(tensor.data_ptr())
    return own


def _fingerprint(tensor: Tensor) -> tuple[object, ...]:
    """Equal for tensors of the same dtype, shape and bits."""
    import torch

    bits = tensor.detach().contiguous().flatten().view(torch.uint8).numpy()
    return tensor.dtype, tuple(tensor.shape), hashlib.blake2b(bits.data, digest_size=16).digest()


def _hub_config(request: ExportRequest) -> dict[str, object]:
    """`config.json` in Hugging Face layout, with the network's configuration where it is the user's own."""
    spec = request.model
    return {"model_name": spec.name} if spec.config is None else {"model_name": spec.name, "config": spec.config}
