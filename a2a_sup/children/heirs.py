"""Who may inherit orphans, and which of their children are still to be looked at.

In somebody's program orphans go to an ancestor or to PID 1, and are found among its children. There
are others: a system's services, and perhaps thousands of dead that this PID 1 does not reap. To
look at each of them whenever a process ends would take longer than everything else.

So what was found not to be ours is *settled*: it is not looked at again. Since a pid may be given
away anew, something has to show that it still is the same process. The order does: the kernel puts
a child, born or inherited, at the end of its parent's list, where it stays. If one is the same as
before, so are all in front of it.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Container, Iterable

from a2a_sup.children import linux

EVERYBODY = 0
"""In place of a thread: all processes, in no order."""


class Heirs:
    """Some processes, and those of their children that are not settled."""

    def __init__(self, pids: Iterable[int]) -> None:
        """Take the processes. Nothing is settled yet."""
        self._pids = frozenset(pids)
        self._settled = dict[int, dict[int, int]]()
        """By the thread whose children they are: pids and identities."""
        self._found = dict[int, int]()
        """The last answer: the threads, by pid."""

    def children(self, spare: Container[object] = (), *, but: int | None = None) -> Collection[int]:
        """Return the children that are not settled, zombies too, but for those in ``spare``.

        Those that the thread ``but`` has are left out. All processes, where PID 1 may inherit and
        other users' processes are hidden (hidepid).
        """
        lists = self._lists(but)
        self._settled = {thread: self._settled.get(thread, {}) for thread in lists}
        self._found = {}
        for thread, pids in lists.items():
            for pid in _others(pids, self._settled[thread], in_order=thread != EVERYBODY):
                if pid not in spare:
                    self._found[pid] = thread
        return self._found.keys()

    def settle(self, pid: int, identity: int | None) -> None:
        """Leave one of the last answer out of all others: it is not ours, and never will be.

        Args:
            pid: the process.
            identity: of it, taken before it was judged: after that the pid may be another's.
        """
        if identity is not None:
            self._settled[self._found[pid]][pid] = identity

    def _lists(self, but: int | None) -> dict[int, list[int]]:
        if 1 in self._pids and not os.access("/proc/1/task", os.R_OK):
            return {EVERYBODY: linux.all_pids()}
        lists = dict[int, list[int]]()
        for pid in self._pids:
            lists |= linux.child_lists_of(pid, but=but)
        return lists


def _others(pids: list[int], settled: dict[int, int], *, in_order: bool) -> list[int]:
    """Return which of ``pids`` are not settled; forget what is settled and has gone."""
    if not settled:
        return pids
    # The end shows how much at the front is the same as before.
    for pid in reversed(pids):
        if pid in settled:
            if settled[pid] != linux.identity_of(pid):
                del settled[pid]
            elif in_order:
                break
    others = [pid for pid in pids if pid not in settled]
    # What is gone may come back as somebody else, and be in front when it is first read: a reading
    # can lack a child while another leaves.
    if len(others) + len(settled) > len(pids):
        for pid in settled.keys() - pids:
            del settled[pid]
    return others
