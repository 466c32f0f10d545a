"""How many CPU threads this process may really use.

A container on a 64-core host may be given two cores by a cgroup quota; a library that asks the host starts 64 threads,
which the kernel then throttles. The number here is the smallest of

* the cores in the scheduler's affinity mask (`sched_getaffinity`, also how `cpuset` and `taskset` show), counting
  hyper-threads of one core once: a second thread on a core whose FMA units are busy only adds contention;
* the CPU bandwidth quota of the cgroup and of each of its parents, v2 (`cpu.max`) or v1 (`cpu.cfs_quota_us` /
  `cpu.cfs_period_us`), rounded down, because more runnable threads than quota are throttled all at once.

Kernel documentation: admin-guide/cgroup-v2.rst ("cpu.max") and scheduler/sched-bwc.rst.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

_CGROUP_MOUNT = Path("sys/fs/cgroup")


def allowed_threads(root: Path = Path("/")) -> int:
    """Threads worth starting in this process, at least 1.

    Args:
        root: where `proc` and `sys` are mounted; another folder in tests.
    """
    cores = physical_cores(affinity(), root)
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


def _cgroup_folders(root: Path) -> Iterator[Path]:
    """The folders of this process's cgroups that can hold a CPU quota, each with all its parents.

    Inside a container `/proc/self/cgroup` may name a path of the host that is not mounted here; the mount's own root is
    then this process's cgroup, so it is always among them.
    """
    mount = root / _CGROUP_MOUNT
    for line in (_read(root / "proc/self/cgroup") or "").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if not controllers:
            bases = [mount, mount / "unified"]
        elif "cpu" in controllers.split(","):
            bases = [mount / controllers, mount / "cpu"]
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
