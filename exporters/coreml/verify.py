"""The parity gate: a saved package counts as exported only if the interpreter finds the network in it.

An fp32 package is compared with the network as it is. An fp16 package holds rounded constants, which alone move its
outputs by 1e-3; so that a wrong conversion can't hide behind that, it is compared with the network with the same
constants rounded, all arithmetic exact on both sides, under the same limits. What rounding every result to fp16 costs
on top is reported, not judged: it is a property of the precision, not of the conversion.

Both sides compute in fp32 first. Where they differ by more than the limits, rounding may be why (massive activations
leave few bits to the rest), so both compute again in fp64, under the same limits: what is left there is not rounding.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from depthport.exporters.core.errors import ArtifactError, ExportError
from depthport.exporters.coreml.mil.package import read_package

if TYPE_CHECKING:
    from torch import Tensor

    from depthport.exporters.coreml.mil.parity import ErrorFacts, OutputError
    from depthport.exporters.coreml.network import PackageNetwork

TOPS = ("backbone", "head", "camera", "pose")
"""Parts of a static network."""
SCALES = ("scale1", "scale2")


class Checks(TypedDict, total=False):
    """Findings on a package, as the manifest has it; errors by output."""

    input: str
    arithmetic: str
    conversion: dict[str, ErrorFacts]
    """Without rounding."""
    declared: dict[str, ErrorFacts]
    """With every result rounded as the package declares."""
    compression: dict[str, object]
    seconds: dict[str, float]


def verify(
    path: Path,
    network: PackageNetwork,
    examples: Sequence[Tensor],
    *,
    half: bool,
    islands: Collection[str] = (),
    function: str | None = None,
) -> Checks:
    """Check a package against the network it was converted from.

    Args:
        path: the saved package.
        network: what was converted.
        examples: its inputs: real values this time.
        half: the package is fp16 but for `islands`.
        islands: parts in fp32.
        function: which function of the package; None: the default one.

    Returns:
        What was measured, for the manifest: the errors by output in exact arithmetic (`conversion`) and, in fp16, with
        rounding (`declared`).

    Raises:
        ExportError: the package does not compute the network.
    """
    import torch

    from depthport.exporters.coreml.mil.interpreter import Interpreter
    from depthport.exporters.coreml.mil.parity import compare, violations

    try:
        body = read_package(path).function(function)
        names = network.face.images or ("image",)
        with torch.no_grad():
            expected = dict(zip(network.face.outputs, network(*examples), strict=True))
            subject, rounded = network, expected
            inputs = list(examples)
            if half:
                inputs = [x.half().float() for x in examples]
                subject = _with_half_constants(network, islands)
                rounded = dict(zip(network.face.outputs, subject(*inputs), strict=True))
        by_name = dict(zip(names, inputs, strict=True))
        exact = compare(Interpreter(body).run(by_name), rounded)
        found: Checks = {"input": "probe", "arithmetic": "fp32"}
        if violations(exact):
            found["arithmetic"] = "fp64"
            exact = compare(Interpreter(body, "fp64").run(by_name), _in_fp64(subject, inputs))
        found["conversion"] = _json(exact)
        del subject, rounded
        wrong = violations(exact)
        if wrong:
            raise ExportError(f"the converted package does not compute the network: {'; '.join(wrong)}")
        if half:
            declared = Interpreter(body, "declared").run(dict(zip(names, examples, strict=True)))
            found["declared"] = _json(compare(declared, expected))
    except ArtifactError as error:
        raise ExportError(f"the converted package is malformed: {error}") from None
    return found


def outputs_as_declared(path: Path, network: PackageNetwork, examples: Sequence[Tensor]) -> dict[str, ErrorFacts]:
    """Errors by output of a package that rounds every result as it declares, against the network in fp32."""
    import torch

    from depthport.exporters.coreml.mil.interpreter import Interpreter
    from depthport.exporters.coreml.mil.parity import compare

    names = network.face.images or ("image",)
    with torch.no_grad():
        expected = dict(zip(network.face.outputs, network(*examples), strict=True))
    found = Interpreter(read_package(path).function(), "declared").run(dict(zip(names, examples, strict=True)))
    return _json(compare(found, expected))


def _in_fp64(network: PackageNetwork, inputs: Sequence[Tensor]) -> dict[str, Tensor]:
    """The network's outputs computed in fp64 from the same constants and inputs."""
    import torch
    from torch.overrides import TorchFunctionMode

    class Exact(TorchFunctionMode):
        """The network asks for fp32 where a policy would go below it: here that would end exact arithmetic."""

        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if func is torch.Tensor.float:
                return args[0].double()
            if func is torch.Tensor.to:
                args = tuple(torch.float64 if value is torch.float32 else value for value in args)
            return func(*args, **(kwargs or {}))

    double = copy.deepcopy(network).double()
    with torch.no_grad(), Exact():
        return dict(zip(network.face.outputs, double(*(x.double() for x in inputs)), strict=True))


def _with_half_constants(network: PackageNetwork, islands: Collection[str]) -> PackageNetwork:
    """A copy of the network whose constants are rounded to fp16, but for those that the islands keep."""
    rounded = copy.deepcopy(network)
    stem = _stem_parts(network) if "stem" in islands else ()
    for name, tensor in [*rounded.named_parameters(), *rounded.named_buffers()]:
        if tensor.is_floating_point() and not _kept(name, islands, stem):
            tensor.copy_(tensor.half().float())
    return rounded


def _stem_parts(network: PackageNetwork) -> tuple[str, ...]:
    """Names of what lies before the reference-view selection."""
    found: list[str] = []
    for name, part in network.network.named_modules():
        first = getattr(part, "alternate_from", None)
        if isinstance(first, int):
            blocks = [f"blocks.{i}." for i in range(first - 1)]
            found += [f"{name}.{inner}" for inner in ("patch_embed", "prefix", "positions", *blocks)]
    return tuple(found)


def _kept(name: str, islands: Collection[str], stem: tuple[str, ...]) -> bool:
    """Return whether a constant belongs to an island.

    :mod:`depthport.exporters.coreml.islands` finds the operations themselves.
    """
    path = name.removeprefix("network.")
    parts = path.split(".")
    # Nested models hold their networks one level deeper.
    top = next((part for part in parts if part in TOPS), "")
    return (
        ("camera" in islands and top in ("camera", "pose"))
        or ("head" in islands and top == "head")
        or ("tail" in islands and top == "head" and "logits" in parts)
        or ("residual" in islands and parts[-1] in SCALES)
        or ("norm" in islands and top == "backbone" and any("norm" in part for part in parts))
        or (bool(stem) and path.startswith(stem))
    )


def _json(errors: dict[str, OutputError]) -> dict[str, ErrorFacts]:
    return {name: error.to_json() for name, error in errors.items()}
