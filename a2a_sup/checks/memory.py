"""A check that a child's processes together stay below a limit of memory."""

from __future__ import annotations

import os

import attrs
import trio

from a2a_sup.children import linux
from a2a_sup.errors import CheckFailed, SpecError
from a2a_sup.model.spec import ChildContext

MIB = 2**20


@attrs.frozen
class MemoryCheck:
    """A check: the process of a child and all below it use less memory. Made by :func:`memory`.

    Attributes:
        limit: bytes.
    """

    limit: int

    @property
    def name(self) -> str:
        """What the probe is called."""
        return f"memory below {self.limit / MIB:.0f} MiB"

    async def __call__(self, context: ChildContext) -> str:
        """Add up; return how much it is. Raises CheckFailed when it is more than the limit."""
        pid = context.details.get("pid")
        if not isinstance(pid, int):
            return "it runs no process"
        # Pages that are shared are looked up one by one, which takes milliseconds.
        used = await trio.to_thread.run_sync(memory_of, pid, abandon_on_cancel=True)
        text = f"{used / MIB:.0f} MiB of {self.limit / MIB:.0f} MiB"
        if used > self.limit:
            raise CheckFailed(f"its processes use {text}")
        return text


def memory(limit: int) -> MemoryCheck:
    """Return a check that fails when a child's process, and all below it, use more memory.

    What processes share is counted once, by shares (``Pss`` of Linux), where that may be looked
    at; else all that is resident of each.

    Args:
        limit: bytes.

    Raises:
        SpecError: ``limit`` is no whole number above 0.
    """
    if isinstance(limit, bool) or not isinstance(limit, int) or limit <= 0:
        raise SpecError(f"memory: limit is a number of bytes above 0, not {limit!r}")
    return MemoryCheck(limit)


def memory_of(pid: int) -> int:
    """Return the bytes that a process and all below it use; 0 if it is gone."""
    return sum(map(_memory_of_one, (pid, *linux.descendants_of(pid))))


def _memory_of_one(pid: int) -> int:
    for line in linux.read(f"/proc/{pid}/smaps_rollup").splitlines():
        if line.startswith(b"Pss:"):
            return int(line.split()[1]) * 1024
    resident = linux.read(f"/proc/{pid}/statm").split()[1:2]
    return int(resident[0]) * os.sysconf("SC_PAGE_SIZE") if resident else 0
