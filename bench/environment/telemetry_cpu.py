"""Users of the CPUs during a block: the active worker, parked workers, other processes, the hypervisor.

Two :class:`CpuSnapshot` are taken around a block and :func:`cpu_shares` subtracts them. On Linux a snapshot
is cheap: the CPU time of a process is one `clock_gettime` of its CPU clock (nanoseconds, all threads, dead
ones too; clock_getcpuclockid(3)); only processes that started since the last look are read to find descendants; and
what the machine used is told by its idle time, which the kernel counts exactly on tickless systems while it samples
busy time at the timer tick (fs/proc/stat.c `get_idle_time`, proc_stat(5)). Elsewhere psutil does it.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import psutil

from depthport.bench.results.sections import Reading

MIN_WALL_S = 0.1
"""Shorter blocks tell nothing about other processes: system counters have steps of 10 ms per CPU."""


@dataclass(frozen=True)
class CpuSnapshot:
    """Cumulative counters at one moment, in seconds."""

    wall_s: float
    cpus: int
    idle_s: float | None
    """Idle and waiting for I/O, summed over all CPUs."""
    steal_s: float
    """Taken by the hypervisor for other guests, summed over all CPUs."""
    used_s: Mapping[int, float]
    """CPU seconds of this process and each of its descendants, children they have waited for included."""
    parent: Mapping[int, int]
    """Parent of each process in `used_s`."""

    def subtree(self, root: int) -> set[int]:
        """`root` and its descendants, as far as they are in this snapshot."""
        members = {root} & set(self.used_s)
        grew = bool(members)
        while grew:
            new = {pid for pid, parent in self.parent.items() if parent in members} - members
            members |= new
            grew = bool(new)
        return members

    def subtree_s(self, root: int) -> float | None:
        """CPU seconds of `root` and its descendants; None if it is gone."""
        members = self.subtree(root)
        return sum(self.used_s[pid] for pid in members) if members else None


class CpuReader(Protocol):
    """Takes snapshots of this process's tree and of the machine."""

    def snapshot(self, extra_roots: Iterable[int] = ()) -> CpuSnapshot: ...


def cpu_shares(before: CpuSnapshot, after: CpuSnapshot, parked: Collection[int], active: int | None) -> Reading:
    """Return the CPU use between two snapshots, as shares.

    Returns:
        `foreign_cpu_share` and `steal_cpu_share`: of the machine's CPU time (wall × CPUs), used by processes
        that are not ours and taken by the hypervisor. `parked_cpu_share` and `active_cpu_share`: CPU seconds
        per second of wall time (1.0 is one CPU busy all the time), of the parked workers together and of the
        active one, descendants included. None where unknown: a process vanished, or the block was too short
        for the system's counters.
    """
    wall = after.wall_s - before.wall_s
    if wall <= 0:
        return Reading(foreign_cpu_share=None, steal_cpu_share=None, parked_cpu_share=None, active_cpu_share=None)
    parked_s = [_used(before, after, pid) for pid in parked]
    known = [seconds for seconds in parked_s if seconds is not None]
    active_s = _used(before, after, active) if active is not None else None
    foreign = steal = None
    if wall >= MIN_WALL_S and before.idle_s is not None and after.idle_s is not None:
        capacity = wall * after.cpus
        stolen = max(0.0, after.steal_s - before.steal_s)
        # Totals, not process by process: what a process that ended had used is now in its parent's total.
        ours = max(0.0, sum(after.used_s.values()) - sum(before.used_s.values()))
        busy = capacity - (after.idle_s - before.idle_s) - stolen
        foreign = _share((busy - ours) / capacity)
        steal = _share(stolen / capacity)
    return {
        "foreign_cpu_share": foreign,
        "steal_cpu_share": steal,
        "parked_cpu_share": round(sum(known) / wall, 5) if known or not parked else None,
        "active_cpu_share": round(active_s / wall, 4) if active_s is not None else None,
    }


def _used(before: CpuSnapshot, after: CpuSnapshot, pid: int) -> float | None:
    """CPU seconds of a worker and its descendants between two snapshots; None if it is in neither or gone."""
    first, last = before.subtree_s(pid), after.subtree_s(pid)
    if last is None:
        return None
    return max(0.0, last - (first or 0.0))


def _share(value: float) -> float:
    return round(min(1.0, max(0.0, value)), 4)


class LinuxCpuReader:
    """Snapshots from `/proc` and CPU clocks.

    CPU time of descendants that ended is seen where a worker itself waited for them (`cutime` in `/proc/<pid>/stat`,
    steps of 10 ms), so a helper process that starts and ends within a block is still counted.
    """

    def __init__(self, proc: Path = Path("/proc")) -> None:
        self._proc = proc
        self._self = os.getpid()
        self._tick_s = 1.0 / os.sysconf("SC_CLK_TCK")
        self._cpus = os.sysconf("SC_NPROCESSORS_ONLN")
        self._parent: dict[int, int] = {}
        self._last_pid = b""

    def snapshot(self, extra_roots: Iterable[int] = ()) -> CpuSnapshot:
        self._refresh_parents()
        roots = {self._self, *extra_roots}
        ours = _descendants(roots, self._parent)
        used: dict[int, float] = {}
        for pid in ours:
            near = pid in roots or self._parent.get(pid) == self._self
            seconds = self._process_s(pid, waited_for=near)
            if seconds is not None:
                used[pid] = seconds
        idle, steal = self._system_s()
        parent = {pid: self._parent.get(pid, 0) for pid in used}
        return CpuSnapshot(time.monotonic(), self._cpus, idle, steal, used, parent)

    def _refresh_parents(self) -> None:
        """Read the parent of processes not seen before; forget those that ended.

        The kernel shows the pid it gave out last (proc_loadavg(5)): while it stands still, nothing has
        started.
        """
        try:
            last_pid = (self._proc / "loadavg").read_bytes().split()[-1]
        except (OSError, IndexError):
            last_pid = b""
        if last_pid and last_pid == self._last_pid:
            return
        self._last_pid = last_pid
        present = {int(name) for name in os.listdir(self._proc) if name.isdigit()}  # noqa: PTH208 - half the cost
        for pid in self._parent.keys() - present:
            del self._parent[pid]
        for pid in present - self._parent.keys():
            fields = self._stat(pid)
            if fields is not None:
                self._parent[pid] = int(fields[1])

    def _process_s(self, pid: int, waited_for: bool) -> float | None:
        try:
            # The clock id that clock_getcpuclockid(3) computes; Python has no call for it.
            own = time.clock_gettime((~pid << 3) | 2)
        except OSError:
            own = None
        if own is not None and not waited_for:
            return own
        fields = self._stat(pid)
        if fields is None:
            return None
        user, system, children_user, children_system = (int(f) * self._tick_s for f in fields[11:15])
        return (own if own is not None else user + system) + children_user + children_system

    def _stat(self, pid: int) -> list[bytes] | None:
        """Fields of `/proc/<pid>/stat` after the command's name: state, ppid, ..."""
        try:
            text = (self._proc / str(pid) / "stat").read_bytes()
        except OSError:
            return None
        return text[text.rindex(b")") + 2 :].split()

    def _system_s(self) -> tuple[float | None, float]:
        try:
            with (self._proc / "stat").open("rb") as file:
                fields = [int(f) * self._tick_s for f in file.readline().split()[1:]]
        except OSError:
            return None, 0.0
        if len(fields) < 5:
            return None, 0.0
        return fields[3] + fields[4], fields[7] if len(fields) > 7 else 0.0


class PortableCpuReader:
    """Snapshots from psutil, for macOS and Windows; tens of milliseconds, outside timed blocks."""

    def snapshot(self, extra_roots: Iterable[int] = ()) -> CpuSnapshot:
        parent: dict[int, int] = {}
        used: dict[int, float] = {}
        for root in {os.getpid(), *extra_roots}:
            try:
                process = psutil.Process(root)
                family = [process, *process.children(recursive=True)]
            except psutil.Error:
                continue
            for member in family:
                try:
                    times = member.cpu_times()
                    parent[member.pid] = member.ppid()
                except psutil.Error:
                    continue
                fields = ("user", "system", "children_user", "children_system")
                used[member.pid] = sum(getattr(times, name, 0.0) for name in fields)
        system = psutil.cpu_times()
        idle = system.idle + getattr(system, "iowait", 0.0)
        return CpuSnapshot(time.monotonic(), psutil.cpu_count() or 1, idle, getattr(system, "steal", 0.0), used, parent)


def cpu_reader() -> CpuReader:
    """The cheapest reader this system has."""
    return LinuxCpuReader() if sys.platform.startswith("linux") else PortableCpuReader()


def _descendants(roots: set[int], parent: Mapping[int, int]) -> set[int]:
    """`roots` and everything below them; one pass up the parents of each process, each visited once."""
    inside: dict[int, bool] = {0: False, 1: False} | dict.fromkeys(roots, True)
    for pid in parent:
        path: list[int] = []
        while pid not in inside:
            path.append(pid)
            pid = parent.get(pid, 0)
        for member in path:
            inside[member] = inside[pid]
    return {pid for pid, ours in inside.items() if ours}
