"""Runtime `browser`: ONNX artifacts in ONNX Runtime Web, in a page of a headless Chromium or Chrome on this machine.

Arrays go to the page and back over the loopback address; no deployment does that, so it is not timed: the session's clock
(:meth:`BrowserSession.clock`) stands still meanwhile, and what `run` takes is what the page's own clock says.

What ONNX Runtime Web would decide by itself is decided here: threads are what the cgroup allows (its default is one unless
the page is isolated), and they sleep between calls. With WebGPU it keeps operators on integers (the reference view's) on
the CPU, in WebAssembly: the placement names them.

ONNX Runtime Web is not a Python package. npm puts it beside this environment's own packages, or
`DEPTHPORT_ONNXRUNTIME_WEB` names its folder; nothing is downloaded by itself.
"""

from __future__ import annotations

import json
import math
import os
import sys
import time
from collections.abc import Mapping
from contextlib import closing
from functools import cache
from itertools import chain
from pathlib import Path
from typing import ClassVar

import numpy as np
from packaging.version import InvalidVersion, Version

from depthport.exporters.core.artifact import Artifact
from depthport.exporters.core.errors import LoadError, PlacementError, RunError, UnsupportedError, UsageError, one_line
from depthport.exporters.core.files.paths import user_path
from depthport.exporters.core.json_types import JsonObject
from depthport.exporters.core.text import mib
from depthport.runtimes.base import Arrays, Device, LoadOptions, Mode, Placement, Runtime, Session, SessionMemory
from depthport.runtimes.host.chromium import INSTALL, find_browser
from depthport.runtimes.host.cpu import cpu_description
from depthport.runtimes.host.page import START_S, Page, PageError
from depthport.runtimes.host.threads import allowed_threads

MODEL_FILE = "model.onnx"
ENV_FOLDER = "DEPTHPORT_ONNXRUNTIME_WEB"
OLDEST = Version("1.23")
WASM = Mode("wasm", "WebAssembly with SIMD, all threads on one inference", precisions=("fp32", "int8"))
WEBGPU = Mode("webgpu", "WGSL kernels on the browser's GPU adapter", precisions=("fp16", "fp32"))
OFF_TARGET = "a page runs on its visitors' devices: times here show which of two files is faster, not how fast theirs are"
ADDRESS_SPACE = 4 << 30
"""Address space of 32-bit WebAssembly, which ONNX Runtime Web is built for."""
WEIGHT_COPIES = 2.6
"""Memory of a loaded file over its size: measured with da3-small (3.1) to da3-large (2.7)."""
_MODULES = {
    "cpu": ("ort.wasm.min.mjs", "wasm", "CPUExecutionProvider"),
    "gpu": ("ort.webgpu.min.mjs", "webgpu", "WebGpuExecutionProvider"),
}
"""The library's file, what it calls its provider, and what ONNX Runtime calls it."""
_WORKER = {"worker.js": Path(__file__).with_name("worker.js")}
_FLAGS = {"cpu": ("--disable-gpu",), "gpu": ("--enable-unsafe-webgpu", "--enable-features=Vulkan")}


class BrowserRuntime(Runtime):
    """ONNX Runtime Web in a browser."""

    name: ClassVar[str] = "browser"
    formats: ClassVar[tuple[str, ...]] = ("onnx",)
    title: ClassVar[str] = "ONNX Runtime Web"
    licence: ClassVar[str | None] = "MIT"
    variables: ClassVar[tuple[str, ...]] = (ENV_FOLDER,)
    quantized: ClassVar[tuple[str, ...]] = ("int8",)

    def probe(self) -> list[Device]:
        browser, missing = find_browser(), _missing()
        if missing is None and browser is not None:
            return [_cpu(), _gpu(browser)]
        reason, remedy = missing or ("no Chromium or Chrome is installed", INSTALL)
        return [
            Device("cpu", cpu_description(), unavailable=reason, remedy=remedy),
            Device("gpu", "WebGPU", unavailable=reason, remedy=remedy),
        ]

    def _load(self, artifact: Artifact, device: str, options: LoadOptions) -> Session:
        # A browser is started to look for an adapter: not where none is asked for.
        here = device == "cpu" and find_browser() is not None and _missing() is None
        self.mode(_cpu() if here else self.device(device), options.mode)
        if options.extra:
            raise UsageError(f"{self.name} has no option {next(iter(options.extra))!r}: it takes none")
        return BrowserSession(artifact, device, options)


class BrowserSession(Session):
    """A page with the model loaded; `run` returns when the outputs are there."""

    def __init__(self, artifact: Artifact, device: str, options: LoadOptions) -> None:
        super().__init__(artifact, device, options)
        _require_room(artifact)
        browser = find_browser()
        assert browser is not None
        module, self._provider, self._native_provider = _MODULES[device]
        self._threads = options.threads or allowed_threads()
        self._carried_ns = 0
        files = {info.path: artifact.file(info.path) for info in artifact.manifest.files}
        served = {**_WORKER, **_library(), **{f"model/{name}": at for name, at in files.items()}}
        self._page = Page(browser, served, _FLAGS[device])
        try:
            self._ask(LoadError, "report", START_S)
            self._said = self._ask(
                LoadError, "load", module=module, provider=self._provider, model=MODEL_FILE, threads=self._threads,
                external=[name for name in files if name != MODEL_FILE], config={"force_spinning_stop": "1"},
            )  # fmt: skip
            self._check()
        except BaseException:
            self._page.close()
            raise

    def _check(self) -> None:
        """Its inputs and outputs are the manifest's, and it has the threads that were asked for."""
        said, report = self._said, self._ask(LoadError, "report")
        wanted = [s.native_name for s in self.input_specs], [s.native_name for s in self.output_specs]
        if (set(said["inputs"]), set(said["outputs"])) != (set(wanted[0]), set(wanted[1])):
            raise LoadError(
                f"the model takes {said['inputs']} and gives {said['outputs']}, "
                f"its manifest says {wanted[0]} and {wanted[1]}: export it again"
            )
        if report["threads"] != self._threads:
            raise PlacementError(
                f"the page has {report['threads']} threads, not the {self._threads} asked for "
                f"({'' if report['isolated'] else 'not '}isolated from other origins)"
            )
        if report["nodes"] and self._native_provider not in report["nodes"]:
            raise PlacementError(f"{self._provider} took no node of {MODEL_FILE}: {', '.join(report['nodes'])} took all")

    def clock(self) -> int:
        return time.perf_counter_ns() - self._carried_ns

    def _bind(self, inputs: Mapping[str, np.ndarray]) -> None:
        self._page.given = {spec.native_name: inputs[spec.name].tobytes() for spec in self.input_specs}
        tensors = [{"name": s.native_name, "dtype": s.dtype, "shape": s.shape} for s in self.input_specs]
        self._ask(RunError, "bind", tensors=tensors)

    def _run(self) -> None:
        self._ask(RunError, "run")

    def _synchronize(self) -> None:
        """Nothing is left to wait for."""

    def _outputs(self) -> Arrays:
        names = {spec.name: spec.native_name for spec in self.output_specs}
        shapes = self._ask(RunError, "outputs", names=list(names.values()))["shapes"]
        found = self._page.found
        return {
            name: np.frombuffer(found[native], shapes[native][0]).reshape(shapes[native][1:]).copy()
            for name, native in names.items()
        }

    def placement(self) -> Placement:
        report = self._ask(RunError, "report")
        counts = {name: found["count"] for name, found in report["nodes"].items()}
        inside, total = counts.get(self._native_provider, 0), sum(counts.values())
        details = {
            "nodes": counts,
            "browser": report["agent"],
            "onnxruntime_web": self._said["version"],
            "execution_provider": self._provider,
            "threads": report["threads"],
            "cross_origin_isolated": report["isolated"],
            "webassembly_mib": report["heap_bytes"] / (1 << 20),
            "clock": "performance.now() in the page's worker",
        }
        others = [found["names"] for name, found in report["nodes"].items() if name != self._native_provider]
        return Placement(self.device, details, tuple(chain.from_iterable(others)), inside / total if total else None)

    def memory(self) -> SessionMemory:
        return SessionMemory(elsewhere_peak_mib=self._page.peak_mib())

    def _close(self) -> None:
        self._page.close()

    def _ask(
        self, kind: type[LoadError] | type[RunError], command: str, timeout_s: float = math.inf, **given: object
    ) -> JsonObject:
        begin = time.perf_counter_ns()
        try:
            answer = self._page.ask(command, timeout_s, **given)
        except PageError as error:
            raise kind(f"{BrowserRuntime.title} ({self._provider}) failed at {command}: {one_line(error)}") from error
        self._carried_ns += time.perf_counter_ns() - begin - round(answer.get("ms", 0.0) * 1e6)
        return answer


def _cpu() -> Device:
    return Device("cpu", cpu_description(), (WASM,), WASM.precisions, off_target=OFF_TARGET)


def _gpu(browser: str) -> Device:
    found = _adapter(browser)
    if isinstance(found, str):
        remedy = "use a machine and a browser that chrome://gpu says has WebGPU"
        return Device("gpu", "WebGPU", unavailable=found, remedy=remedy)
    software = "its WebGPU adapter is software: results are a GPU's, times are not" if found["software"] else None
    return Device("gpu", found["name"], (WEBGPU,), WEBGPU.precisions, off_target=OFF_TARGET, numerics_only=software)


@cache
def _adapter(browser: str) -> JsonObject | str:
    """The browser's WebGPU adapter, or why it is of no use."""
    try:
        with closing(Page(browser, _WORKER, _FLAGS["gpu"])) as page:
            adapter: JsonObject | None = page.ask("adapter", START_S)["adapter"]
    except PageError as error:
        return f"the browser does not say whether it has a WebGPU adapter ({one_line(error)})"
    return adapter or "the browser has no WebGPU adapter"


def _folder() -> Path:
    named = os.environ.get(ENV_FOLDER)
    return user_path(named) if named else Path(sys.prefix) / "node_modules" / "onnxruntime-web"


def _library() -> dict[str, Path]:
    return {f"ort/{path.name}": path for path in (_folder() / "dist").iterdir() if path.suffix in (".mjs", ".wasm")}


def _missing() -> tuple[str, str] | None:
    """Return why ONNX Runtime Web is not here, and the line that installs it; None where it is."""
    remedy = f"npm install --prefix {sys.prefix} --no-save --ignore-scripts onnxruntime-web@1"
    try:
        version = json.loads((_folder() / "package.json").read_text(encoding="utf-8"))["version"]
        if Version(version).release < OLDEST.release:
            return f"onnxruntime-web {version} is too old: {OLDEST} or newer is needed", remedy
    except (OSError, ValueError, KeyError, TypeError, InvalidVersion):
        return f"onnxruntime-web is not installed in {_folder()}", remedy
    return None


def _require_room(artifact: Artifact) -> None:
    """Refuse what can't be held: weights are read into memory once, and packed for the kernels once more.

    Raises:
        UnsupportedError: it can't be loaded in any browser.
    """
    size = sum(info.size_bytes for info in artifact.manifest.files)
    if WEIGHT_COPIES * size > ADDRESS_SPACE:
        raise UnsupportedError(
            f"{artifact.path.name} has {mib(size)} of files, and WebAssembly addresses 4 GiB in all, of which "
            f"loading takes {WEIGHT_COPIES} times the files: export a smaller model, or fp16 or int8"
        )


__all__ = ["MODEL_FILE", "BrowserRuntime", "BrowserSession"]
