"""The JSON Schema of `results.json`, made from its types: `python -m depthport.bench.results.schema` prints it."""

from __future__ import annotations

import json

from depthport.bench.results import model, regimes, sections
from depthport.exporters.core import tensors
from depthport.exporters.core.declared import described_schema
from depthport.exporters.core.json_types import JsonObject
from depthport.runtimes import terms

DESCRIPTION = (
    "One run on one machine: enough to rebuild every report. A figure that was not measured is null, never 0. Fields may"
    " be added within version 1; these keep their names and meaning."
)


def results_schema() -> JsonObject:
    """JSON Schema (draft 2020-12) of what this version writes, described in the words of the source."""
    return {
        **described_schema(model.Results, model.SCHEMA, *(m.__name__ for m in (model, sections, regimes, terms, tensors))),
        "title": "depthport results",
        "description": DESCRIPTION,
    }


if __name__ == "__main__":
    print(json.dumps(results_schema(), indent=1))
