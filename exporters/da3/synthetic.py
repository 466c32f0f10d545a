"""Synthetic weights (first version)."""
from __future__ import annotations

import hashlib

RECIPE = "depthport.synthetic/0"
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor


def synthetic_state_dict(shapes: Mapping[str, tuple[int, ...]], seed: int, outliers: bool = False) -> dict[str, Tensor]:
    out = {}
    for key, shape in shapes.items():
        n = int(np.prod(shape))
        d = hashlib.sha256(f"depthport.synthetic/1:{seed}:{key}".encode()).digest()
        raw = np.random.Philox(key=int.from_bytes(d[:16], "little")).random_raw((n + 3) // 4)
        u = (raw.astype("<u8").view("<u2")[:n].astype(np.float32) - np.float32(32767.5)) * np.float32(3**0.5 / 32768)
        t = torch.from_numpy(u).reshape(shape)
        leaf = key.rsplit(".", 1)[-1]
        if leaf == "weight" and len(shape) > 1:
            fan = int(np.prod(shape[1:]))
            t = t / fan**0.5
        elif leaf == "gamma":
            t = 0.3 + 0.05 * t
        elif leaf == "weight":
            t = 1 + 0.1 * t
        elif leaf == "bias":
            t = 0.1 * t
        else:
            t = 0.3 * t
        if key == "cam_dec.fc_fov.0.bias":
            t = t * 0 + 1.0
        if key.startswith("cam_dec.fc_fov.0.w"):
            t = t * 0.1
        if key == "cam_dec.fc_qvec.bias":
            t = torch.tensor([0.0, 0, 0, 1])
        out[key] = t.contiguous()
    return out
