"""Upstream's own network: the reference every artifact is compared with, and the source of the static network.

Built from upstream's configuration without its API module, which imports pycolmap, moviepy, open3d and more that the
network never uses (`depth_anything_3/api.py`).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from exporters.da3.models import ModelSpec, get_model, validate_outputs
from exporters.errors import UnavailableError

INSTALL = "pip install --no-deps --ignore-requires-python depth-anything-3==0.1.1"

POSES = ("extrinsics", "intrinsics")
"""Upstream's names of known poses, in the order of an artifact's inputs."""


def build_upstream(model: str, state_dict: Mapping[str, Tensor]) -> nn.Module:
    """Upstream's network in fp32 and eval mode, its parameters being the tensors of `state_dict` (not copies).

    Args:
        model: a name in `MODELS`.
        state_dict: upstream's keys without the `model.` prefix (:func:`exporters.da3.weights.load_state_dict`).

    Raises:
        UnavailableError: depth-anything-3 is not installed.
    """
    net = build_upstream_on_meta(get_model(model))
    net.load_state_dict(dict(state_dict), strict=True, assign=True)
    return net.eval().requires_grad_(False)


def build_upstream_on_meta(spec: ModelSpec) -> nn.Module:
    """Upstream's network without storage: the keys and shapes a checkpoint must have.

    Raises:
        UnavailableError: depth-anything-3 is not installed.
    """
    cfg, registry = _import_upstream()
    config = cfg.load_config(registry.MODEL_REGISTRY[spec.upstream_config])
    # The Gaussian head is out of scope and imports `evo`.
    for part in ("gs_head", "gs_adapter"):
        config.pop(part, None)
    with torch.device("meta"), _LinspaceOnCpu():
        net: nn.Module = cfg.create_object(config)
    return net


def upstream_forward(
    net: nn.Module, image: Tensor, outputs: Sequence[str] | None = None, **inputs: Any
) -> dict[str, Tensor]:
    """Upstream's forward as its users run it, with the outputs by our names.

    Args:
        net: what :func:`build_upstream` returned. Its dtype and device, and any autocast around the call, are kept.
        image: (B, N, 3, H, W) float32, ImageNet-normalised.
        outputs: names to return; None for the default ones of an any-view model.
        inputs: passed on, e.g. `extrinsics` (B, N, 4, 4) and `intrinsics` (B, N, 3, 3).

    Returns:
        The outputs asked for, in the order and shapes of DESIGN.md (`depth` (B, N, H, W), ...). `reference_view`
        (B,) int64 is the view that upstream chose, 0 where it chooses none (N < 3).
    """
    names = validate_outputs(get_model("da3-large"), outputs)
    rays: dict[str, Tensor] = {}

    def keep_rays(_module: nn.Module, _args: Any, output: dict[str, Tensor]) -> None:
        # Upstream deletes them from this dictionary once the camera decoder has run (`da3.py`).
        rays.update({name: output[name] for name in ("ray", "ray_conf")})

    head: nn.Module = net.get_submodule("head")
    hook = head.register_forward_hook(keep_rays)
    try:
        with torch.no_grad(), _recorded_reference_view() as chosen:
            found = {**net(image, **inputs), **rays}
    finally:
        hook.remove()
    found["reference_view"] = chosen[-1] if chosen else image.new_zeros(image.shape[0], dtype=torch.int64)
    return {name: found[name] for name in names}


def from_pixels(image: Tensor, preprocessing: Mapping[str, Any]) -> Tensor:
    """Pixels (B, N, H', W', 3) uint8 to `image` on the host, with OpenCV, as upstream's users do it.

    Args:
        image: on any device.
        preprocessing: of the manifest: says whether and to what the pixels are resized.
    """
    import numpy as np

    from exporters.preprocess import apply_to_rgb, normalise, steps_from_json

    steps = steps_from_json(preprocessing.get("steps", ()))
    views = image.flatten(0, 1).cpu().numpy()
    resized = np.stack([apply_to_rgb(view, steps) for view in views])
    return torch.from_numpy(normalise(resized)).unflatten(0, tuple(image.shape[:2])).to(image.device)


@contextmanager
def _recorded_reference_view() -> Iterator[list[Tensor]]:
    """Wrap upstream's selection while in the context; yields the list that each selection is appended to."""
    from depth_anything_3.model.dinov2 import vision_transformer

    original = vision_transformer.select_reference_view
    chosen: list[Tensor] = []

    def recording(*args: Any, **kwargs: Any) -> Tensor:
        index: Tensor = original(*args, **kwargs)
        chosen.append(index)
        return index

    vision_transformer.select_reference_view = recording
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
        from depth_anything_3 import cfg, registry
    except ImportError as error:
        raise UnavailableError(
            f"depth-anything-3 can't be imported ({error}): pip install einops omegaconf addict"
        ) from None
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
