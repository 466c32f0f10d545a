"""Metadata of an asset for those who open it: model, weights, licence, input, meaning of each output."""

from __future__ import annotations

from typing import TYPE_CHECKING

from depthport.exporters.core.json_types import JsonObject
from depthport.exporters.core.provenance import package_version
from depthport.exporters.coreai.options import CoreAIOptions
from depthport.exporters.da3.signature import AUTHOR, OUTPUT_MEANING, preprocessing, summary

if TYPE_CHECKING:
    from coreai.runtime import AIModelAssetMetadata

    from depthport.exporters.da3.request import ExportRequest

PREFIX = "depthport."


def describe(request: ExportRequest, options: CoreAIOptions) -> AIModelAssetMetadata:
    """A `coreai.runtime.AIModelAssetMetadata` of a request."""
    from coreai.runtime import AIModelAssetMetadata

    weights = request.weights
    found = AIModelAssetMetadata()
    found.author = AUTHOR
    found.license = weights.licence
    found.model_description = summary(request)
    entries: JsonObject = {
        "version": package_version("depthport") or "0",
        "model": request.model.name,
        "weights": weights.id,
        "weights_sha256": weights.sha256,
        "shape": str(request.shape),
        "precision": request.policy.name,
        "options": options.to_json(),
        "image": preprocessing(request)["image"],
        "outputs": {name: OUTPUT_MEANING[name] for name in request.outputs},
    }
    for key, value in entries.items():
        found.set_custom(f"{PREFIX}{key}", value)
    return found
