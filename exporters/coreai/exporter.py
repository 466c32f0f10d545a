"""Exporter `coreai`: a Core AI asset (`.aimodel`) for systems of 2027, made and executed on any machine.

* `model.aimodel`: the asset, one function `main` of one static shape, inputs and outputs by our names.
* `checks.json`: what running it found, by output. See runtimes/APPLE.md.

Conversion needs coreai-torch but no Mac, and so does the check: the wheel of coreai-core runs what it wrote. The runtime
of a Mac is another one; what only that can say is on the same page.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from depthport.exporters.base import ExportContext, Exporter, ExportResult
from depthport.exporters.core import install
from depthport.exporters.core.artifact import Artifact
from depthport.exporters.core.files.atomic import write_json
from depthport.exporters.core.inspection import Table
from depthport.exporters.core.options import Options
from depthport.exporters.core.precision import PrecisionPolicy
from depthport.exporters.coreai.compress import compress
from depthport.exporters.coreai.convert import capture, convert, save
from depthport.exporters.coreai.inspect import inspect_asset, inspect_path
from depthport.exporters.coreai.metadata import describe
from depthport.exporters.coreai.network import examples, with_pixels
from depthport.exporters.coreai.options import TARGETS, AskedOptions, CoreAIOptions, parse_options, small_shape
from depthport.exporters.coreai.verify import verify
from depthport.exporters.da3.build import request_network
from depthport.exporters.da3.request import ExportRequest
from depthport.exporters.da3.signature import input_specs

if TYPE_CHECKING:
    from torch import nn

ASSET = "model.aimodel"
CHECKS = "checks.json"
NEEDED = {"torch": "torch", "coreai": "coreai-core", "coreai_torch": "coreai-torch"}
FP32_ALWAYS = ("residual", "norm", "reference", "camera", "tail")
"""Parts that the static network computes in fp32 whatever the policy (:mod:`depthport.exporters.da3.static.network`)."""


class CoreAIExporter(Exporter):
    """Core AI assets, iOS 27 and macOS 27."""

    format: ClassVar[str] = "coreai"
    targets: ClassVar[tuple[str, ...]] = tuple(TARGETS)
    package_suffix: ClassVar[str | None] = ".aimodel"
    main_file: ClassVar[str | None] = ASSET
    packages: ClassVar[tuple[str, ...]] = ("coreai-core", "coreai-torch", "coreai-opt")
    takes: ClassVar[tuple[type[Options], ...]] = (AskedOptions,)

    def probe(self) -> str | None:
        missing = [package for module, package in NEEDED.items() if find_spec(module) is None]
        if not missing:
            return None
        return (
            f"{' and '.join(missing)} not installed: {install.DA3_COREAI} (Python 3.11 or newer; "
            "Linux x86-64 with glibc 2.34, or macOS 26 on Apple silicon)"
        )

    def options(self, request: ExportRequest) -> dict[str, object]:
        return parse_options(request).to_json()

    def inspect(
        self, artifact: Artifact, arrays: Mapping[str, np.ndarray] | None = None, run: bool = True
    ) -> tuple[Table, ...]:
        return inspect_asset(artifact, arrays=arrays, run=run)

    def inspect_package(self, path: Path, run: bool = True) -> tuple[Table, ...]:  # noqa: ARG002 - the interface's
        return inspect_path(path)

    def write(self, context: ExportContext, directory: Path) -> ExportResult:
        options = parse_options(context.request)
        build = _Build(context, options)
        build.asset(context.request, context.network, directory / ASSET)
        checks = build.check(directory / ASSET)
        write_json(directory / CHECKS, checks)
        return ExportResult(
            extra={
                "asset": ASSET,
                "islands": list(islands(context.request.policy)),
                "lowerings": build.lowerings,
                "checks": checks,
                **({"verified": verdict(checks)} if checks["outputs"] else {}),
            },
            target={"oldest_system": options.target},
        )


class _Build:
    """The steps of one export."""

    def __init__(self, context: ExportContext, options: CoreAIOptions) -> None:
        self.context = context
        self.options = options
        self.lowerings: list[str] = []
        self.seconds: dict[str, float] = {}

    def asset(self, request: ExportRequest, network: Callable[[], nn.Module], path: Path) -> nn.Module:
        """Convert, compress where asked, and save; returns what was converted."""
        module = with_pixels(request, network())
        began = time.perf_counter()
        self.context.progress("converting to Core AI")
        program = capture(module, examples(request))
        names = [spec.native_name for spec in input_specs(request)]
        converted, self.lowerings = convert(program, names, request.outputs)
        del program
        if self.options.compress != "none":
            self.context.progress(f"compressing weights to {self.options.compress}")
            converted = compress(converted, self.options.compress)
        save(converted, path, describe(request, self.options), self.options.target)
        self.seconds.setdefault("conversion", time.perf_counter() - began)
        return module

    def check(self, asset: Path) -> dict[str, object]:
        """Run the asset, or one of the smallest shape, against upstream."""
        from depthport.exporters.da3.upstream import build_upstream

        request = self.context.request
        if self.options.verify == "none":
            return {"shape": None, "outputs": {}, "seconds": self.seconds}
        began = time.perf_counter()
        with TemporaryDirectory() as folder:
            work = Path(folder)
            if self.options.verify == "small":
                request = replace(request, shape=small_shape(request.shape), source_size=None)
                asset = work / ASSET
                module = self.asset(request, lambda: self._network(request), asset)
            else:
                module = with_pixels(request, self.context.network())
            self.context.progress(f"running the asset at {request.shape} against upstream")
            found = verify(
                asset, work, request, module,
                lambda: build_upstream(request.model, self.context.state_dict()), self.options.compress,
            )  # fmt: skip
        self.seconds["verification"] = time.perf_counter() - began
        return {**found, "seconds": self.seconds}

    def _network(self, request: ExportRequest) -> nn.Module:
        from depthport.exporters.da3.upstream import build_upstream

        return request_network(build_upstream(request.model, self.context.state_dict()), request)


def islands(policy: PrecisionPolicy) -> tuple[str, ...]:
    """Names of the parts that stay fp32 where the policy is fp16; none where everything is."""
    if policy.backbone == "float32":
        return ()
    return (*FP32_ALWAYS, *(("head",) if policy.head == "float32" else ()))


def verdict(checks: Mapping[str, Any]) -> str:
    """One line for people."""
    worst = max(error["relative"] for error in checks["outputs"].values())
    return f"run by Core AI at {checks['shape']}, its outputs match upstream's to {worst:.1e} (relative L2, worst output)"
