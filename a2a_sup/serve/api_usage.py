"""What the processes of children use: memory, CPU time, number; read from /proc in one go."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import attrs

from a2a_sup.children import linux

TICKS = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@attrs.frozen
class Usage:
    """What one process uses, or several together.

    Attributes:
        processes: how many there are.
        memory_bytes: resident; pages that processes share count in each of them.
        cpu_seconds: used since they began, in user and kernel mode; not of those that ended.
    """

    processes: int
    memory_bytes: int
    cpu_seconds: float

    def to_json(self) -> dict[str, float]:
        """Return it as an object."""
        return {
            "processes": self.processes,
            "memory_bytes": self.memory_bytes,
            "cpu_seconds": round(self.cpu_seconds, 2),
        }


class Process(NamedTuple):
    """One process: its parent, its session, and what it uses."""

    pid: int
    parent: int
    session: int
    memory_bytes: int
    cpu_seconds: float


def usage_of(pids: Mapping[str, int]) -> dict[str, Usage]:
    """Return what each child uses, with all processes below its own and in its session.

    Reads files: call it in a thread.

    Args:
        pids: the process of each child, by path. One that is gone is missing in the answer.
    """
    return added_up(pids, _all_processes())


def added_up(pids: Mapping[str, int], processes: Iterable[Process]) -> dict[str, Usage]:
    """Return the usage of each child, out of a list of all processes.

    A process belongs to the nearest child above it, or else, if it lost its parents, to the child
    whose session it is in.
    """
    known = {process.pid: process for process in processes}
    child_of = {pid: path for path, pid in pids.items() if pid in known}
    owned: dict[str, list[Process]] = {path: [] for path in child_of.values()}
    for process in known.values():
        owner = _owner(process, known, child_of)
        if owner is not None:
            owned[owner].append(process)
    return {
        path: Usage(
            len(below),
            sum(process.memory_bytes for process in below),
            sum(process.cpu_seconds for process in below),
        )
        for path, below in owned.items()
    }


def _owner(
    process: Process, known: Mapping[int, Process], child_of: Mapping[int, str]
) -> str | None:
    if process.pid in child_of:
        return child_of[process.pid]
    at: Process | None = process
    seen = set[int]()
    while at is not None and at.pid not in seen:
        if at.pid in child_of:
            return child_of[at.pid]
        seen.add(at.pid)
        at = known.get(at.parent)
    return child_of.get(process.session)


def _all_processes() -> Iterable[Process]:
    for pid in linux.all_pids():
        process = parse_stat(pid, linux.read(f"/proc/{pid}/stat"))
        if process is not None:
            yield process


def parse_stat(pid: int, stat: bytes) -> Process | None:
    """Return what a line of /proc/PID/stat says (proc_pid_stat(5)); None if it is gone."""
    # The name, in parentheses, may hold anything.
    fields = stat.rpartition(b")")[2].split()
    if len(fields) < 22:
        return None
    cpu = (int(fields[11]) + int(fields[12])) / TICKS
    return Process(pid, int(fields[1]), int(fields[3]), int(fields[21]) * PAGE_BYTES, cpu)
