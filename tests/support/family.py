"""Small networks of every structure, as configurations of a user's own: the families at test size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

MONO = """
__inherit__: depth_anything_3.configs.da3mono-large
net: {name: vits, out_layers: [0, 1, 2, 3]}
head: {dim_in: 384, features: 32, out_channels: [24, 32, 48, 64]}
"""
NESTED = """
__object__: {path: depth_anything_3.model.da3, name: NestedDepthAnything3Net, args: as_params}
anyview:
  __inherit__: depth_anything_3.configs.da3-small
  net: {out_layers: [3, 4, 5, 6]}
  head: {features: 32, out_channels: [24, 32, 48, 64]}
metric:
  __inherit__: depth_anything_3.configs.da3metric-large
  net: {name: vits, out_layers: [0, 1, 2, 4]}
  head: {dim_in: 384, features: 32, out_channels: [24, 32, 48, 64]}
"""
# vitg has the giant's SwiGLU blocks; the tests keep the first few of its forty.
SWIGLU = """
__inherit__: depth_anything_3.configs.da3-giant
net: {out_layers: [0, 1, 2, 3], alt_start: 2, qknorm_start: 2, rope_start: 2}
head: {features: 32, out_channels: [24, 32, 48, 64]}
"""
CONFIGS = {"tiny-mono": MONO, "tiny-nested": NESTED, "tiny-swiglu": SWIGLU}


def write_config(folder: Path, name: str) -> str:
    """The path of a configuration of :data:`CONFIGS`, as `--model` takes it."""
    path = folder / f"{name}.yaml"
    path.write_text(CONFIGS[name], encoding="utf-8")
    return str(path)


def short_upstream(model: str, seed: int = 0, outliers: bool = False) -> Any:
    """Upstream's network without the blocks that come after the last one read, and without its camera encoder.

    Args:
        model: what `get_model` takes.
        seed, outliers: of its synthetic weights.
    """
    import torch

    from depthport.exporters.da3.registry import get_model
    from depthport.exporters.da3.synthetic import synthetic_arrays
    from depthport.exporters.da3.upstream import build_upstream_on_meta

    net: Any = build_upstream_on_meta(get_model(model))
    parts: list[Any] = [net, getattr(net, "da3", None), getattr(net, "da3_metric", None)]
    for part in parts:
        if hasattr(part, "backbone"):
            inner = part.backbone.pretrained
            inner.blocks = inner.blocks[: max(part.backbone.out_layers) + 1]
            part.cam_enc = torch.nn.Identity()
    shapes = {key: tuple(value.shape) for key, value in net.state_dict().items()}
    arrays = synthetic_arrays(shapes, seed, outliers)
    net.load_state_dict({key: torch.from_numpy(value) for key, value in arrays.items()}, assign=True)
    return net.eval().requires_grad_(False)
