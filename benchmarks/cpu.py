"""CPU time and memory of a process and all that it started, read from /proc."""

import os
from pathlib import Path
from typing import NamedTuple

_TICK_US = 1_000_000 // os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class Process(NamedTuple):
    """What /proc/PID/stat says of one process; `cpu_us` includes children that it has waited for."""

    pid: int
    parent: int
    session: int
    cpu_us: int
    rss_bytes: int


class Usage(NamedTuple):
    """CPU time since the start, and memory now, of a tree. RSS counts shared pages once per process."""

    cpu_us: int
    rss_mb: float


def read_tree(root: int) -> Usage:
    """The tree's usage: user + system of each live process, and of those that ended under them."""
    processes = _processes()
    members = [processes[pid] for pid in _members(root, processes)]
    return Usage(sum(p.cpu_us for p in members), sum(p.rss_bytes for p in members) / 1e6)


def tree_pids(root: int) -> set[int]:
    """The root, its descendants, and whatever else is in the session that it leads."""
    return _members(root, _processes())


def descendants(root: int) -> set[int]:
    """All processes below the root, without it."""
    return _below(root, _processes())


def machine_busy_us() -> int:
    """CPU time of the whole machine since boot, idle and waiting excluded, all cores together."""
    fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()
    user, nice, system, _idle, _iowait, irq, softirq = (int(field) for field in fields[1:8])
    return (user + nice + system + irq + softirq) * _TICK_US


def _members(root: int, processes: dict[int, Process]) -> set[int]:
    in_session = {p.pid for p in processes.values() if p.session == root}
    return ({root} & processes.keys()) | in_session | _below(root, processes)


def _below(root: int, processes: dict[int, Process]) -> set[int]:
    children: dict[int, list[int]] = {}
    for process in processes.values():
        children.setdefault(process.parent, []).append(process.pid)
    found: set[int] = set()
    waiting = list(children.get(root, ()))
    while waiting:
        pid = waiting.pop()
        found.add(pid)
        waiting.extend(children.get(pid, ()))
    return found


def _processes() -> dict[int, Process]:
    found = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                stat = (folder / "stat").read_text(errors="replace")
            except (FileNotFoundError, ProcessLookupError):  # it ended between the listing and the reading
                continue
            found[int(folder.name)] = _parse(int(folder.name), stat)
    return found


def _parse(pid: int, stat: str) -> Process:
    # The name may hold spaces and brackets; the fields after its last bracket begin with field 3, the state.
    fields = stat.rpartition(")")[2].split()
    ticks = sum(int(field) for field in fields[11:15])  # utime, stime, cutime, cstime
    return Process(pid, int(fields[1]), int(fields[3]), ticks * _TICK_US, int(fields[21]) * _PAGE_BYTES)
