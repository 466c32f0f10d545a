"""Checkpoints of the Hugging Face hub: the cache first, the network with a short time-out."""

from __future__ import annotations

import urllib.error
import urllib.request
from pathlib import Path

from depthport.exporters.core import install
from depthport.exporters.core.errors import UnavailableError, WeightsError, one_line

PROBE_TIMEOUT_S = 3.0
"""Time to wait for the hub to answer; a download itself has no limit."""

FILES = ("config.json", "model.safetensors")


def fetch(hub_id: str) -> Path:
    """The local folder of a repository's `config.json` and `model.safetensors`, downloaded if it is not cached.

    Honours `HF_HOME`, `HF_HUB_CACHE`, `HF_HUB_OFFLINE` and `HF_TOKEN` as huggingface_hub does.

    Args:
        hub_id: `owner/name` or `owner/name@revision`.

    Raises:
        UnavailableError: huggingface_hub is not installed.
        WeightsError: not cached and not downloadable.
    """
    try:
        from huggingface_hub import constants, hf_hub_download, try_to_load_from_cache
        from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
    except ImportError:
        raise UnavailableError(f"huggingface_hub is not installed: {install.HUB}") from None
    repo, _, revision = hub_id.partition("@")
    try:
        cached = [try_to_load_from_cache(repo, name, revision=revision or None) for name in FILES]
    except ValueError as error:  # no name that a repository may have
        raise WeightsError(f"{hub_id} is not a Hugging Face id ({one_line(error)}): write owner/name") from None
    if all(isinstance(path, str) for path in cached):
        return Path(str(cached[0])).parent
    if constants.HF_HUB_OFFLINE:
        raise WeightsError(f"{hub_id} is not cached and HF_HUB_OFFLINE is set: unset it or give a local folder")
    unreachable = f"{hub_id} is not cached and {constants.ENDPOINT} can't be reached: connect once"
    if not _reachable(constants.ENDPOINT):
        raise WeightsError(unreachable)
    try:
        paths = [hf_hub_download(repo, name, revision=revision or None) for name in FILES]
    except LocalEntryNotFoundError:
        raise WeightsError(unreachable) from None
    except (HfHubHTTPError, OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise WeightsError(f"{hub_id} can't be downloaded from the Hugging Face hub: {reason}") from None
    return Path(paths[0]).parent


def _reachable(url: str) -> bool:
    """Return whether anything answers at `url`. huggingface_hub itself retries for half a minute, a warning each time."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=PROBE_TIMEOUT_S):
            return True
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
