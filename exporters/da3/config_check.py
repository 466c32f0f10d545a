"""Rules over plain data for configurations whose structure the static network covers. Imports no torch.

The rules are those of upstream's constructors (`model/da3.py`, `model/dinov2/dinov2.py`, `model/dualdpt.py`,
`model/dpt.py`, `model/cam_enc.py`, `model/cam_dec.py`) and of :mod:`depthport.exporters.da3.static.network`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from depthport.exporters.core.errors import UsageError
from depthport.exporters.core.json_types import JsonObject
from depthport.exporters.da3.models import Family

_MODEL = "depth_anything_3.model"
CLASSES = {
    "network": (f"{_MODEL}.da3", "DepthAnything3Net"),
    "nested": (f"{_MODEL}.da3", "NestedDepthAnything3Net"),
    "net": (f"{_MODEL}.dinov2.dinov2", "DinoV2"),
    "dual": (f"{_MODEL}.dualdpt", "DualDPT"),
    "dpt": (f"{_MODEL}.dpt", "DPT"),
    "cam_enc": (f"{_MODEL}.cam_enc", "CameraEnc"),
    "cam_dec": (f"{_MODEL}.cam_dec", "CameraDec"),
}
"""Module and class that `__object__` may name."""

BACKBONES = {"vits": (384, 12), "vitb": (768, 12), "vitl": (1024, 24), "vitg": (1536, 40)}
"""Width and number of blocks."""
_NET_DEFAULTS = {"alt_start": -1, "qknorm_start": -1, "rope_start": -1, "cat_token": True}
_HEAD_KEYS = ("dim_in", "output_dim", "features", "out_channels")
_GAUSSIAN = ("gs_head", "gs_adapter")
MAX_CHANNELS = 4096


def family_of(config: Any, file: Path) -> tuple[Family, JsonObject]:
    """The family of a configuration and the part of it that is built: all but the Gaussian head.

    Args:
        config: plain data, inheritance resolved.
        file: where it came from, for messages.

    Raises:
        UsageError: any class, key or value outside of what the static network covers; the first is named.
    """
    check = _Check(file)
    kind = check.kind(config, "", "network", "nested")
    if kind == "network":
        return check.network(config, "")
    check.keys(config, "", ("anyview", "metric"))
    parts = {name: check.network(config[name], f"{name}.") for name in ("anyview", "metric")}
    for name, wanted in (("anyview", "anyview"), ("metric", "mono")):
        if parts[name][0] != wanted:
            check.fail(f"{name} has the structure of the other network: give an any-view one and a monocular one")
    return "nested", {"__object__": config["__object__"], **{name: part for name, (_, part) in parts.items()}}


class _Check:
    def __init__(self, file: Path) -> None:
        self.file = file

    def fail(self, problem: str) -> NoReturn:
        raise UsageError(f"{self.file}: {problem}")

    def kind(self, node: Any, where: str, *allowed: str) -> str:
        """Return the one of the `allowed` classes that a section names."""
        place = where.rstrip(".") or "the configuration"
        described = node.get("__object__") if isinstance(node, Mapping) else None
        if not isinstance(described, Mapping):
            self.fail(f"{place} names no class (__object__): give a configuration of upstream's")
        found = (described.get("path"), described.get("name"))
        for name in allowed:
            if found == CLASSES[name] and described.get("args") == "as_params" and len(described) == 3:
                return name
        known = " or ".join(".".join(CLASSES[name]) for name in allowed)
        self.fail(f"{place} is {found[0]}.{found[1]}, only {known} (args: as_params) is built")

    def keys(self, node: Mapping[str, Any], where: str, required: tuple[str, ...], optional: tuple[str, ...] = ()) -> None:
        for key in required:
            if key not in node:
                self.fail(f"{where}{key} is missing")
        for key in node:
            if key not in ("__object__", *required, *optional):
                self.fail(f"{where}{key} is unknown or has no counterpart in the static network")

    def network(self, config: Any, where: str) -> tuple[Family, JsonObject]:
        self.kind(config, where, "network")
        self.keys(config, where, ("net", "head"), ("cam_enc", "cam_dec", *_GAUSSIAN))
        head = self.kind(config["head"], f"{where}head", "dual", "dpt")
        width = self.backbone(config["net"], f"{where}net.")
        net = {**_NET_DEFAULTS, **config["net"]}
        if head == "dual":
            self.alternating(net, f"{where}net.")
            self.camera(config, where, width)
        else:
            self.plain(config, net, where)
        self.head(config["head"], f"{where}head.", 2 * width if head == "dual" else width, 2 if head == "dual" else 1)
        kept = {key: value for key, value in config.items() if key not in _GAUSSIAN}
        return ("anyview" if head == "dual" else "mono"), kept

    def backbone(self, net: Any, where: str) -> int:
        """Width of the backbone, checked."""
        self.kind(net, where, "net")
        self.keys(net, where, ("name", "out_layers"), tuple(_NET_DEFAULTS))
        if not isinstance(net["name"], str) or net["name"] not in BACKBONES:
            self.fail(f"{where}name is {net['name']!r}: choose one of {', '.join(BACKBONES)}")
        width, depth = BACKBONES[net["name"]]
        layers = net["out_layers"]
        whole = isinstance(layers, list) and len(layers) == 4 and all(type(layer) is int for layer in layers)
        if not whole or sorted({*layers}) != layers or not (layers[0] >= 0 and layers[-1] < depth):
            self.fail(f"{where}out_layers is {layers!r}: give four rising block numbers from 0 to {depth - 1}")
        if type(net.get("cat_token", True)) is not bool:
            self.fail(f"{where}cat_token is {net['cat_token']!r}: give true or false")
        for key in ("alt_start", "qknorm_start", "rope_start"):
            value = net.get(key, -1)
            if type(value) is not int or not -1 <= value < depth:
                self.fail(f"{where}{key} is {value!r}: give a block number from 0 to {depth - 1}, or -1")
        return width

    def alternating(self, net: Mapping[str, Any], where: str) -> None:
        """Check the rules for an any-view backbone."""
        if net["alt_start"] < 2:
            self.fail(f"{where}alt_start is {net['alt_start']}: an any-view backbone alternates from block 2 or later")
        if net["rope_start"] < 0:
            self.fail(f"{where}rope_start is {net['rope_start']}: an any-view backbone has rotary embedding")
        if not net["cat_token"]:
            self.fail(f"{where}cat_token is false: the any-view head reads both states of a token")

    def plain(self, config: Mapping[str, Any], net: Mapping[str, Any], where: str) -> None:
        """Check the rules for a monocular network."""
        if (net["alt_start"], net["rope_start"]) != (-1, -1) or net["cat_token"]:
            self.fail(f"{where}net alternates, rotates or concatenates: with a DPT head it must be a plain DINOv2")
        for key in ("cam_enc", "cam_dec"):
            if key in config:
                self.fail(f"{where}{key} has no camera token to read: leave it out beside a DPT head")

    def camera(self, config: Mapping[str, Any], where: str, width: int) -> None:
        for name, key, wanted in (("cam_enc", "dim_out", width), ("cam_dec", "dim_in", 2 * width)):
            if name not in config:
                self.fail(f"{where}{name} is missing: an any-view network has a camera encoder and decoder")
            self.kind(config[name], f"{where}{name}", name)
            self.keys(config[name], f"{where}{name}.", (key,))
            if config[name][key] != wanted:
                self.fail(f"{where}{name}.{key} is {config[name][key]!r}: with this backbone it must be {wanted}")

    def head(self, head: Mapping[str, Any], where: str, width: int, outputs: int) -> None:
        self.keys(head, where, _HEAD_KEYS)
        for key, wanted in (("dim_in", width), ("output_dim", outputs)):
            if head[key] != wanted:
                self.fail(f"{where}{key} is {head[key]!r}: with this backbone and head it must be {wanted}")
        channels = head["out_channels"]
        if not isinstance(channels, list) or len(channels) != 4:
            self.fail(f"{where}out_channels is {channels!r}: give four numbers of channels")
        for key, value, unit in (("features", head["features"], 8), *(("out_channels", c, 4) for c in channels)):
            if type(value) is not int or value % unit or not 0 < value <= MAX_CHANNELS:
                self.fail(f"{where}{key} is {value!r}: give a multiple of {unit} up to {MAX_CHANNELS}")
