"""The fused network as one file, `network.safetensors`: its tensors in the dtypes they run in, and its modules as data.

A process reads half the bytes that fp32 weights have, straight to its device, and neither traces nor interprets a program;
the same file serves any number of cards. The file's metadata holds the tree of modules as JSON: classes by names that are
looked up in the list here, their numbers, and the names of their tensors. Nothing in it is imported, called or unpickled.
"""

from __future__ import annotations

import json
import keyword
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from depthport.exporters.core.precision import PrecisionPolicy
from depthport.exporters.da3.fused.backbone import FusedAttention, FusedBackbone, FusedBlock
from depthport.exporters.da3.fused.head import FusedDepth, FusedFusion, FusedStage, FusedUnit, Shrink, Spread
from depthport.exporters.da3.fused.network import FusedDA3
from depthport.exporters.da3.shapes import NetworkShape
from depthport.exporters.da3.static.camera import CameraDecoder
from depthport.exporters.da3.static.pixels import FromPixels, PixelCrop, PixelResize, WeightedSum

NETWORK_FILE = "network.safetensors"
LAYOUT = 1
"""Version of the stored form; raised when a stored tensor or number changes its meaning without its name or shape."""

_MODULES: dict[str, type[nn.Module]] = {
    module.__name__: module
    for module in (
        FusedDA3, FusedBackbone, FusedBlock, FusedAttention, FusedDepth, FusedStage, FusedFusion, FusedUnit, Spread, Shrink,
        CameraDecoder, FromPixels, PixelResize, PixelCrop, WeightedSum, nn.LayerNorm, nn.Linear, nn.ModuleList, nn.Identity,
    )
}  # fmt: skip
_DATA: dict[str, type[Any]] = {"NetworkShape": NetworkShape, "PrecisionPolicy": PrecisionPolicy}
_DTYPES = {name: getattr(torch, name) for name in ("float32", "bfloat16", "float16")}


FusedNetwork: TypeAlias = "FusedDA3 | FromPixels"
"""The network, or what makes its images of pixels with the network in it."""


def save_network(network: FusedNetwork, path: Path) -> None:
    """Write `network`, on the CPU, to `path`."""
    from safetensors.torch import save_file

    tensors: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, tensor in (*network.named_parameters(remove_duplicate=False), *network.named_buffers(remove_duplicate=False)):
        # safetensors wants memory of its own for each.
        tensors[name] = tensor.detach().clone() if tensor.data_ptr() in seen else tensor.detach().contiguous()
        seen.add(tensor.data_ptr())
    tree = json.dumps(_describe(network))
    save_file(tensors, path, metadata={"format": "pt", "layout": str(LAYOUT), "network": tree})


def load_network(path: Path, device: torch.device) -> FusedNetwork:
    """The network of `path` on `device`, in eval mode.

    Raises:
        ValueError: a file that is not such a network, or one of another layout than this code's.
        safetensors.SafetensorError, OSError: an unreadable or damaged file.
    """
    from safetensors import safe_open

    with safe_open(path, framework="pt", device=str(device)) as stored:
        metadata = stored.metadata() or {}
        if metadata.get("layout") != str(LAYOUT):
            raise ValueError(f"it has layout {metadata.get('layout')}, not {LAYOUT}")
        try:
            network = _restore(json.loads(metadata["network"]), "", stored.get_tensor)
        except (KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ValueError(f"it does not hold a network ({type(error).__name__}: {error})") from error
    if not isinstance(network, FromPixels | FusedDA3) or not isinstance(getattr(network, "network", network), FusedDA3):
        raise ValueError(f"it holds a {type(network).__name__}, not a network")
    return network.eval().requires_grad_(False)


def _describe(module: nn.Module) -> dict[str, object]:
    """A module as data; its tensors by name alone."""
    name = type(module).__name__
    if _MODULES.get(name) is not type(module):
        raise TypeError(f"a {name} is not stored: list it in {__name__}")
    values = {key: value for key, value in vars(module).items() if key != "training" and not key.startswith("_")}
    return {
        "class": name,
        "values": {key: _encode(value) for key, value in values.items()},
        "parameters": {key: tensor is not None for key, tensor in module._parameters.items()},
        "buffers": list(module._buffers),
        "modules": {key: _describe(child) for key, child in module.named_children()},
    }


def _restore(tree: Mapping[str, Any], prefix: str, tensor: Callable[[str], Tensor]) -> nn.Module:
    """Restore what :func:`_describe` described, with the tensors that `tensor` finds by name."""
    kind = _MODULES[tree["class"]]
    module = kind.__new__(kind)
    nn.Module.__init__(module)
    for name, value in tree["values"].items():
        _check_name(kind, name)
        setattr(module, name, _decode(value))
    for name, there in tree["parameters"].items():
        parameter = nn.Parameter(tensor(prefix + name), requires_grad=False) if there else None
        module.register_parameter(name, parameter)
    for name in tree["buffers"]:
        module.register_buffer(name, tensor(prefix + name), persistent=False)
    for name, child in tree["modules"].items():
        module.add_module(name, _restore(child, f"{prefix}{name}.", tensor))
    return module


def _check_name(kind: type[nn.Module], name: str) -> None:
    """Values are attributes of an instance and hide nothing of its class."""
    if not name.isidentifier() or keyword.iskeyword(name) or name.startswith("_") or hasattr(kind, name):
        raise ValueError(f"it gives a {kind.__name__} a {name!r}")


def _encode(value: Any) -> Any:
    """A number, name or tuple as JSON; values without a JSON form become an object of one entry."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, tuple | list):
        return [_encode(part) for part in value]
    if isinstance(value, torch.dtype):
        return {"dtype": str(value).removeprefix("torch.")}
    name = type(value).__name__
    if _DATA.get(name) is not type(value):
        raise TypeError(f"a {name} is not stored: list it in {__name__}")
    return {name: {key: _encode(part) for key, part in asdict(value).items()}}


def _decode(value: Any) -> object:
    if isinstance(value, list):
        return tuple(map(_decode, value))
    if not isinstance(value, dict):
        return value
    ((name, content),) = value.items()
    if name == "dtype":
        return _DTYPES[content]
    return _DATA[name](**{key: _decode(part) for key, part in content.items()})
