"""Finding a model by its name or its configuration."""

from __future__ import annotations

from pathlib import Path

from depthport.exporters.core.asked import known_name
from depthport.exporters.da3.config import CONFIG_FILE, load_model
from depthport.exporters.da3.models import MODELS, ModelSpec


def get_model(name: str) -> ModelSpec:
    """The model called `name`, or the one that a configuration file describes (:mod:`depthport.exporters.da3.config`).

    Args:
        name: a key of :data:`MODELS`, or the path of a YAML or JSON file (anything that ends like one or has a slash) or
            of a folder with `config.json`, which may be a bare name. A known model's name is that model.

    Raises:
        UsageError: no model has that name, or the file is not a configuration of a supported structure.
    """
    if name in MODELS:
        return MODELS[name]
    if _holds_config(name) or "/" in name or "\\" in name or name.endswith((".yaml", ".yml", ".json")):
        return load_model(name)
    return MODELS[known_name("model", name, MODELS, "give your own YAML of upstream's form")]


def _holds_config(name: str) -> bool:
    try:
        return (Path(name) / CONFIG_FILE).is_file()
    except OSError:  # longer than any file's name
        return False
