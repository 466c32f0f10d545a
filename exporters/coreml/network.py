"""The static network as a Core ML package takes and gives it: images or a tensor in, the package's own outputs out.

What a package leaves out, the host does (:mod:`depthport.runtimes.coreml.host`), and :class:`Interface` says so as data:

* `reference_view` of fewer than three views is the constant 0, and a constant is no useful output of a package;
* with option `ane` the package gives the pose encoding, because `tan` has no Neural Engine operation and pose matrices
  want fp32, which that engine does not have.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from depthport.exporters.core.artifact import Shape
from depthport.exporters.da3.static.camera import PoseMatrices
from depthport.exporters.da3.static.network import StaticNetwork
from depthport.exporters.da3.static.reference_view import MIN_VIEWS
from depthport.exporters.inputs.preprocess import IMAGENET_MEAN, IMAGENET_STD

POSE_OUTPUTS = ("extrinsics", "intrinsics")
POSE_ENCODING = "pose_enc"
MAX_KERNEL_WIDTH = 13
"""Widest fp16 convolution kernel of the oldest Neural Engine in use (A13 to A15; ane-guide, appendix A)."""


@dataclass(frozen=True)
class Interface:
    """Mapping of a package's inputs and outputs to the artifact's."""

    images: tuple[str, ...]
    """Names of image inputs, one a view, scene by scene; empty: one tensor `image` (B, N, 3, H, W)."""
    outputs: tuple[str, ...]
    """Outputs of the package, in order."""
    host: tuple[str, ...]
    """Outputs that the host adds: `reference_view` (zeros) and `extrinsics`, `intrinsics` (from `pose_enc`)."""

    def to_json(self) -> dict[str, list[str]]:
        return {"images": list(self.images), "outputs": list(self.outputs), "host": list(self.host)}


def interface(outputs: tuple[str, ...], shape: Shape, *, images: bool, host_pose: bool) -> Interface:
    """The interface of a package for the given artifact outputs."""
    host = [name for name in outputs if name in POSE_OUTPUTS and host_pose]
    if shape.views < MIN_VIEWS and "reference_view" in outputs:
        host.append("reference_view")
    kept = [name for name in outputs if name not in host]
    if host_pose and any(name in POSE_OUTPUTS for name in host):
        kept.append(POSE_ENCODING)
    names = [f"image_{b}_{n}" for b in range(shape.batch) for n in range(shape.views)] if images else []
    return Interface(tuple(names), tuple(kept), tuple(host))


class KeepEncoding(nn.Module):
    """Stand-in for the pose matrices that hands on the pose encoding (B, N, 9), as both of their outputs."""

    def forward(self, encoding: Tensor) -> tuple[Tensor, Tensor]:
        return encoding, encoding


class PackageNetwork(nn.Module):
    """A static network behind an :class:`Interface`; shares its parts, so use the network itself first."""

    def __init__(self, network: StaticNetwork, face: Interface, views: int) -> None:
        super().__init__()
        self.network = network
        self.face = face
        self.views = views
        if face.images:
            fold_normalisation(network)
        if POSE_ENCODING in face.outputs:
            for part in network.modules():
                if isinstance(getattr(part, "pose", None), PoseMatrices):
                    part.pose = KeepEncoding()

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """`image` (B, N, 3, H, W), or a (1, 3, H, W) of pixel values 0..255 for each view, to `face.outputs`."""
        image = self._scene(inputs) if self.face.images else inputs[0]
        found = dict(zip(self.network.output_names, self.network(image), strict=True))
        if POSE_ENCODING in self.face.outputs:
            found[POSE_ENCODING] = next(found[name] for name in POSE_OUTPUTS if name in found)
        return tuple(found[name] for name in self.face.outputs)

    def _scene(self, views: tuple[Tensor, ...]) -> Tensor:
        out: Tensor = torch.cat(views, dim=0).unflatten(0, (-1, self.views))
        return out


def patch_convolutions(network: nn.Module) -> list[tuple[nn.Module, nn.Conv2d]]:
    """Each patch convolution with the module that has it as `patch_embed`: one a backbone, nested models have two."""
    return [(part, conv) for part in network.modules() if isinstance(conv := getattr(part, "patch_embed", None), nn.Conv2d)]


def fold_normalisation(network: nn.Module) -> None:
    """Make the patch convolutions take pixel values 0..255 instead of ImageNet-normalised ones.

    Exact, because it has no padding: conv(s·x + t, W) + b = conv(x, s·W) + (b + ΣW·t). In fp16 it also saves the
    rounding of the normalised image: pixel values are exact.
    """
    std = torch.tensor(IMAGENET_STD, dtype=torch.float64).reshape(1, 3, 1, 1)
    mean = torch.tensor(IMAGENET_MEAN, dtype=torch.float64).reshape(1, 3, 1, 1)
    for backbone, original in patch_convolutions(network):
        conv = copy.copy(original)
        assert original.bias is not None
        weight, bias = original.weight.double(), original.bias.double()
        conv._parameters = {
            "weight": nn.Parameter((weight / (255.0 * std)).float(), requires_grad=False),
            "bias": nn.Parameter((bias - (weight * mean / std).sum((1, 2, 3))).float(), requires_grad=False),
        }
        backbone.patch_embed = conv


class SplitPatchConvolution(nn.Module):
    """A convolution with kernel and stride 14 as the sum of two with kernels 14×7; exact up to the order of a sum."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.left_width = conv.kernel_size[1] // 2
        self.stride = conv.stride
        self.weight = nn.Parameter(conv.weight[..., : self.left_width].contiguous(), requires_grad=False)
        self.right = nn.Parameter(conv.weight[..., self.left_width :].contiguous(), requires_grad=False)
        self.bias = conv.bias

    def forward(self, x: Tensor) -> Tensor:
        left = nn.functional.conv2d(x, self.weight, self.bias, self.stride)
        return left + nn.functional.conv2d(x[..., self.left_width :], self.right, None, self.stride)


def split_patch_convolution(network: nn.Module) -> None:
    """Replace patch convolutions whose kernel is wider than the Neural Engine takes."""
    for backbone, conv in patch_convolutions(network):
        if conv.kernel_size[1] > MAX_KERNEL_WIDTH:
            backbone.patch_embed = SplitPatchConvolution(conv)
