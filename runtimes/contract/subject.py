"""The subject of the checks, and how a check fails."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from depthport.exporters.core.artifact import Artifact
from depthport.exporters.core.errors import DepthportError
from depthport.runtimes.base import Arrays, LoadOptions, Runtime, Session


class ContractError(AssertionError):
    """The adapter broke the contract."""


@dataclass(frozen=True)
class Subject:
    """An adapter and what to load with it."""

    runtime: Runtime
    artifact: Artifact
    device: str = "cpu"
    options: LoadOptions = field(default_factory=LoadOptions)

    def load(self) -> Session:
        return self.runtime.load(self.artifact, self.device, self.options)

    def inputs(self, seed: int) -> dict[str, np.ndarray]:
        """Inputs of the artifact's shapes; other values for another seed."""
        rng = np.random.default_rng(seed)
        return {
            spec.name: rng.standard_normal([int(size) for size in spec.shape]).astype(spec.dtype)
            for spec in self.artifact.manifest.inputs
        }


def infer(session: Session, inputs: Mapping[str, np.ndarray]) -> Arrays:
    """One inference on host arrays."""
    session.bind(inputs)
    session.run()
    session.synchronize()
    return session.outputs()


def nearly_equal(found: Arrays, expected: Arrays) -> bool:
    """Equal up to the order of summation, which a parallel kernel may change at every call."""
    return all(np.allclose(found[name], expected[name], rtol=1e-4, atol=1e-5) for name in expected)


def require(condition: bool, message: str) -> None:
    """Raise ContractError with `message` unless `condition` holds."""
    if not condition:
        raise ContractError(message)


def raises(kinds: type[DepthportError] | tuple[type[DepthportError], ...], call: Callable[[], object], what: str) -> None:
    """Require `call` to raise one of `kinds` with a one-line message."""
    try:
        call()
    except kinds as error:
        require("\n" not in str(error) and bool(str(error)), f"{what}: the message is not one line: {error}")
    except Exception as error:
        raise ContractError(f"{what} raises {type(error).__name__} instead of a typed error: {error}") from error
    else:
        raise ContractError(f"{what} is accepted")
