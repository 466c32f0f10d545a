"""Runtime `onnxruntime-ep`: ONNX artifacts on the plug-in execution providers that are installed, each one mode.

Whatever ONNX Runtime lists once the installed packages' libraries are registered can be run
(:mod:`depthport.runtimes.onnxruntime.plugins`). Two proofs stand in the placement: which provider each node was given to,
and how far the outputs are from those of ONNX Runtime's own CPU provider for the same inputs
(:mod:`depthport.runtimes.onnxruntime.plugin_session`). A provider that takes no node has no form of the
model; one that computes an fp32 policy in less is an error: some round unless told otherwise, and some although they were
told.

ProviderOptions are those of runtime `onnxruntime`; `provider_options` go to the plug-in as they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import ClassVar

from depthport.exporters.core import install
from depthport.exporters.core.artifact import Artifact
from depthport.exporters.core.errors import ExportError, LoadError, one_line
from depthport.exporters.core.isolation import call_isolated
from depthport.exporters.core.options import read_options
from depthport.exporters.core.usable import unusable
from depthport.runtimes.base import Device, LoadOptions, Mode, Runtime, Session
from depthport.runtimes.host.cpu import cpu_description
from depthport.runtimes.onnxruntime import plugins
from depthport.runtimes.onnxruntime.plugins import Offer
from depthport.runtimes.onnxruntime.providers import Provider, plugin_options
from depthport.runtimes.onnxruntime.runtime import MODEL_FILE, OnnxRuntimeRuntime

NO_DEVICE = "lists no device of this machine"
_UPGRADE = f"{install.ONNXRUNTIME_AGAIN}, and the plug-in's package"
_INSTALL = f"{install.ONNXRUNTIME_OPENVINO} (Intel), or another package named onnxruntime-ep-…"


class PluginProviderRuntime(Runtime):
    """ONNX Runtime with execution providers from packages of their own."""

    name: ClassVar[str] = "onnxruntime-ep"
    formats: ClassVar[tuple[str, ...]] = ("onnx",)
    title: ClassVar[str] = "ONNX Runtime plug-in provider"
    licence: ClassVar[str | None] = "MIT, and the provider's own"
    packages: ClassVar[tuple[str, ...]] = (
        "onnxruntime", "onnxruntime-ep-openvino", "onnxruntime-ep-webgpu", "onnxruntime-ep-nv-tensorrt-rtx-cu12",
        "onnxruntime-ep-nv-tensorrt-rtx-cu13", "onnxruntime-ep-mlx", "onnxruntime-qnn", "onnxruntime-ggml",
    )  # fmt: skip
    quantized: ClassVar[tuple[str, ...]] = ("int8",)

    def probe(self) -> list[Device]:
        if (missing := unusable(install.ONNXRUNTIME, OnnxRuntimeRuntime.builds)) is not None:
            return [_absent(*missing)]
        if not plugins.installed():
            return [_absent("no plug-in provider of ONNX Runtime is installed", _INSTALL)]
        try:
            found, silent = _survey()
        except ExportError as error:
            return [_absent(f"plug-in providers can't be listed ({one_line(error)})", _UPGRADE)]
        if not found:
            return [_absent("; ".join(silent), f"use hardware it supports, or {_UPGRADE}")]
        names = dict.fromkeys(offer.device for offer in found)
        devices = [_device(name, [offer for offer in found if offer.device == name]) for name in names]
        return [replace(devices[0], notes=silent), *devices[1:]]

    def _load(self, artifact: Artifact, device: str, options: LoadOptions) -> Session:
        # In this process, which is the cell's own: asking another one first would be counted as loading.
        mine = next(_here(device, options.mode), None)
        if mine is None:
            self.mode(self.device(device), options.mode)
            raise LoadError(f"{options.mode or device} was listed and can't be registered: {_UPGRADE}")
        offer, native = mine

        from depthport.runtimes.onnxruntime.plugin_session import PluginSession
        from depthport.runtimes.onnxruntime.session import OrtOptions

        extra = read_options(OrtOptions, options.extra, self.name)
        kind = device.partition(":")[0]
        provider = Provider(offer.provider, kind, _mode(offer), "cpu", plugin_options(offer.mode, kind))
        return PluginSession(artifact, device, options, artifact.file(MODEL_FILE), provider, extra, offer, native)


@cache
def _survey() -> tuple[tuple[Offer, ...], tuple[str, ...]]:
    """Return the installed plug-ins' offers on this machine, and a line on each that offers nothing."""
    listed = call_isolated(plugins.survey, {}, Path.cwd()).value
    offers, silent = [], []
    for plugin, answer in zip(plugins.installed(), listed, strict=True):
        offers += [Offer(**{**offer, "plugin": plugin}) for offer in answer.get("offers", ())]
        if not answer.get("offers"):
            problem = answer.get("problem")
            why = f"does not register ({one_line(RuntimeError(problem), 120)})" if problem else NO_DEVICE
            silent.append(f"{plugin.package} {plugin.version} {why}")
    return tuple(offers), tuple(silent)


def _here(device: str, mode: str | None) -> Iterator[tuple[Offer, object]]:
    """The offers for a device and mode, plug-ins registered one by one until the caller has what it wants."""
    for plugin in plugins.installed():
        with suppress(Exception):  # A vendor's library may fail in any way; the survey says how.
            for offer, native in plugins.offers(plugin):
                if offer.device == device and mode in (None, offer.mode, offer.provider):
                    yield offer, native


def _device(name: str, offers: Sequence[Offer]) -> Device:
    modes = tuple(_mode(offer) for offer in offers)
    if name == "cpu":
        return Device(name, cpu_description(), modes, ("fp32",))
    return Device(name, offers[0].hardware, modes, ("fp16", "fp32"))


def _mode(offer: Offer) -> Mode:
    plugin = offer.plugin
    return Mode(offer.mode, f"{offer.provider} of the package {plugin.package} {plugin.version}", (offer.provider,))


def _absent(reason: str, remedy: str) -> Device:
    return Device("cpu", cpu_description(), unavailable=reason, remedy=remedy)


__all__ = ["PluginProviderRuntime"]
