"""Data that goes into and comes out of a runtime: modes, devices, options, placement, memory, operators."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from depthport.exporters.core.errors import UsageError
from depthport.exporters.core.json_types import JsonObject


@dataclass(frozen=True)
class Mode:
    """One named configuration of a runtime: an execution provider, a compute unit, eager or compiled."""

    name: str
    description: str
    """One sentence: what this mode does differently from the others."""
    aliases: tuple[str, ...] = ()
    """Other names people know it by (the first report's `minimal`, `balanced`, `max`)."""
    target: str | None = None
    """Export target of the artifacts it runs; None: portable ones."""
    precisions: tuple[str, ...] = ()
    """Policies worth running in it, best-known first; empty: the device's."""
    export_options: tuple[tuple[str, object], ...] = ()
    """The format's own options of the artifacts it runs, name and value; empty: its defaults."""
    alternative: bool = False
    """True for what people would run without this package: measured where it is asked for, by name or by a suite."""


@dataclass(frozen=True)
class Mismatch:
    """Mismatch of an artifact's platform and this machine."""

    reason: str
    """One line."""
    here: str
    """Platform that it has to be built for to be loaded: the same text, the same artifact."""


WORTH = 1.2
"""Gain of a policy's products (:meth:`~depthport.runtimes.base.Runtime.gains`) from which the whole network in it is taken
to be faster: casts, and what stays fp32, cost some."""


@dataclass(frozen=True)
class Device:
    """One place where a runtime can, or could, run."""

    name: str
    """`cpu`, `cuda`, `cuda:1`, `mps`, `ane`, `gpu`, `npu`."""
    description: str
    """The hardware's name, e.g. `AMD EPYC 7763, 2 cores`."""
    modes: tuple[Mode, ...] = ()
    precisions: tuple[str, ...] = ()
    """Policies worth running here, best-known first; others may load and are allowed."""
    unavailable: str | None = None
    """Reason it can't run here; None where it can."""
    remedy: str | None = None
    """The line that installs or enables what is missing."""
    off_target: str | None = None
    """Reason that times here are not those of the devices that the runtime is for: they are kept and marked, and never
    used for a recommendation unless this device is asked for by name. None: it is one of them."""
    numerics_only: str | None = None
    """Reason that runs here show an artifact's outputs and never its speed: no timing of it is kept, and it is never
    chosen. None where it is what people deploy."""
    notes: tuple[str, ...] = ()

    @property
    def available(self) -> bool:
        return self.unavailable is None

    @property
    def preference(self) -> tuple[bool, bool]:
        """Key to sort devices by if none is named: deployment targets first."""
        return self.numerics_only is not None, self.off_target is not None


def check_memory_fraction(fraction: float | None) -> None:
    """Refuse a share of the device's memory that is not in (0, 1]; None, where no share is asked for, is right.

    Raises:
        UsageError: it is not above 0 and at most 1.
    """
    if fraction is not None and not 0 < fraction <= 1:
        raise UsageError(f"--memory-fraction is {fraction:g}: it must be above 0 and at most 1")


def first_device(name: str) -> str:
    """Return the device that a cell's baseline runs on.

    It is the first of several (`cuda:0+1` is compared with `cuda`, `cuda:2+3` with `cuda:2`), else the cell's own.
    """
    first = name.partition("+")[0]
    return first.removesuffix(":0") if first != name else name


@dataclass(frozen=True)
class LoadOptions:
    """Options for loading; the same fields for all runtimes, each uses those it knows and refuses nothing silently."""

    mode: str | None = None
    """One of the device's modes; None: its first."""
    threads: int | None = None
    """Intra-op threads on the CPU; None: what the cgroup allows this process."""
    memory_fraction: float | None = None
    """Share of the device's memory this process may take (0, 1]."""
    cache_dir: Path | None = None
    """Folder for compiled forms of the artifact between processes; None: the user's own cache."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """The runtime's own options; an unknown one is a UsageError."""

    def __post_init__(self) -> None:
        check_memory_fraction(self.memory_fraction)


@dataclass(frozen=True)
class Placement:
    """Proof of where the model ran."""

    device: str
    details: JsonObject = field(default_factory=dict)
    """Providers, node counts, threads, kernels: what this runtime can show."""
    fallback: tuple[str, ...] = ()
    """Names of operators or subgraphs that ran elsewhere than `device`; empty in a good cell."""
    delegated_share: float | None = None
    """Share of nodes (0..1) that ran on `device`, where the runtime can count them."""


@dataclass(frozen=True)
class SessionMemory:
    """Peaks since the session was loaded, in MiB; None where it can't be known."""

    device_peak_mib: float | None = None
    elsewhere_peak_mib: float | None = None
    """Host memory of other processes that it computes in."""


@dataclass(frozen=True)
class OperatorTime:
    """One operator of a program."""

    path: str
    """Path of its module, e.g. `backbone.blocks.3.attn`; empty for the network itself."""
    operator: str
    """Its name without namespace or overload: `linear`, `attention`."""
    shapes: tuple[tuple[int, ...], ...]
    """Shapes of its tensor arguments, in order."""
    flop: int
    """Multiplications and additions of matrix products, convolutions and attention; 0 for everything else."""
    moved_bytes: int
    """Size of its arguments and results: the least that it moves. 0 where its result is a view."""
    seconds: tuple[float, ...]
    """Time of each call."""


@dataclass(frozen=True)
class DeviceRates:
    """Best rates of the device, measured now."""

    matmul_flop_s: float
    """Rate of a large square matrix product in the given dtype."""
    copy_bytes_s: float
    """Rate, read and written, of an elementwise copy beyond any cache."""
    dtype: str
    cached_bytes_s: tuple[tuple[int, float], ...] = ()
    """Rates of copies small enough for a cache: bytes moved, and bytes a second."""

    def bytes_s(self, moved: int) -> float:
        """Return the best rate possible for an operator that moves that many bytes."""
        return max([self.copy_bytes_s, *(rate for size, rate in self.cached_bytes_s if size >= moved)])
