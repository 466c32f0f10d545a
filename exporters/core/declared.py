"""Documentation of types: the texts below their fields, and the JSON Schema with these for its descriptions."""

from __future__ import annotations

import ast
import inspect
import sys
from itertools import pairwise

import msgspec

from depthport.exporters.core.json_types import JsonObject

DRAFT = "https://json-schema.org/draft/2020-12/schema"


def fault(error: msgspec.ValidationError) -> str:
    """Return the fault of decoded JSON, and its place, in a few words: `inputs[0].dtype: invalid enum value 'complex'`."""
    text, _, place = str(error).partition(" - at `$")
    where = place.rstrip("`").lstrip(".")
    said = text.replace("`", "")
    return f"{where}: {said[0].lower()}{said[1:]}" if where else f"{said[0].lower()}{said[1:]}"


def field_texts(kind: type) -> dict[str, str]:
    """The text below each field of a class and of those it inherits from."""
    texts: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        texts |= {field: text for (name, field), text in _texts_of(base.__module__).items() if name == base.__name__}
    return texts


def described_schema(kind: type, schema: str, *modules: str) -> JsonObject:
    """JSON Schema (draft 2020-12) of a type, described in the words of the source.

    Args:
        schema: its identifier, which files of the type carry as `schema`: without it they are not read.
        modules: where the types that it is made of are defined.
    """
    _, definitions = msgspec.json.schema_components([kind], ref_template="#/$defs/{name}", schema_hook=_any_json)
    for module in modules:
        for (name, field), text in _texts_of(module).items():
            if field in definitions.get(name, {}).get("properties", {}):
                definitions[name]["properties"][field]["description"] = text
    top = definitions.pop(kind.__name__)
    return {"$schema": DRAFT, "$id": schema, **top, "required": ["schema", *top["required"]], "$defs": definitions}


def _any_json(kind: type) -> JsonObject:
    """Schema of a part that only its reader knows: any JSON. msgspec takes no empty one for an answer."""
    if kind is not object:
        raise TypeError(f"{kind} has no JSON Schema")
    return {"description": "Any JSON."}


def _texts_of(module: str) -> dict[tuple[str, str], str]:
    """The text below each field of a module's classes, by (class, field)."""
    if module == "builtins" or module.startswith("msgspec"):
        return {}
    return {
        (block.name, field.target.id): inspect.cleandoc(text.value.value)
        for block in ast.parse(inspect.getsource(sys.modules[module])).body
        if isinstance(block, ast.ClassDef)
        for field, text in pairwise(block.body)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        if isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant) and isinstance(text.value.value, str)
    }
