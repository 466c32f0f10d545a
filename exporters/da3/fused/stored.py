"""The fused network as one file, `network.pt`: its modules, and every tensor in the dtype it runs in.

It is `torch.save`'s archive and is read by `torch.load` with `weights_only`: nothing in it runs, and no class other than
those named here is made. So a process reads half the bytes that fp32 weights have, straight to its device, and neither
traces nor interprets a program; the same file serves any number of cards.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from depthport.exporters.core.precision import PrecisionPolicy
from depthport.exporters.da3.fused.backbone import FusedAttention, FusedBackbone, FusedBlock
from depthport.exporters.da3.fused.head import FusedDepth, FusedFusion, FusedStage, FusedUnit, Shrink, Spread
from depthport.exporters.da3.fused.network import FusedDA3
from depthport.exporters.da3.shapes import NetworkShape
from depthport.exporters.da3.static.camera import CameraDecoder

NETWORK_FILE = "network.pt"
LAYOUT = 1
"""Of what is stored; raised when a stored tensor or number gets another meaning, which no name or shape would tell."""
_CLASSES: list[Any] = [
    FusedDA3, FusedBackbone, FusedBlock, FusedAttention, FusedDepth, FusedStage, FusedFusion, FusedUnit, Spread, Shrink,
    CameraDecoder, NetworkShape, PrecisionPolicy, nn.LayerNorm, nn.Linear, nn.ModuleList, nn.Identity, nn.Parameter, set,
]  # fmt: skip


def save_network(network: FusedDA3, path: Path) -> None:
    """Write `network`, on the CPU and unshared, to `path`."""
    for module in network.modules():
        for tensor in (*module.parameters(recurse=False), *module.buffers(recurse=False)):
            # A view is stored with all of what it looks at.
            if tensor.untyped_storage().nbytes() > tensor.nbytes:
                tensor.data = tensor.data.clone()
    torch.save({"layout": LAYOUT, "network": network}, path)


def load_network(path: Path, device: torch.device) -> FusedDA3:
    """The network of `path` on `device`.

    Raises:
        ValueError: another layout than this code's.
        OSError, RuntimeError, pickle.UnpicklingError: an unreadable or damaged file.
    """
    with torch.serialization.safe_globals(_CLASSES):
        # Mapped, so that only what is copied to the device passes through this process.
        stored = torch.load(path, map_location=device, weights_only=True, mmap=True)
    if stored["layout"] != LAYOUT:
        raise ValueError(f"it has layout {stored['layout']}, not {LAYOUT}")
    network: FusedDA3 = stored["network"]
    return network
