"""The marks that a process and all its descendants carry, and nobody else does.

A mark is a number: the instance of the supervisor (31 bits) and the incarnation of the child (32
bits). It is inherited in two ways, because each can be lost where the other is kept:

- as the soft limit on file locks, which Linux keeps for every process and never enforces. It
  survives fork, exec, setsid, a change of user, daemonizing and an **emptied environment**, is
  readable for everybody, and a zombie still shows it. ``su`` and ``runuser`` reset it.
- as an environment variable, which these keep. Readable for the same user and root only. Inside
  a supervised supervisor it is a chain: the mark of the outer one, then that of the inner one.
"""

from __future__ import annotations

import contextlib
import os
import resource
import secrets
import threading
from collections.abc import Iterator, Mapping

from a2a_sup.children.linux import child_lists_of, children_of, inherits_orphans, read_surely

VARIABLE = "A2A_SUP_MARK"
RLIMIT_LOCKS = 10
"""Of <sys/resource.h> on Linux; Python has no name for it."""
INCARNATION_BITS = 32

_limit_is_ours = threading.Lock()


def new_instance() -> int:
    """Return a random number for a supervisor, never 0."""
    return 1 + secrets.randbelow(2**31 - 1)


def mark_of(instance: int, incarnation: int) -> int:
    """Return the mark of an incarnation. 0 stands for the supervisor's own helpers."""
    return instance << INCARNATION_BITS | incarnation


def instance_of(mark: int) -> int:
    """Return which supervisor a mark belongs to."""
    return mark >> INCARNATION_BITS


def environment_with(mark: int, environment: Mapping[str, str]) -> dict[str, str]:
    """Return ``environment`` plus the mark, chained to the mark this process carries itself."""
    chain = [link for link in (os.environ.get(VARIABLE), f"{mark:x}") if link]
    return {**environment, VARIABLE: "/".join(chain)}


@contextlib.contextmanager
def inherited(mark: int) -> Iterator[None]:
    """Let processes forked inside this block inherit the mark as their limit.

    The limit belongs to the whole process, so a fork by another thread in the same millisecond
    takes the mark along. From such a process it is taken away again.
    """
    with _limit_is_ours:
        before = resource.getrlimit(RLIMIT_LOCKS)
        carry(mark)
        try:
            yield
        finally:
            resource.setrlimit(RLIMIT_LOCKS, before)
            _take_back(mark, before[0])


def _take_back(mark: int, limit: int) -> None:
    """Give what other threads forked the limit that they would have without the mark.

    Where orphans come to this process they come to its first thread. There an orphan of the new
    child could not be told from what this thread forked, so there the mark stays.
    """
    waiting = list[int]()
    with contextlib.suppress(OSError):  # too many files are open: the new process is there anyway
        lists = child_lists_of(os.getpid(), but=threading.get_native_id())
        if lists.get(os.getpid()) and inherits_orphans():
            del lists[os.getpid()]
        waiting += [pid for pids in lists.values() for pid in pids]
    while waiting:
        pid = waiting.pop()
        # It may have ended, or have become another user's.
        with contextlib.suppress(OSError):
            soft, hard = resource.prlimit(pid, RLIMIT_LOCKS)
            if soft == mark:
                resource.prlimit(pid, RLIMIT_LOCKS, (limit, hard))
                waiting += children_of(pid)


def carry(mark: int) -> None:
    """Carry the mark from now on, for processes that are forked without one of their own."""
    hard = resource.getrlimit(RLIMIT_LOCKS)[1]
    # Somebody lowered the hard limit: the environment has to do.
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(RLIMIT_LOCKS, (mark, hard))


def marks_on(pid: int) -> frozenset[int]:
    """Return the marks a process carries; empty if none, or if it is gone or hidden.

    Raises:
        OSError: too many files are open.
    """
    return frozenset([*_limit_mark(pid), *_environment_marks(pid)])


def _limit_mark(pid: int) -> Iterator[int]:
    for line in read_surely(f"/proc/{pid}/limits").splitlines():
        if line.startswith(b"Max file locks"):
            soft = line.split()[3]
            # A small number is somebody's real idea of a limit.
            if soft.isdigit() and int(soft) >> INCARNATION_BITS:
                yield int(soft)


def _environment_marks(pid: int) -> Iterator[int]:
    start = f"{VARIABLE}=".encode()
    for entry in read_surely(f"/proc/{pid}/environ").split(b"\0"):
        if entry.startswith(start):
            for link in entry[len(start) :].split(b"/"):
                with contextlib.suppress(ValueError):
                    yield int(link, 16)
