"""The calls whose answer depends on the system, behind one small interface.

Everything else of the adapter runs, and is tested, anywhere. The parts of :class:`CoreAI` that ask Apple's runtime are as
thin as can be made; they have not been run on a Mac by this project's tests.
"""

from __future__ import annotations

import platform
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from depthport.exporters.core import install
from depthport.exporters.core.provenance import package_version
from depthport.exporters.coreai.executable import Program, compile_asset, system_loads_assets

if TYPE_CHECKING:
    from depthport.exporters.coreai.executable import Program

MACOS = 27
"""First major version of macOS with Core AI."""
WHEEL_ONLY = "the runtime inside the wheel shows what an asset computes, not how fast a Mac computes it"


class Platform(Protocol):
    """Core AI on this machine."""

    def unavailable(self) -> tuple[str, str] | None:
        """Return why it can't be used at all and the line that remedies it; None where it can."""
        ...

    def native(self) -> bool:
        """Return whether the system's own runtime executes; else the wheel's, on the CPU alone."""
        ...

    def no_units(self) -> tuple[str, str]:
        """Return why there is no GPU and no Neural Engine for it, and what to do, where it is not native."""
        ...

    def units(self) -> tuple[str, ...]:
        """Compute units of a native one: any of `cpu`, `gpu`, `neural_engine`."""
        ...

    def system(self) -> str:
        """Return what a compiled form is bound to: version of coreai-core, system and processor."""
        ...

    def compile(self, asset: Path, destination: Path) -> None:
        """Write the compiled form that the wheel's runtime loads."""
        ...

    def load(self, path: Path, unit: str) -> Program:
        """Load a compiled form (any system) or an asset (native: Core AI specialises it for the unit here)."""
        ...


class CoreAI:
    """Core AI through coreai-core."""

    def unavailable(self) -> tuple[str, str] | None:
        if find_spec("coreai") is None:
            return "coreai-core is not installed", f"{install.COREAI} (Python 3.11 or newer)"
        return None

    def native(self) -> bool:
        return system_loads_assets()

    def no_units(self) -> tuple[str, str]:
        if sys.platform == "darwin":
            return f"Core AI is part of macOS {MACOS}, this is macOS {platform.mac_ver()[0]}", f"update to macOS {MACOS}"
        return f"Core AI uses it on macOS {MACOS} only", "run the same command on a Mac (runtimes/APPLE.md)"

    def units(self) -> tuple[str, ...]:
        from coreai.runtime import ComputeUnitKind

        found = {str(kind).rpartition(".")[2].lower() for kind in ComputeUnitKind.available_kinds()}
        return tuple(name for name in ("cpu", "gpu", "neural_engine") if any(name in kind for kind in found))

    def system(self) -> str:
        return f"{package_version('coreai-core')}-{sys.platform}-{platform.machine()}"

    def compile(self, asset: Path, destination: Path) -> None:
        compile_asset(asset, destination)

    def load(self, path: Path, unit: str) -> Program:
        if not self.native():
            return Program(path)
        from coreai.runtime import ComputeUnitKind, SpecializationOptions

        if unit == "cpu":
            return Program(path, SpecializationOptions.cpu_only())
        kind = getattr(ComputeUnitKind, unit)()
        return Program(path, SpecializationOptions.from_preferred_compute_unit_kind(kind))
