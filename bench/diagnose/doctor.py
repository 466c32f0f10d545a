"""`doctor`: what can run on this machine, what is missing, and the line that installs it.

Works with neither torch nor any runtime installed: every adapter is asked, and says itself why it can't.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path

from depthport.bench.diagnose.checkpoints import Checkpoint, checkpoints
from depthport.bench.diagnose.findings import Finding, findings
from depthport.bench.environment.environment import fingerprint
from depthport.bench.results.sections import Environment
from depthport.exporters.core.errors import DepthportError
from depthport.exporters.core.store import default_root
from depthport.exporters.registry import formats, get_exporter
from depthport.runtimes.base import Device
from depthport.runtimes.registry import get_runtime, runtimes
from depthport.runtimes.terms import WORTH


@dataclass(frozen=True)
class RuntimeRow:
    """A runtime on one device."""

    runtime: str
    device: str
    description: str
    available: bool
    reason: str | None = None
    """Reason it is not available; None if it is."""
    remedy: str | None = None
    modes: tuple[str, ...] = ()
    precisions: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class FormatRow:
    """A format that can, or could, be exported here."""

    format: str
    available: bool
    reason: str | None = None
    """Reason it can't, with the line that installs what is missing; None if it can."""


@dataclass(frozen=True)
class DoctorReport:
    """Everything `doctor` found."""

    environment: Environment
    runtimes: tuple[RuntimeRow, ...]
    formats: tuple[FormatRow, ...]
    checkpoints: tuple[Checkpoint, ...]
    artifacts: Path
    """Folder of the artifact store."""
    free_gib: float
    """Free space there."""
    findings: tuple[Finding, ...]

    def to_json(self) -> dict[str, object]:
        return {**asdict(self), "artifacts": str(self.artifacts)}


def collect() -> DoctorReport:
    """Ask every adapter, the cache, the disk and the hardware; a few seconds, nothing is changed."""
    environment = fingerprint()
    runtimes, formats = runtime_rows(), format_rows()
    free_gib = free_space_gib(default_root())
    return DoctorReport(
        environment=environment,
        runtimes=runtimes,
        formats=formats,
        checkpoints=checkpoints(),
        artifacts=default_root(),
        free_gib=free_gib,
        findings=findings(environment, free_gib, adapters=len(runtimes) + len(formats)),
    )


def runtime_rows() -> tuple[RuntimeRow, ...]:
    """One row for each device of each registered runtime; an adapter that fails is a row with its reason."""

    def rows(name: str) -> list[RuntimeRow]:
        try:
            runtime = get_runtime(name)
            return [_row(name, device, runtime.gains(device)) for device in runtime.probe()]
        except (Exception, SystemExit) as error:  # noqa: BLE001 - anyone's adapter may fail in any way; doctor must not
            return [RuntimeRow(name, "-", "", False, _failure(error))]

    # Side by side: one waits for a browser's answer while another imports.
    with ThreadPoolExecutor() as pool:
        return tuple(chain.from_iterable(pool.map(rows, runtimes())))


def format_rows() -> tuple[FormatRow, ...]:
    """One row for each registered exporter."""
    rows: list[FormatRow] = []
    for name in formats():
        try:
            reason = get_exporter(name).probe()
        except (Exception, SystemExit) as error:  # noqa: BLE001 - as above
            reason = _failure(error)
        rows.append(FormatRow(name, reason is None, reason))
    return tuple(rows)


def free_space_gib(folder: Path) -> float:
    """Free space (GiB) on the disk that holds `folder`, which need not exist yet."""
    existing = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    return shutil.disk_usage(existing).free / (1 << 30)


def _row(runtime: str, device: Device, gains: Mapping[str, float]) -> RuntimeRow:
    notes = [f"numerics only: {device.numerics_only}"] if device.numerics_only else []
    for precision, gain in gains.items():
        verdict = "worth it" if gain >= WORTH else "not worth it"
        notes.append(f"products of {precision} run at {gain:.1f} times fp32's rate here: {verdict}")
    return RuntimeRow(
        runtime,
        device.name,
        device.description,
        device.available,
        device.unavailable,
        device.remedy,
        tuple(mode.name for mode in device.modes),
        device.precisions,
        (*notes, *device.notes),
    )


def _failure(error: BaseException) -> str:
    line = (str(error) or type(error).__name__).splitlines()[0]
    return line if isinstance(error, DepthportError) else f"its adapter failed: {line}"
