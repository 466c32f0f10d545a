"""Readers of a `pytorch` artifact (:mod:`depthport.exporters.pytorch.exporter`).

It holds the program and its borrowed parameters, the fused network, or upstream.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.export import ExportedProgram

from depthport.exporters.core.artifact import Artifact
from depthport.exporters.core.errors import ArtifactError, LoadError, one_line
from depthport.exporters.da3.upstream import POSES, build_upstream, from_pixels, model_of, upstream_forward
from depthport.runtimes.pytorch.archive import checked_archive

if TYPE_CHECKING:
    from depthport.exporters.da3.fused.stored import FusedNetwork

WEIGHTS_FILE = "model.safetensors"
PROGRAM_FILE = "program.pt2"
PARAMETERS_ENTRY = "parameters.json"
KEY_PREFIX = "model."
FUSED_TARGET = "cuda"
"""Export target of the fused network, which calls operators of our own."""

Forward = Callable[..., "dict[str, Tensor] | tuple[Tensor, ...]"]


def load_weights(artifact: Artifact) -> dict[str, Tensor]:
    """Upstream's parameters in fp32, by the file's own keys (prefixed `model.`), on the CPU.

    Raises:
        LoadError: damaged file.
    """
    try:
        return load_file(artifact.file(WEIGHTS_FILE))
    except (SafetensorError, OSError) as error:
        raise LoadError(
            f"{WEIGHTS_FILE} of {artifact.path.name} is damaged ({one_line(error)}): export it again"
        ) from error


def load_program(artifact: Artifact, device: torch.device) -> nn.Module:
    """The static network as a module on `device`.

    Raises:
        ArtifactError: a damaged archive, or one that holds what could run (:mod:`depthport.runtimes.pytorch.archive`).
        LoadError: a damaged file, or a program of a version of PyTorch that this one can't read.
    """
    entries = {PARAMETERS_ENTRY: ""}
    try:
        with warnings.catch_warnings():
            # Weights are read into a buffer PyTorch takes for read-only; nothing writes to them.
            warnings.filterwarnings("ignore", message="The given buffer is not writable")
            program = torch.export.load(checked_archive(artifact.file(PROGRAM_FILE), is_operator), extra_files=entries)
        borrowed: dict[str, str] = json.loads(entries[PARAMETERS_ENTRY])
    except ArtifactError:
        raise
    except Exception as error:
        made = artifact.manifest.versions.get("torch", "unknown")
        raise LoadError(
            f"{PROGRAM_FILE} of {artifact.path.name} can't be read by torch {torch.__version__} (made by {made}): "
            f"{one_line(error)}: export it again"
        ) from error
    if device.type != "cpu":
        from torch.export.passes import move_to_device_pass

        # With its index: the program asserts where its tensors are, and a compiler takes `cuda` and `cuda:0` for two.
        index = torch.accelerator.current_device_index() if device.index is None else device.index
        device = torch.device(device.type, index)
        program = move_to_device_pass(program, str(device))
    _lend(program, artifact, borrowed, device)
    # The session checks names, shapes and dtypes itself.
    return program.module(check_guards=False)


def is_operator(namespace: str, name: str, overload: str) -> bool:
    """Return whether an operator is registered with PyTorch."""
    packet = getattr(getattr(torch.ops, namespace), name, None)
    return isinstance(getattr(packet, overload, None), torch._ops.OpOverload)


def load_fused(artifact: Artifact, device: torch.device) -> FusedNetwork:
    """The network of an artifact of target `cuda` on `device`; like upstream itself, it has one definition.

    Raises:
        LoadError: a damaged file, or one of another version of this package.
    """
    # Late: it registers operators and their kernels with PyTorch.
    from depthport.exporters.da3.fused.stored import NETWORK_FILE, load_network

    try:
        return load_network(artifact.file(NETWORK_FILE), device)
    except (OSError, ValueError, SafetensorError) as error:
        raise LoadError(
            f"{NETWORK_FILE} of {artifact.path.name} can't be read ({one_line(error)}): export it again"
        ) from error


def _lend(program: ExportedProgram, artifact: Artifact, borrowed: Mapping[str, str], device: torch.device) -> None:
    """Give the program upstream's parameters that it borrows, each in its own dtype, rounded on the device.

    One after the other: the fp32 parameters are never on the device all at once.

    Raises:
        LoadError: a damaged file, or one without what is borrowed.
    """
    try:
        with safe_open(artifact.file(WEIGHTS_FILE), framework="pt") as weights:
            known = set(weights.keys())
            for name, key in borrowed.items():
                stand_in = program.state_dict.get(name)
                tensor = weights.get_tensor(key) if key in known else None
                if tensor is None or stand_in is None or tensor.shape != stand_in.shape:
                    raise LoadError(f"{WEIGHTS_FILE} of {artifact.path.name} does not hold {key}: export it again")
                lent = tensor.to(device).to(stand_in.dtype)
                program.state_dict[name] = nn.Parameter(lent, requires_grad=False)
    except (SafetensorError, OSError) as error:
        raise LoadError(
            f"{WEIGHTS_FILE} of {artifact.path.name} is damaged ({one_line(error)}): export it again"
        ) from error


def prefer_channels_last(module: nn.Module) -> int:
    """Lay out the kernels of 2-D convolutions as NHWC, which makes their activations NHWC; returns how many.

    cuDNN's tensor-core kernels want it; in NCHW each convolution is wrapped in two transpositions.
    """
    kernels = [p for p in module.parameters() if p.dim() == 4 and p.shape[-1] > 1]
    for kernel in kernels:
        kernel.data = kernel.data.to(memory_format=torch.channels_last)
    return len(kernels)


def load_upstream(artifact: Artifact, device: torch.device) -> tuple[nn.Module, Forward]:
    """Upstream's own network on `device`, and its forward with the artifact's outputs by name.

    With the fused operators the one thing a runtime takes from the exporters: what "upstream" is must have one
    definition.

    Raises:
        LoadError: damaged file.
        UnavailableError: depth-anything-3 is not installed.
    """
    weights = {key.removeprefix(KEY_PREFIX): tensor for key, tensor in load_weights(artifact).items()}
    try:
        network = build_upstream(model_of(artifact.manifest), weights).to(device)
    except RuntimeError as error:
        raise LoadError(f"{WEIGHTS_FILE} of {artifact.path.name} does not fit upstream: {one_line(error)}") from error
    names = [spec.name for spec in artifact.manifest.outputs]
    preprocessing = artifact.manifest.preprocessing

    def forward(image: Tensor, *poses: Tensor) -> Any:
        if image.dtype == torch.uint8:
            image = from_pixels(image, preprocessing)
        return upstream_forward(network, image, names, **dict(zip(POSES, poses, strict=False)))

    return network, forward
