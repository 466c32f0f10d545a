"""Upstream's own network: the reference every artifact is compared with, and the source of the static network.

Built from upstream's configuration without its API module, which imports pycolmap, moviepy, open3d and more that the
network never uses (`depth_anything_3/api.py`).
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from depthport.exporters.core import install
from depthport.exporters.core.artifact import Manifest
from depthport.exporters.core.errors import RunError, UnavailableError
from depthport.exporters.core.tensors import Preprocessing
from depthport.exporters.da3.config_check import family_of
from depthport.exporters.da3.models import FAMILIES, Family, ModelSpec, validate_outputs
from depthport.exporters.da3.registry import get_model
from depthport.exporters.inputs.preprocess import apply_to_rgb, normalise, steps_from_json

INSTALL = str(install.DA3_PACKAGE)

POSES = ("extrinsics", "intrinsics")
"""Upstream's names of known poses, in the order of an artifact's inputs."""

_SCORES_BYTES = 4 << 30
"""Size of attention's fp64 scores at a time; PyTorch holds about three such at once."""


def build_upstream(spec: ModelSpec, state_dict: Mapping[str, Tensor]) -> nn.Module:
    """Upstream's network in fp32 and eval mode, its parameters being the tensors of `state_dict` (not copies).

    Args:
        state_dict: upstream's keys without the `model.` prefix (:func:`depthport.exporters.da3.weights.load_state_dict`).

    Raises:
        UnavailableError: depth-anything-3 is not installed.
    """
    net = build_upstream_on_meta(spec)
    net.load_state_dict(dict(state_dict), strict=True, assign=True)
    return net.eval().requires_grad_(False)


def model_of(manifest: Manifest) -> ModelSpec:
    """The model of an artifact: a configuration is checked again, a manifest may have been edited."""
    if manifest.model_config is None:
        return get_model(manifest.model)
    family, checked = family_of(manifest.model_config, Path(f"model_config of {manifest.model}"))
    return ModelSpec(manifest.model, "", "", family, config=checked)


def build_upstream_on_meta(spec: ModelSpec) -> nn.Module:
    """Upstream's network without storage: the keys and shapes a checkpoint must have.

    Raises:
        UnavailableError: depth-anything-3 is not installed.
    """
    cfg, registry = _import_upstream()
    if spec.config is None:
        config = cfg.load_config(registry.MODEL_REGISTRY[spec.name])
    else:
        config = cfg.OmegaConf.create(spec.config)
    # The Gaussian head is out of scope and imports `evo`.
    for network in (config, config.get("anyview", {})):
        for part in ("gs_head", "gs_adapter"):
            network.pop(part, None)
    with torch.device("meta"), _LinspaceOnCpu():
        net: nn.Module = cfg.create_object(config)
    return net


def network_family(net: nn.Module) -> Family:
    """The family of an upstream network; `mono` for both monocular models, which have one structure."""
    if hasattr(net, "da3_metric"):
        return "nested"
    return "mono" if net.cam_dec is None else "anyview"


def upstream_forward(
    net: nn.Module, image: Tensor, outputs: Sequence[str] | None = None, **inputs: Tensor
) -> dict[str, Tensor]:
    """Upstream's forward as its users run it, with the outputs of its networks by our names.

    What upstream does to them afterwards (sky fill, metric scale) runs too, and takes its time, but draws pixels at
    random: what is returned are the values before it. :func:`depthport.exporters.da3.host.apply` finishes them, as it does
    those of every artifact.

    Args:
        net: what :func:`build_upstream` returned. Its dtype and device, and any autocast around the call, are kept.
        image: (B, N, 3, H, W) float32, ImageNet-normalised.
        outputs: names to return; None for the default ones of the network's family.
        inputs: passed on, e.g. `extrinsics` (B, N, 4, 4) and `intrinsics` (B, N, 3, 3).

    Returns:
        The outputs asked for, in the manifest's order and shapes (`depth` (B, N, H, W), ...). `reference_view`
        (B,) int64 is the view that upstream chose, 0 where it chooses none (N < 3).

    Raises:
        RunError: upstream itself refuses its outputs (a nested network that sees nothing but sky).
    """
    family = network_family(net)
    names = validate_outputs(FAMILIES[family], outputs)
    found: dict[str, Tensor] = {}
    with torch.no_grad(), recorded_reference_view() as chosen, _kept_outputs(net, family, found):
        try:
            given = net(image, **inputs)
        except AssertionError as error:
            raise RunError(f"upstream gives no outputs: {error}") from error
    found = {**given, **found}
    found["reference_view"] = chosen[-1] if chosen else image.new_zeros(image.shape[0], dtype=torch.int64)
    return {name: found[name] for name in names}


@contextmanager
def double_arithmetic() -> Iterator[None]:
    """Context in which an upstream network built in it, or brought to fp64, computes in fp64 throughout.

    Upstream casts to fp32 in places (`cam_dec.py`, the position embedding), which would end exact arithmetic there.
    Attention goes by blocks of queries: on a GPU PyTorch has no fp64 kernel that would do without the whole matrix of
    scores (220 GB at 32 views of 504x504).
    """

    class FloatIsDouble(TorchFunctionMode):
        def __torch_function__(
            self,
            func: Callable[..., Tensor],
            types: object,
            args: Sequence[Tensor] = (),
            kwargs: Mapping[str, Tensor] | None = None,
        ) -> Tensor:
            if func is torch.Tensor.float:
                return args[0].double()
            kwargs = kwargs or {}
            if func is nn.functional.scaled_dot_product_attention and kwargs.get("attn_mask") is None:
                query, *rest = args
                return torch.cat([func(part, *rest, **kwargs) for part in _query_blocks(query, rest[0])], dim=-2)
            return func(*args, **kwargs)

    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        with FloatIsDouble():
            yield
    finally:
        torch.set_default_dtype(before)


def _query_blocks(query: Tensor, key: Tensor) -> Sequence[Tensor]:
    """Queries (..., L, E) in blocks whose scores against keys (..., S, E) take `_SCORES_BYTES` at most."""
    scores_of_one = key.shape[:-1].numel() * key.element_size()
    blocks: Sequence[Tensor] = query.split(max(_SCORES_BYTES // scores_of_one, 1), dim=-2)
    return blocks


def from_pixels(image: Tensor, preprocessing: Preprocessing) -> Tensor:
    """Pixels (B, N, H', W', 3) uint8 to `image` on the host, with OpenCV, as upstream's users do it.

    Args:
        image: on any device.
        preprocessing: of the manifest: says whether and to what the pixels are resized.
    """
    steps = steps_from_json(preprocessing.get("steps", ()))
    views = image.flatten(0, 1).cpu().numpy()
    resized = np.stack([apply_to_rgb(view, steps) for view in views])
    out: Tensor = torch.from_numpy(normalise(resized)).unflatten(0, tuple(image.shape[:2])).to(image.device)
    return out


@contextmanager
def _kept_outputs(net: nn.Module, family: Family, found: dict[str, Tensor]) -> Iterator[None]:
    """While in the context, keep in `found` what upstream deletes or overwrites later in its forward."""

    def keep(names: Mapping[str, str], copy: bool = False) -> Callable[..., None]:
        def hook(_module: nn.Module, _args: object, output: Mapping[str, Tensor]) -> None:
            found.update({ours: output[own].clone() if copy else output[own] for ours, own in names.items()})

        return hook

    def same(*names: str) -> dict[str, str]:
        return {name: name for name in names}

    # Rays are deleted from the head's dictionary once the camera decoder has run. The sky fill puts a new tensor in
    # the place of depth; the nested network scales depth and extrinsics where they lie.
    hooks = {
        "anyview": (("head", keep(same("ray", "ray_conf"))),),
        "mono": (("head", keep(same("depth", "sky"))),),
        "metric": (("head", keep(same("depth", "sky"))),),
        "nested": (
            ("da3.head", keep(same("ray", "ray_conf"))),
            ("da3", keep(same("depth", "depth_conf", "extrinsics"), copy=True)),
            ("da3_metric.head", keep({"metric_depth": "depth", "sky": "sky"})),
        ),
    }[family]
    handles = [net.get_submodule(name).register_forward_hook(hook) for name, hook in hooks]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def recorded_reference_view() -> Iterator[list[Tensor]]:
    """Wrap upstream's selection while in the context; yields the list that each selection is appended to.

    A compiler leaves the wrapper alone: a growing list would make it recompile every call.
    """
    from depth_anything_3.model.dinov2 import vision_transformer

    original = vision_transformer.select_reference_view
    chosen: list[Tensor] = []

    def recording(*args: object, **kwargs: object) -> Tensor:
        index: Tensor = original(*args, **kwargs)
        chosen.append(index)
        return index

    vision_transformer.select_reference_view = torch.compiler.disable(recording)
    try:
        yield chosen
    finally:
        vision_transformer.select_reference_view = original


def _import_upstream() -> tuple[Any, Any]:
    try:
        from depth_anything_3.utils import logger
    except ImportError as error:
        raise UnavailableError(f"depth-anything-3 is not installed ({error}): {INSTALL}") from None
    # Upstream logs every forward to stdout at its default level.
    if "DA3_LOG_LEVEL" not in os.environ:
        logger.logger.level = logger.LOG_LEVELS["ERROR"]
    try:
        with warnings.catch_warnings():
            # Upstream calls omegaconf by a name that omegaconf 2.4 deprecates.
            warnings.simplefilter("ignore")
            from depth_anything_3 import cfg, registry
    except ImportError as error:
        raise UnavailableError(f"depth-anything-3 can't be imported ({error}): {install.DA3}") from None
    return cfg, registry


class _LinspaceOnCpu(TorchFunctionMode):
    """Under `torch.device("meta")`, keep `torch.linspace` real: upstream reads values of one while it builds."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        if func is torch.linspace:
            kwargs.setdefault("device", "cpu")
        return func(*args, **kwargs)
