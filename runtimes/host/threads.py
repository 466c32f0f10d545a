"""Number of CPU threads that this process may really use.

A container on a 64-core host may be given two cores by a cgroup quota; a library that asks the host starts 64 threads,
which the kernel then throttles. The number here is the smallest of

* the cores in the scheduler's affinity mask (`sched_getaffinity`, what `taskset` sets) that are also in the cgroup's
  cpuset, v2 (`cpuset.cpus.effective`) or v1 (`cpuset.effective_cpus`, `cpuset.cpus`), counting hyper-threads of one core
  once: a second thread on a core whose FMA units are busy only adds contention. Linux keeps the mask inside the cpuset;
  sandboxes that answer system calls themselves, and a mask asked for before the cpuset shrank, do not;
* the CPU bandwidth quota of the cgroup and of each of its parents, v2 (`cpu.max`) or v1 (`cpu.cfs_quota_us` /
  `cpu.cfs_period_us`), rounded down, because more runnable threads than quota are throttled all at once.

Kernel documentation: admin-guide/cgroup-v2.rst ("cpu.max", "cpuset.cpus.effective"), admin-guide/cgroup-v1/cpusets.rst
and scheduler/sched-bwc.rst.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

_CGROUP_MOUNT = Path("sys/fs/cgroup")
_CPUSET_FILES = ("cpuset.cpus.effective", "cpuset.effective_cpus", "cpuset.cpus")


def allowed_threads(root: Path = Path("/")) -> int:
    """Threads worth starting in this process, at least 1.

    Args:
        root: where `proc` and `sys` are mounted; another folder in tests.
    """
    mask, allowed = affinity(), cpuset(root)
    # Two that contradict each other: the mask is what the scheduler goes by.
    cores = physical_cores(mask if allowed is None else mask & allowed or mask, root)
    quota = cpu_quota(root)
    return max(1, cores if quota is None else min(cores, int(quota)))


def affinity() -> frozenset[int]:
    """Logical CPUs this process may be scheduled on."""
    if hasattr(os, "sched_getaffinity"):
        return frozenset(os.sched_getaffinity(0))
    return frozenset(range(os.cpu_count() or 1))


def physical_cores(cpus: frozenset[int], root: Path = Path("/")) -> int:
    """Physical cores among the logical `cpus`; every one counts where the system does not tell siblings apart."""
    topology = root / "sys/devices/system/cpu"
    return len({_read(topology / f"cpu{cpu}/topology/thread_siblings_list") or str(cpu) for cpu in cpus})


def cpu_quota(root: Path = Path("/")) -> float | None:
    """CPUs' worth of run time that the cgroups of this process allow; None where nothing limits it."""
    limits = [limit for folder in _cgroup_folders(root) if (limit := _quota(folder)) is not None]
    return min(limits, default=None)


def cpuset(root: Path = Path("/")) -> frozenset[int] | None:
    """Logical CPUs that the cgroups of this process and their parents allow; None where none says so."""
    found: frozenset[int] | None = None
    for folder in _cgroup_folders(root, "cpuset"):
        texts = (_read(folder / name) for name in _CPUSET_FILES)
        cpus = next((parsed for text in texts if text and (parsed := parse_cpu_list(text))), None)
        if cpus is not None:
            found = cpus if found is None else found & cpus
    return found


def parse_cpu_list(text: str) -> frozenset[int]:
    """The kernel's list format: `0-3,8` → {0, 1, 2, 3, 8}; empty for anything else."""
    cpus: set[int] = set()
    for part in text.strip().split(","):
        first, dash, last = part.partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            return frozenset()
        cpus.update(range(int(first), int(last if dash else first) + 1))
    return frozenset(cpus)


def _cgroup_folders(root: Path, controller: str = "cpu") -> Iterator[Path]:
    """The folders of this process's cgroups that can hold what `controller` limits, each with all its parents.

    Inside a container `/proc/self/cgroup` may name a path of the host that is not mounted here; the mount's own root is
    then this process's cgroup, so it is always among them.
    """
    mount = root / _CGROUP_MOUNT
    for line in (_read(root / "proc/self/cgroup") or "").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if not controllers:
            bases = [mount, mount / "unified"]
        elif controller in controllers.split(","):
            bases = [mount / controllers, mount / controller]
        else:
            continue
        relative = PurePosixPath(path.lstrip("/"))
        for base in bases:
            yield from (base / part for part in (relative, *relative.parents))


def _quota(folder: Path) -> float | None:
    v2 = _read(folder / "cpu.max")
    if v2 is not None:
        quota, _, period = v2.partition(" ")
        return _ratio(quota, period)
    return _ratio(_read(folder / "cpu.cfs_quota_us"), _read(folder / "cpu.cfs_period_us"))


def _ratio(quota: str | None, period: str | None) -> float | None:
    """`quota / period`; None for `max`, for v1's -1 and for anything that is no pair of numbers."""
    try:
        ratio = float(quota or "") / float(period or "")
    except (ValueError, ZeroDivisionError):
        return None
    return ratio if ratio > 0 else None


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return None
