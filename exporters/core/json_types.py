"""Decoded JSON whose shape only its reader knows: a file's free-form part, somebody's configuration.

The one place where a value may be anything; whatever has a known shape has a type of its own.
"""

from __future__ import annotations

from typing import Any, TypeAlias

Json: TypeAlias = Any
JsonObject: TypeAlias = dict[str, Json]
