"""Finding a model by its name or its configuration."""

from __future__ import annotations

from depthport.exporters.core.asked import known_name
from depthport.exporters.da3.config import load_model
from depthport.exporters.da3.models import MODELS, ModelSpec


def get_model(name: str) -> ModelSpec:
    """The model called `name`, or the one that a configuration file describes (:mod:`depthport.exporters.da3.config`).

    Args:
        name: a key of :data:`MODELS`, or the path of a YAML or JSON file (anything that ends like one or has a slash).

    Raises:
        UsageError: no model has that name, or the file is not a configuration of a supported structure.
    """
    if "/" in name or "\\" in name or name.endswith((".yaml", ".yml", ".json")):
        return load_model(name)
    return MODELS[known_name("model", name, MODELS, "give upstream's YAML of your own")]
