"""Readers of a model's configuration, fed damaged ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from tests.support.trials.mutations import damage, json_bytes, mutate


def _made(path: str, name: str) -> dict[str, str]:
    return {"path": f"depth_anything_3.model.{path}", "name": name, "args": "as_params"}


GOOD: dict[str, Any] = {
    "__object__": _made("da3", "DepthAnything3Net"),
    "net": {
        "__object__": _made("dinov2.dinov2", "DinoV2"), "name": "vits", "out_layers": [5, 7, 9, 11], "alt_start": 4,
        "qknorm_start": 4, "rope_start": 4, "cat_token": True,
    },
    "head": {
        "__object__": _made("dualdpt", "DualDPT"), "dim_in": 768, "output_dim": 2, "features": 64,
        "out_channels": [48, 96, 192, 384],
    },
    "cam_enc": {"__object__": _made("cam_enc", "CameraEnc"), "dim_out": 384},
    "cam_dec": {"__object__": _made("cam_dec", "CameraDec"), "dim_in": 768},
}  # fmt: skip


def model_json(folder: Path) -> Callable[[Random], None]:
    from depthport.exporters.da3.config import load_model

    path = folder / "model.json"

    def read(random: Random) -> None:
        wrapped = random.choice((GOOD, {"config": GOOD}, {"model_name": "da3-small"}))
        path.write_bytes(json_bytes(wrapped, random))
        load_model(str(path))

    return read


def model_yaml(folder: Path) -> Callable[[Random], None]:
    import yaml

    from depthport.exporters.da3.config import load_model

    path = folder / "model.yaml"
    good = yaml.safe_dump(GOOD).replace("out_channels:", "out_channels: &o")

    def read(random: Random) -> None:
        if random.random() < 0.5:
            content = yaml.safe_dump(mutate(GOOD, random), allow_unicode=False).encode("utf-8", "surrogatepass")
        else:
            content = good.encode()
        path.write_bytes(damage(content, random) if random.random() < 0.7 else content)
        load_model(str(path))

    return read
