"""Exporter `coreml`: an ML Program package for Apple's CPU, GPU and Neural Engine, made and verified on any machine.

* `model.mlpackage`: the package. Static shape; further shapes as further functions (option `functions`).
* `checks.json`: what the interpreter found (errors by output), and what the Neural Engine is predicted to refuse, per
  chip family. `depthport inspect` adds where fp16 leaves and the activation ranges, on your own images if you like.

Conversion needs coremltools but no Mac; running needs a Mac. See runtimes/APPLE.md.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from depthport.exporters.base import ExportContext, Exporter, ExportResult
from depthport.exporters.core import install
from depthport.exporters.core.artifact import Artifact, Shape
from depthport.exporters.core.files.atomic import write_json
from depthport.exporters.core.inspection import Table
from depthport.exporters.core.options import Options
from depthport.exporters.core.precision import POLICIES
from depthport.exporters.coreml.compress import compress, compression_report
from depthport.exporters.coreml.convert import convert, save
from depthport.exporters.coreml.functions import MAIN, merge
from depthport.exporters.coreml.inspect import inspect_package
from depthport.exporters.coreml.metadata import describe
from depthport.exporters.coreml.mil.ane import Prediction, predict
from depthport.exporters.coreml.mil.package import read_package
from depthport.exporters.coreml.options import (
    MAC_NAMES,
    TARGETS,
    AskedOptions,
    CoreMLOptions,
    function_name,
    parse_options,
    parse_shape,
)
from depthport.exporters.coreml.shims import shims_needed
from depthport.exporters.coreml.verify import Checks, outputs_as_declared, verify
from depthport.exporters.da3.request import ExportRequest
from depthport.exporters.inputs.preprocess import IMAGENET_MEAN, IMAGENET_STD
from depthport.exporters.inputs.probe import probe_image, probe_pixels

if TYPE_CHECKING:
    from coremltools.models import MLModel
    from torch import Tensor

    from depthport.exporters.coreml.network import Interface, PackageNetwork
    from depthport.exporters.da3.static.network import StaticNetwork

PACKAGE = "model.mlpackage"
CHECKS = "checks.json"
NEEDED = {"torch": "torch", "coremltools": "coremltools"}


class CoreMLExporter(Exporter):
    """ML Program packages, iOS16 to iOS26 and the macOS versions of the same years."""

    format: ClassVar[str] = "coreml"
    targets: ClassVar[tuple[str, ...]] = (*TARGETS, *MAC_NAMES)
    main_file: ClassVar[str | None] = PACKAGE
    packages: ClassVar[tuple[str, ...]] = ("coremltools", "protobuf")
    takes: ClassVar[tuple[type[Options], ...]] = (AskedOptions,)
    package_suffix: ClassVar[str | None] = ".mlpackage"

    def probe(self) -> str | None:
        missing = [name for name in NEEDED if find_spec(name) is None]
        return f"{' and '.join(missing)} not installed: {install.DA3_COREML}" if missing else None

    def options(self, request: ExportRequest) -> dict[str, object]:
        return parse_options(request).to_json()

    def inspect(
        self, artifact: Artifact, arrays: Mapping[str, np.ndarray] | None = None, run: bool = True
    ) -> tuple[Table, ...]:
        return inspect_package(artifact.path / str(artifact.manifest.extra["package"]), arrays=arrays, run=run)

    def inspect_package(self, path: Path, run: bool = True) -> tuple[Table, ...]:
        return inspect_package(path, run=run)

    def write(self, context: ExportContext, directory: Path) -> ExportResult:
        request = context.request
        options = parse_options(request)
        build = _Build(context, options, directory)
        main = build.function(request.shape, PACKAGE)
        if options.functions:
            build.add_functions()
        prediction = build.eligibility()
        write_json(directory / CHECKS, {"functions": build.checks, "neural_engine": prediction.to_json()})
        return ExportResult(
            extra={
                "package": PACKAGE,
                "interface": main.to_json(),
                "interfaces": {name: face.to_json() for name, face in build.faces.items()},
                "functions": {name: str(shape) for name, shape in build.shapes.items()},
                "checks": build.checks,
                "neural_engine": prediction.to_json(),
                "shims": build.shims,
                **build.verdict(),
            },
            target={"oldest_system": options.target, "specification": options.specification},
        )


class _Build:
    """The steps of one export."""

    def __init__(self, context: ExportContext, options: CoreMLOptions, directory: Path) -> None:
        self.context = context
        self.request = context.request
        self.options = options
        self.directory = directory
        self.half = "float16" in (self.request.policy.backbone, self.request.policy.head)
        self.main = MAIN
        self.shapes: dict[str, Shape] = {MAIN: self.request.shape}
        self.checks: dict[str, Checks] = {}
        self.faces: dict[str, Interface] = {}
        self.shims = [shim.name for shim in shims_needed()]

    def function(self, shape: Shape, file: str) -> Interface:
        """Convert, save, verify and (where asked) compress one shape as a package of its own."""
        from depthport.exporters.coreml.network import PackageNetwork, interface, split_patch_convolution

        name = next(n for n, s in self.shapes.items() if s == shape)
        options = self.options
        network = self._network(shape)
        face = interface(network.output_names, shape, images=self.request.preprocess, host_pose=options.ane)
        self.faces[name] = face
        package = PackageNetwork(network, face, shape.views)
        if options.ane:
            split_patch_convolution(network)
        examples = self._examples(shape)
        began = time.perf_counter()
        self.context.progress(f"converting to Core ML ({options.route} route)")
        model = convert(package, examples, options, self.request.policy)
        describe(model, self.request, options, face)
        path = self.directory / file
        plain = path if options.compress == "none" else self.directory / "uncompressed.mlpackage"
        save(model, plain)
        checks = self.checks.setdefault(name, {})
        seconds = checks["seconds"] = {"conversion": time.perf_counter() - began}
        if plain == path:
            # The model holds the weights several times over; verifying needs the room.
            del model
        if options.verify:
            self.context.progress("verifying the package")
            began = time.perf_counter()
            checks |= verify(plain, package, examples, half=self.half, islands=self.options.islands)
            seconds["verification"] = time.perf_counter() - began
        if plain != path:
            self._compress(model, plain, path, package, examples, checks)
        return face

    def add_functions(self) -> None:
        """Convert the further shapes and merge all of them into one package."""
        main = self.directory / "main.mlpackage"
        (self.directory / PACKAGE).rename(main)
        parts = {self.main: main}
        for text in self.options.functions:
            shape = parse_shape(text)
            name = function_name(shape)
            self.shapes[name] = shape
            self.function(shape, f"{name}.mlpackage")
            parts[name] = self.directory / f"{name}.mlpackage"
        self.context.progress("merging functions")
        merge(parts, self.directory / PACKAGE)
        for path in parts.values():
            shutil.rmtree(path)

    def eligibility(self) -> Prediction:
        """Predict what the Neural Engine refuses of the main function, per chip family."""
        return predict(read_package(self.directory / PACKAGE).function(self.main))

    def verdict(self) -> dict[str, str]:
        """`verified`: one line for people; nothing where the package was not run."""
        worst = [
            error["relative"]
            for checks in self.checks.values()
            for error in checks.get("conversion", {}).values()
            if not error["integer"]
        ]
        if not worst:
            return {}
        text = f"run in the interpreter, the package matches the network to {max(worst):.1e} (relative L2, worst output)"
        if self.half:
            declared = [e["relative"] for c in self.checks.values() for e in c.get("declared", {}).values()]
            text += f", rounding of fp16 apart, which costs {max(declared):.1e}"
        return {"verified": text}

    def _network(self, shape: Shape) -> StaticNetwork:
        """The network in fp32, whatever the policy: coremltools does the rounding, operation by operation."""
        from depthport.exporters.da3.static.network import build_static
        from depthport.exporters.da3.upstream import build_upstream

        upstream = build_upstream(self.request.model, self.context.state_dict())
        self.context.progress("building the network")
        return build_static(
            upstream, shape.batch, shape.views, shape.height, shape.width, self.request.outputs, POLICIES["fp32"]
        )

    def _compress(
        self, model: MLModel, plain: Path, path: Path, package: PackageNetwork, examples: Sequence[Tensor],
        checks: Checks,
    ) -> None:  # fmt: skip
        self.context.progress(f"compressing weights to {self.options.compress}")
        before = read_package(plain).function()
        save(compress(model, self.options, before), path)
        if self.options.verify:
            after = read_package(path).function()
            checks["compression"] = compression_report(before, after, self.options.compress)
            checks["declared"] = outputs_as_declared(path, package, examples)
        shutil.rmtree(plain)

    def _examples(self, shape: Shape) -> list[Tensor]:
        """Inputs of the package with the probe's values (:mod:`depthport.exporters.inputs.probe`)."""
        import torch

        size = (shape.batch, shape.views, shape.height, shape.width)
        if not self.request.preprocess:
            return [torch.from_numpy(probe_image(*size, IMAGENET_MEAN, IMAGENET_STD))]
        views = torch.from_numpy(probe_pixels(*size)).flatten(0, 1).permute(0, 3, 1, 2).float()
        return [view.contiguous() for view in views.split(1)]
