"""One call of an operation with its arguments resolved, and the registry of operations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from depthport.exporters.core.errors import ArtifactError

Argument = object
"""A tensor, a list of tensors, or a text."""
Result = Tensor | tuple[Tensor, ...]


@dataclass(frozen=True)
class Call:
    """Arguments by parameter name. Tensors of a floating type are in the interpreter's working dtype."""

    type: str
    name: str
    arguments: Mapping[str, Argument]

    def __contains__(self, parameter: str) -> bool:
        return parameter in self.arguments

    def tensor(self, parameter: str) -> Tensor:
        """A required tensor argument.

        Raises:
            ArtifactError: it is missing or not a tensor.
        """
        value = self.arguments.get(parameter)
        if not isinstance(value, Tensor):
            raise ArtifactError(f"operation {self.name!r} ({self.type}) lacks its input {parameter!r}: damaged file")
        return value

    def optional(self, parameter: str) -> Tensor | None:
        return self.tensor(parameter) if parameter in self.arguments else None

    def tensors(self, parameter: str) -> list[Tensor]:
        value = self.arguments.get(parameter)
        return value if isinstance(value, list) else [self.tensor(parameter)]

    def ints(self, parameter: str, default: list[int] | None = None) -> list[int] | None:
        if parameter not in self.arguments:
            return default
        return [int(v) for v in self.tensor(parameter).reshape(-1).tolist()]

    def required_ints(self, parameter: str) -> list[int]:
        return [int(v) for v in self.tensor(parameter).reshape(-1).tolist()]

    def integer(self, parameter: str, default: int | None = None) -> int:
        return int(self.number(parameter, default))

    def number(self, parameter: str, default: float | None = None) -> float:
        """A scalar; `default` where the argument is absent (None: it is required)."""
        if parameter not in self.arguments and default is not None:
            return default
        return float(self.tensor(parameter).item())

    def flag(self, parameter: str, default: bool) -> bool:
        return bool(self.number(parameter, float(default)))

    def flags(self, parameter: str, count: int) -> list[bool]:
        """`count` booleans, all false where absent."""
        found = self.ints(parameter)
        return [False] * count if found is None else [bool(v) for v in found]

    def text(self, parameter: str, default: str) -> str:
        value = self.arguments.get(parameter, default)
        if not isinstance(value, str):
            raise ArtifactError(f"input {parameter!r} of operation {self.name!r} ({self.type}) is not text: damaged")
        return value


Operator = Callable[[Call], Result]
REGISTRY: dict[str, Operator] = {}


def operator(*names: str) -> Callable[[Operator], Operator]:
    """Register a function as the meaning of the MIL operations `names`."""

    def register(function: Operator) -> Operator:
        REGISTRY.update(dict.fromkeys(names, function))
        return function

    return register


def torch_dtype(mil: str, working: torch.dtype) -> torch.dtype:
    """Return the torch dtype of MIL type `mil`: floats in the working dtype, integers in int64."""
    if mil in ("fp16", "fp32", "fp64", "bf16"):
        return working
    return torch.bool if mil == "bool" else torch.int64
