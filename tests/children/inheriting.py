"""PID 1 of a pid namespace, whose children are born, inherited, reaped, and born under old numbers.

Prints one JSON object.
"""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

from a2a_sup.children import linux
from a2a_sup.children.heirs import Heirs


def born(pid: int | None = None) -> int:
    """Fork a child that waits, under a given number if it is free."""
    if pid is not None:
        Path("/proc/sys/kernel/ns_last_pid").write_text(f"{pid - 1}")
    child = os.fork()
    if child == 0:
        signal.pause()
    return child


def inherited() -> int:
    """Return an orphan: its parent is reaped."""
    parent = os.fork()
    if parent == 0:
        born()
        os._exit(0)
    os.waitid(os.P_PID, parent, os.WEXITED | os.WNOWAIT)
    [orphan] = linux.children_of(1) - KNOWN - {parent}
    os.waitpid(parent, 0)
    return orphan


def gone(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


KNOWN = set[int]()


def main() -> dict[str, object]:
    arrived = []
    for arrive in (born, inherited, born, inherited, born):
        arrived.append(arrive())
        KNOWN.add(arrived[-1])
    first, second, third, fourth, last = arrived
    heirs = Heirs([1])
    for pid in heirs.children():
        heirs.settle(pid, linux.identity_of(pid))
    gone(third)
    in_order = linux.child_lists_of(1)[1] == [first, second, fourth, last]
    settled = sorted(heirs.children())
    replaced = []
    for pid in (second, last):
        gone(pid)
        assert born(pid) == pid
        in_order = in_order and linux.child_lists_of(1)[1][-1] == pid
        replaced.append([pid, *heirs.children()])
        heirs.settle(pid, linux.identity_of(pid))
    return {
        "in order": in_order,
        "not settled": settled,
        "replaced": all(pids == [pids[0]] * 2 for pids in replaced),
    }


if __name__ == "__main__":
    assert os.getpid() == 1
    print(json.dumps(main()))
