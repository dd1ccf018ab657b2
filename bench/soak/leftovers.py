"""Which processes there are of a soak, and which of them may be: found by their environment.

All that a soak starts inherits the mark of the run, and each process of the fleet, with all that
descends from it, the name of its child. Neither has to do with the marks that a2a_sup itself uses.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

MARK = "A2A_SUP_SOAK"
NAME = "A2A_SUP_SOAK_CHILD"

Found = Mapping[str, frozenset[int]]
"""The processes of each child, by its name; of none: by the empty name."""


def named(mark: str, pids: Iterable[int]) -> Found:
    """Return which of ``pids`` live, carry the mark ``mark``, and whose they are."""
    found = defaultdict[str, set[int]](set)
    wanted = f"{MARK}={mark}".encode()
    for pid in pids:
        variables = environment(pid)
        if wanted in variables:
            names = [each for each in variables if each.startswith(f"{NAME}=".encode())]
            name = names[0].partition(b"=")[2].decode() if names else ""
            found[name].add(pid)
    return {name: frozenset(pids) for name, pids in found.items()}


def environment(pid: int) -> list[bytes]:
    """Return the variables of a process; of one that is gone, a zombie or not ours: none."""
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return []


def others() -> list[int]:
    """Return the numbers of all processes but this one."""
    mine = os.getpid()
    names = os.listdir("/proc")  # noqa: PTH208 - there may be thousands
    return [int(name) for name in names if name.isdigit() and int(name) != mine]


def look(mark: str) -> Found:
    """Return the marked processes, all of which lived at one moment.

    A look at many takes a while, in which one may end and its successor begin. Who was there in
    the first look, and still is in the second, was there in between.
    """
    first = named(mark, others())
    # By the name it has now: what had none in the first look had not been executed.
    return named(mark, [pid for pids in first.values() for pid in pids])


def is_process_of(mark: str, name: str, pid: int) -> bool:
    """Return whether that process lives and belongs to the child of that name."""
    variables = environment(pid)
    return f"{MARK}={mark}".encode() in variables and f"{NAME}={name}".encode() in variables


def overfull(found: Found, bounds: Mapping[str, int], unknown: int) -> list[str]:
    """Return who has more processes than it can have.

    Args:
        found: the processes by child.
        bounds: how many it can have at a time; of no child, "", those that are being made.
        unknown: the same of children that are not named there.
    """
    return [
        f"{name or 'nobody'}: {len(pids)} processes live, {sorted(pids)}"
        for name, pids in found.items()
        if len(pids) > bounds.get(name, unknown)
    ]
