"""The JSON Schema of `results.json`, made from its types: `python -m depthport.bench.results.schema` prints it."""

from __future__ import annotations

import ast
import inspect
import json
from itertools import pairwise
from types import ModuleType
from typing import Any

import msgspec

from depthport.bench.results import model, regimes
from depthport.runtimes import terms

DESCRIPTION = (
    "One run on one machine: enough to rebuild every report. A figure that was not measured is null, never 0. Fields may"
    " be added within version 1; these keep their names and meaning."
)


def results_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of what this version writes, described in the words of the source."""
    _, definitions = msgspec.json.schema_components([model.Results], ref_template="#/$defs/{name}")
    for (name, field), text in {**_field_texts(model), **_field_texts(regimes), **_field_texts(terms)}.items():
        if field in definitions.get(name, {}).get("properties", {}):
            definitions[name]["properties"][field]["description"] = text
    top = definitions.pop("Results")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": model.SCHEMA,
        **top,
        "title": "depthport results",
        "description": DESCRIPTION,
        # A file without it is not read.
        "required": ["schema", *top["required"]],
        "$defs": definitions,
    }


def _field_texts(module: ModuleType) -> dict[tuple[str, str], str]:
    """The text below each field of a module's classes, by (class, field)."""
    return {
        (block.name, field.target.id): inspect.cleandoc(text.value.value)
        for block in ast.parse(inspect.getsource(module)).body
        if isinstance(block, ast.ClassDef)
        for field, text in pairwise(block.body)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        if isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant) and isinstance(text.value.value, str)
    }


if __name__ == "__main__":
    print(json.dumps(results_schema(), indent=1))
