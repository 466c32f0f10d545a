"""Plug-in execution providers that are installed as Python packages: found, registered, listed, compared.

A package counts if its name is `onnxruntime-…` or has `-ep-` in it, and its module tells where its library is
(`get_library_path()`, or `library_path()`). Which providers a library has, and on which hardware, ONNX Runtime says once
the library is registered (`get_ep_devices`); many have none for this machine. Registering loads the vendor's own
libraries, so listing happens in a process of its own.

Importing this module imports no framework.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cache
from importlib import import_module, metadata
from pathlib import Path

import numpy as np

_NAMED = re.compile(r"onnxruntime-|.*-ep-")
_PROVIDES = re.compile(r"get_ep_name|EP_NAME|register_execution_provider_library")
_LOCATORS = ("get_library_path", "library_path")
_KINDS = {"CPU": "cpu", "GPU": "gpu", "NPU": "npu"}


@dataclass(frozen=True)
class Plugin:
    """An installed package with a provider's library."""

    package: str
    version: str
    module: str

    def register(self) -> None:
        """Make its providers known to this process's ONNX Runtime.

        Raises:
            Exception: of any kind; the library is a vendor's.
        """
        import onnxruntime

        module = import_module(self.module)
        path = next(getattr(module, name)() for name in _LOCATORS if hasattr(module, name))
        onnxruntime.register_execution_provider_library(self.package, str(path))


@dataclass(frozen=True)
class Offer:
    """A provider on a piece of hardware."""

    provider: str
    """ONNX Runtime's name of it."""
    mode: str
    """The same, as this package writes modes: `OpenVINOExecutionProvider` is `openvino`."""
    device: str
    """`cpu`, `gpu`, `npu`; the second of a kind is `gpu:1`."""
    hardware: str
    plugin: Plugin


def installed() -> tuple[Plugin, ...]:
    """Every plug-in package of this environment; reads files, imports none of them."""
    found = {}
    for distribution in metadata.distributions():
        name = re.sub(r"[-_.]+", "-", distribution.name or "").lower()
        if not _NAMED.match(name):
            continue
        for file in distribution.files or ():
            if len(file.parts) == 2 and file.name == "__init__.py" and _provides(Path(str(file.locate()))):
                found[name] = Plugin(name, distribution.version, file.parts[0])
    return tuple(found[name] for name in sorted(found))


def _provides(module: Path) -> bool:
    try:
        source = module.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return bool(_PROVIDES.search(source)) and any(f"def {name}(" in source for name in _LOCATORS)


@cache
def offers(plugin: Plugin) -> tuple[tuple[Offer, object], ...]:
    """Register a plug-in in this process: what it offers here, each with ONNX Runtime's own object.

    Raises:
        Exception: of any kind; the library is a vendor's.
    """
    import onnxruntime

    before = len(onnxruntime.get_ep_devices())
    plugin.register()
    seen: Counter[tuple[str, str]] = Counter()
    found = []
    for native in onnxruntime.get_ep_devices()[before:]:
        kind = _KINDS.get(native.device.type.name, native.device.type.name.lower())
        number = seen[native.ep_name, kind]
        seen[native.ep_name, kind] += 1
        hardware = native.device.metadata.get("Description") or f"{native.device.vendor} {native.device.type.name}"
        device = f"{kind}:{number}" if number else kind
        found.append((Offer(native.ep_name, _mode(native.ep_name), device, hardware, plugin), native))
    return tuple(found)


def _mode(provider: str) -> str:
    name = provider.removesuffix("ExecutionProvider").removeprefix("onnxruntime-")
    return name.lower().replace("_", "-")


def survey(progress: Callable[[str], None]) -> list[dict[str, object]]:  # noqa: ARG001 - isolated functions take it
    """Return each installed plug-in's offers as JSON types, or its error; runs in a separate process."""
    return [_surveyed(plugin) for plugin in installed()]


def _surveyed(plugin: Plugin) -> dict[str, object]:
    try:
        return {"offers": [asdict(offer) for offer, _ in offers(plugin)]}
    except Exception as error:  # noqa: BLE001 - a vendor's library may fail in any way
        return {"problem": f"{type(error).__name__}: {error}"}


def reference(
    model: str,
    inputs: str,
    outputs: str,
    threads: int,
    progress: Callable[[str], None],  # noqa: ARG001 - as `survey`
) -> None:
    """Compute with ONNX Runtime's CPU provider, from one `.npz` into another; runs in a separate process."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    np.savez(outputs, **dict(zip(names, session.run(names, dict(np.load(inputs))), strict=True)))


__all__ = ["Offer", "Plugin", "installed", "offers", "reference", "survey"]
