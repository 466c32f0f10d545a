"""The published JSON Schema and the dataclasses say the same."""

from __future__ import annotations

import json
import types
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import pytest

from depthport.bench.results import model as results
from tests.support import results as fixtures

jsonschema = pytest.importorskip("jsonschema", reason="needs jsonschema (pip install jsonschema)")

SCHEMA = json.loads((Path(results.__file__).parent / "schema" / "results-1.schema.json").read_text(encoding="utf-8"))
CLASSES = [results.Samples, results.Timing, results.Speedup, results.Phases, results.Memory, results.Cell]
CLASSES += [results.Control, results.RuntimeFacts, results.Results]
JSON_TYPES = {str: "string", int: "integer", float: "number", bool: "boolean", dict: "object", list: "array"}


def definition(cls: type) -> dict[str, Any]:
    found: dict[str, Any] = SCHEMA if cls is results.Results else SCHEMA["$defs"][cls.__name__]
    return found


def json_types(schema: dict[str, Any]) -> set[str]:
    """The JSON types a schema allows."""
    if "$ref" in schema:
        return json_types(SCHEMA["$defs"][schema["$ref"].rpartition("/")[2]])
    if "anyOf" in schema:
        return set().union(*(json_types(s) for s in schema["anyOf"]))
    if "enum" in schema or "const" in schema:
        return {"string"}
    kinds = schema["type"]
    return set(kinds) if isinstance(kinds, list) else {kinds}


def python_types(hint: Any) -> set[str]:
    """The JSON types a type hint allows."""
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return set().union(*(python_types(a) for a in get_args(hint)))
    if hint is type(None):
        return {"null"}
    if origin is Literal or (isinstance(hint, type) and issubclass(hint, Enum)):
        return {"string"}
    if is_dataclass(hint):
        return {"object"}
    if origin is tuple:
        return {"array"}
    return {JSON_TYPES[origin or hint]}


def test_the_schema_itself_is_valid() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["$id"] == results.SCHEMA


@pytest.mark.parametrize("cls", CLASSES, ids=lambda c: c.__name__)
def test_every_field_is_in_the_schema_with_its_type(cls: type) -> None:
    properties = definition(cls)["properties"]
    hints = get_type_hints(cls)
    assert set(properties) == {f.name for f in fields(cls)}  # type: ignore[arg-type]
    for name, schema in properties.items():
        assert json_types(schema) == python_types(hints[name]), f"{cls.__name__}.{name}"


@pytest.mark.parametrize("cls", CLASSES, ids=lambda c: c.__name__)
def test_required_is_what_has_no_default(cls: type) -> None:
    required = {
        f.name
        for f in fields(cls)  # type: ignore[arg-type]
        if f.default is MISSING and f.default_factory is MISSING
    }
    if cls is results.Results:
        required |= {"schema"}
    assert set(definition(cls)["required"]) == required


@pytest.mark.parametrize("cls", [results.Status, results.Speedup, results.Cell])
def test_choices_are_the_same(cls: type) -> None:
    if cls is results.Status:
        assert SCHEMA["$defs"]["Status"]["enum"] == [s.value for s in results.Status]
    elif cls is results.Speedup:
        verdicts = SCHEMA["$defs"]["Speedup"]["properties"]["verdict"]["enum"]
        assert verdicts == list(get_args(get_type_hints(cls)["verdict"]))
    else:
        boundaries = SCHEMA["$defs"]["Cell"]["properties"]["timing"]["properties"]
        assert tuple(boundaries) == results.BOUNDARIES


@pytest.mark.parametrize("make", [fixtures.cpu_server, fixtures.h100, fixtures.mac, fixtures.synthetic])
def test_results_validate(make: Any) -> None:
    jsonschema.validate(make().to_json(), SCHEMA)


def test_a_file_that_is_none_does_not_validate() -> None:
    data = json.loads(json.dumps(fixtures.cpu_server(fixtures.FEW).to_json()))
    data["cells"][0]["status"] = "fine"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(data, SCHEMA)
