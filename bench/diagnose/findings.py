"""Problems of a machine's set-up, as data: each finding says what it means and what to do.

`doctor` prints them. They are about the installation and the machine at rest; what shows only while measuring is in
bench/analysis/advice.py.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from depthport.bench.results.sections import Environment, GpuSection
from depthport.exporters.core import install
from depthport.runtimes.registry import installed_runtimes

NEEDED_FREE_GIB = 10.0
"""Free space that a full run with da3-large needs: checkpoint, artifacts, compiled forms."""
NEEDED_MEMORY_MIB = 6 * 1024
"""Memory for exporting da3-large with five views."""


@dataclass(frozen=True)
class Finding:
    """One thing to know before measuring."""

    level: Literal["problem", "note"]
    """A problem makes something fail or slow; a note is good to know."""
    message: str
    remedy: str | None = None


def findings(environment: Environment, free_gib: float, adapters: int) -> tuple[Finding, ...]:
    """All that can be said from the fingerprint (bench/environment/environment.py), disk space and the adapters.

    Args:
        environment: as `depthport.bench.environment.environment.fingerprint` gives it.
        free_gib: free space where artifacts go.
        adapters: how many runtimes and exporters are registered.
    """
    versions = environment["packages"]
    return (
        *_python(sys.version_info[:2]),
        *_packages(versions, adapters),
        *_torch_build(versions, environment["gpus"]),
        *_hardware(environment, free_gib),
    )


def _python(version: tuple[int, int]) -> Iterator[Finding]:
    if not (3, 10) <= version <= (3, 14):
        name = ".".join(map(str, version))
        yield Finding("problem", f"Python {name} is not supported", "use Python 3.10 to 3.14")


def _packages(versions: Mapping[str, str], adapters: int) -> Iterator[Finding]:
    if not adapters:
        yield Finding("problem", "no runtime or exporter is registered: depthport is not installed", install.ITSELF)
    if install.UPSTREAM not in versions:
        yield Finding(
            "problem", "upstream's package is not installed: nothing can be exported or checked", str(install.DA3_PACKAGE)
        )
    for adapter in installed_runtimes():
        builds = [name for name in versions if name in adapter.builds]
        if len(builds) > 1:
            yield Finding(
                "problem",
                f"{' and '.join(builds)} overwrite each other: only the last one's libraries remain",
                str(install.Install((builds[-1],), replaces=tuple(builds))),
            )
    if "coremltools" in versions and release(versions.get("numpy", "0")) >= (2, 4):
        yield Finding(
            "note",
            f"coremltools can't trace with numpy {versions['numpy']} (conversion through torch.export works)",
            str(install.COREML_NUMPY),
        )


def _torch_build(versions: Mapping[str, str], gpus: list[GpuSection]) -> Iterator[Finding]:
    torch = versions.get("torch")
    if torch is None:
        return
    cuda_libraries = any(name.startswith("nvidia-c") for name in versions)
    if gpus and torch.endswith("+cpu"):
        yield Finding(
            "problem", f"torch {torch} can't use the {gpus[0]['name']}: it is the CPU build", str(install.TORCH_AGAIN)
        )
    elif not gpus and cuda_libraries:
        yield Finding(
            "note", "torch brings CUDA libraries, but there is no NVIDIA GPU: they only take space", str(install.TORCH_CPU)
        )


def _hardware(environment: Environment, free_gib: float) -> Iterator[Finding]:
    cpu, power = environment["cpu"], environment["power"]
    x86 = environment["system"]["architecture"].lower() in ("x86_64", "amd64")
    if x86 and cpu["features"] and "avx2" not in cpu["features"]:
        yield Finding("problem", "this CPU has no AVX2: runtimes fall back to slow kernels or refuse to start")
    if cpu["quota_cores"] is not None and cpu["quota_cores"] < (cpu["logical_cores"] or 1):
        yield Finding(
            "note", f"a control group limits this process to {cpu['quota_cores']:g} of {cpu['logical_cores']} cores"
        )
    if power["source"] == "battery":
        yield Finding("problem", "on battery: clocks are lowered and change while measuring", "plug in the charger")
    if power["low_power_mode"]:
        yield Finding("problem", "low power mode is on: every latency is measured on a slowed-down chip", "turn it off")
    if environment["memory"]["usable_mib"] < NEEDED_MEMORY_MIB:
        gib = environment["memory"]["usable_mib"] / 1024
        yield Finding("note", f"{gib:.1f} GiB of memory: too little to export da3-large (6 GiB); small and base fit")
    if free_gib < NEEDED_FREE_GIB:
        yield Finding(
            "problem",
            f"{free_gib:.1f} GiB free for artifacts: a full run with da3-large needs {NEEDED_FREE_GIB:g} GiB",
            "free some space, or name another folder with DEPTHPORT_ARTIFACTS",
        )


def release(version: str) -> tuple[int, ...]:
    """The leading numbers of a version: `2.13.0+cpu` is (2, 13, 0)."""
    numbers = []
    for part in version.split("+")[0].split("."):
        if not part.isdecimal():
            break
        numbers.append(int(part))
    return tuple(numbers)
