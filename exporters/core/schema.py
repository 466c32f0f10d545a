"""The JSON Schema of `artifact.json`, made from its types: `python -m depthport.exporters.core.schema` prints it."""

from __future__ import annotations

import json

from depthport.exporters.core import artifact, tensors
from depthport.exporters.core.declared import described_schema
from depthport.exporters.core.json_types import JsonObject


def manifest_schema() -> JsonObject:
    """JSON Schema (draft 2020-12) of what this version writes, described in the words of the source."""
    described = described_schema(artifact.Manifest, artifact.SCHEMA, artifact.__name__, tensors.__name__)
    return {**described, "title": "depthport artifact"}


if __name__ == "__main__":
    print(json.dumps(manifest_schema(), indent=1))
