"""Thread counts from affinity, topology and cgroup quotas, with fake /proc and /sys."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from depthport.runtimes.host import threads


def tree(root: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return root


@pytest.mark.parametrize(
    ("files", "quota"),
    [
        ({}, None),
        # v2: unlimited; a limit of its own; a limit of a parent, which also binds.
        ({"proc/self/cgroup": "0::/app\n", "sys/fs/cgroup/app/cpu.max": "max 100000\n"}, None),
        ({"proc/self/cgroup": "0::/app\n", "sys/fs/cgroup/app/cpu.max": "250000 100000\n"}, 2.5),
        (
            {
                "proc/self/cgroup": "0::/pod/app\n",
                "sys/fs/cgroup/pod/app/cpu.max": "800000 100000\n",
                "sys/fs/cgroup/pod/cpu.max": "150000 100000\n",
            },
            1.5,
        ),
        # In a container the path is the host's and only the mount's root is here.
        ({"proc/self/cgroup": "0::/docker/abc\n", "sys/fs/cgroup/cpu.max": "400000 100000\n"}, 4.0),
        # v1: joint controllers, -1 for unlimited.
        (
            {
                "proc/self/cgroup": "3:cpu,cpuacct:/job\n1:memory:/\n",
                "sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_quota_us": "300000\n",
                "sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_period_us": "100000\n",
            },
            3.0,
        ),
        (
            {
                "proc/self/cgroup": "1:cpu:/\n",
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
            },
            None,
        ),
        # Hybrid: v1 for cpu, v2 mounted aside.
        ({"proc/self/cgroup": "1:cpu:/\n0::/app\n", "sys/fs/cgroup/unified/app/cpu.max": "200000 100000\n"}, 2.0),
        ({"proc/self/cgroup": "0::/app\n", "sys/fs/cgroup/app/cpu.max": "nonsense\n"}, None),
    ],
)
def test_quota(tmp_path: Path, files: dict[str, Any], quota: float | None) -> None:
    assert threads.cpu_quota(tree(tmp_path, files)) == quota


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, None),
        ({"proc/self/cgroup": "0::/app\n", "sys/fs/cgroup/app/cpuset.cpus.effective": "0-2,8\n"}, {0, 1, 2, 8}),
        # In a container only the mount's root is here.
        ({"proc/self/cgroup": "0::/docker/abc\n", "sys/fs/cgroup/cpuset.cpus.effective": "4-5\n"}, {4, 5}),
        # A parent's set binds too.
        (
            {
                "proc/self/cgroup": "0::/pod/app\n",
                "sys/fs/cgroup/pod/app/cpuset.cpus.effective": "0-3\n",
                "sys/fs/cgroup/pod/cpuset.cpus.effective": "2-7\n",
            },
            {2, 3},
        ),
        # v1; the child inherits by an empty `cpuset.cpus` under v2, and is told by its parent.
        ({"proc/self/cgroup": "4:cpuset:/job\n", "sys/fs/cgroup/cpuset/job/cpuset.cpus": "1,3\n"}, {1, 3}),
        (
            {
                "proc/self/cgroup": "0::/pod/app\n",
                "sys/fs/cgroup/pod/app/cpuset.cpus": "\n",
                "sys/fs/cgroup/pod/cpuset.cpus": "0-1\n",
            },
            {0, 1},
        ),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpuset.cpus.effective": "all of them\n"}, None),
    ],
)
def test_cpuset(tmp_path: Path, files: dict[str, Any], expected: set[int] | None) -> None:
    assert threads.cpuset(tree(tmp_path, files)) == expected


@pytest.mark.parametrize(("cpus", "expected"), [("0-1", 2), ("2", 1), ("0-63", 3), ("8-9", 3)])
def test_a_cpuset_that_the_mask_does_not_show_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cpus: str, expected: int
) -> None:
    """The last: a set that shares nothing with the mask is of another machine's numbering, and is not gone by."""
    monkeypatch.setattr(threads, "affinity", lambda: frozenset({0, 1, 2}))
    files = {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpuset.cpus.effective": f"{cpus}\n"}
    assert threads.allowed_threads(tree(tmp_path, files)) == expected


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system has no affinity masks")
def test_processes_side_by_side_start_as_many_threads_as_each_may() -> None:
    """Really pinned, really counted: one core each, although the machine has more."""
    code = (
        "import os, sys; os.sched_setaffinity(0, {int(sys.argv[1])});"
        "from depthport.runtimes.host.threads import allowed_threads; print(allowed_threads())"
    )
    cpus = sorted(os.sched_getaffinity(0))[:2]
    started = [subprocess.Popen([sys.executable, "-c", code, str(cpu)], stdout=subprocess.PIPE, text=True) for cpu in cpus]
    assert [process.communicate(timeout=60)[0].strip() for process in started] == ["1"] * len(cpus)


def test_hyper_threads_of_one_core_count_once(tmp_path: Path) -> None:
    siblings = {0: "0,4", 4: "0,4", 1: "1,5", 5: "1,5"}
    root = tree(
        tmp_path,
        {f"sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list": f"{value}\n" for cpu, value in siblings.items()},
    )
    assert threads.physical_cores(frozenset({0, 1, 4, 5}), root) == 2
    assert threads.physical_cores(frozenset({0, 4}), root) == 1
    assert threads.physical_cores(frozenset({0, 1, 6}), root) == 3, "no topology: counts"


@pytest.mark.parametrize(("quota", "expected"), [("max", 3), ("250000", 2), ("50000", 1), ("900000", 3)])
def test_the_tightest_limit_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quota: str, expected: int) -> None:
    monkeypatch.setattr(threads, "affinity", lambda: frozenset({0, 1, 2}))
    root = tree(tmp_path, {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": f"{quota} 100000\n"})
    assert threads.allowed_threads(root) == expected


def test_this_machine_allows_at_least_one() -> None:
    assert 1 <= threads.allowed_threads() <= len(threads.affinity())
