"""Models whose checkpoints lie in the Hugging Face cache, found without huggingface_hub or the network.

The cache's layout is that of huggingface_hub: `models--OWNER--NAME/snapshots/REVISION/FILE` below `HF_HUB_CACHE`, else
`HF_HOME/hub`, else `~/.cache/huggingface/hub`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from depthport.exporters.da3.models import MODELS

WEIGHTS_FILE = "model.safetensors"


@dataclass(frozen=True)
class Checkpoint:
    """A model's own checkpoint: its licence, and whether it is on this machine."""

    model: str
    hub_id: str
    licence: str
    """Licence of the weights; the code is Apache-2.0."""
    cached_mib: int | None
    """Size of the cached weights; None if they are not cached."""


def checkpoints(environment: Mapping[str, str] = os.environ) -> tuple[Checkpoint, ...]:
    """Every model's checkpoint."""
    cache = hub_cache(environment)
    return tuple(
        Checkpoint(spec.name, spec.hub_id, spec.licence, cached_mib(cache, spec.hub_id)) for spec in MODELS.values()
    )


def hub_cache(environment: Mapping[str, str] = os.environ) -> Path:
    """The folder in which huggingface_hub keeps repositories."""
    if cache := environment.get("HF_HUB_CACHE") or environment.get("HUGGINGFACE_HUB_CACHE"):
        return Path(cache).expanduser()
    if home := environment.get("HF_HOME"):
        return Path(home).expanduser() / "hub"
    xdg = environment.get("XDG_CACHE_HOME")
    return (Path(xdg).expanduser() if xdg else Path.home() / ".cache") / "huggingface" / "hub"


def cached_mib(cache: Path, hub_id: str) -> int | None:
    """MiB of the repository's largest complete weights file, or None."""
    snapshots = cache / f"models--{hub_id.partition('@')[0].replace('/', '--')}" / "snapshots"
    # A snapshot's files are links to blobs; one whose download was interrupted is not there yet.
    sizes = [path.stat().st_size for path in snapshots.glob(f"*/{WEIGHTS_FILE}") if path.is_file()]
    return round(max(sizes) / (1 << 20)) if sizes else None
