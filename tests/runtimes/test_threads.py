"""Thread counts from affinity, topology and cgroup quotas, with fake /proc and /sys."""

from __future__ import annotations

from pathlib import Path

import pytest

from runtimes import threads


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
        (
            {
                "proc/self/cgroup": "1:cpu:/\n0::/app\n",
                "sys/fs/cgroup/unified/app/cpu.max": "200000 100000\n",
            },
            2.0,
        ),
        ({"proc/self/cgroup": "0::/app\n", "sys/fs/cgroup/app/cpu.max": "nonsense\n"}, None),
    ],
)
def test_quota(tmp_path, files, quota):
    assert threads.cpu_quota(tree(tmp_path, files)) == quota


def test_hyper_threads_of_one_core_count_once(tmp_path):
    siblings = {0: "0,4", 4: "0,4", 1: "1,5", 5: "1,5"}
    root = tree(
        tmp_path,
        {
            f"sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list": f"{value}\n"
            for cpu, value in siblings.items()
        },
    )
    assert threads.physical_cores(frozenset({0, 1, 4, 5}), root) == 2
    assert threads.physical_cores(frozenset({0, 4}), root) == 1
    assert threads.physical_cores(frozenset({0, 1, 6}), root) == 3, "no topology: counts"


@pytest.mark.parametrize(("quota", "expected"), [("max", 3), ("250000", 2), ("50000", 1), ("900000", 3)])
def test_the_tightest_limit_wins(tmp_path, monkeypatch, quota, expected):
    monkeypatch.setattr(threads, "affinity", lambda: frozenset({0, 1, 2}))
    root = tree(tmp_path, {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": f"{quota} 100000\n"})
    assert threads.allowed_threads(root) == expected


def test_this_machine_allows_at_least_one():
    assert 1 <= threads.allowed_threads() <= len(threads.affinity())
