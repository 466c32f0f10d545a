"""Small networks of every structure, as configurations of a user's own: the families at test size."""

from __future__ import annotations

from pathlib import Path

MONO = """
__inherit__: depth_anything_3.configs.da3mono-large
net: {name: vits, out_layers: [2, 5, 8, 11]}
head: {dim_in: 384, features: 32, out_channels: [24, 32, 48, 64]}
"""
NESTED = """
__object__: {path: depth_anything_3.model.da3, name: NestedDepthAnything3Net, args: as_params}
anyview: {__inherit__: depth_anything_3.configs.da3-small}
metric:
  __inherit__: depth_anything_3.configs.da3metric-large
  net: {name: vits, out_layers: [1, 4, 7, 10]}
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
