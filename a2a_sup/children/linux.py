"""What the kernel tells and does about processes. Standard library only.

The guardian imports this before anything large is loaded, so that it stays a few megabytes.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import select
import signal
import time
from collections.abc import Iterable, Iterator

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
PR_GET_CHILD_SUBREAPER = 37
ORDINARY_POLICIES = (os.SCHED_OTHER, os.SCHED_BATCH, os.SCHED_IDLE)
OUT_OF_FILES = (errno.EMFILE, errno.ENFILE)
NO_SUCH_PROCESS = (errno.ESRCH, errno.ENOENT, errno.EINVAL)
"""Errors of pidfd_open(2). The last two: the number is now a thread's; older kernels say EINVAL."""


def own_proc_is_mounted() -> bool:
    """Return whether /proc shows this process's own pid namespace.

    In a pid namespace without its own /proc the numbers read there are other processes' numbers,
    and must never be signalled.
    """
    try:
        return os.readlink("/proc/self") == str(os.getpid())  # noqa: PTH115 - no pathlib: see above
    except OSError:
        return False


def become_subreaper() -> None:
    """Make orphans among the descendants children of this process.

    Raises:
        OSError: the kernel refused.
    """
    _prctl(PR_SET_CHILD_SUBREAPER, 1)


def ask_for_signal_at_parents_death(number: signal.Signals) -> None:
    """Have ``number`` sent to this process when the thread that forked it ends.

    Raises:
        OSError: the kernel refused.
    """
    _prctl(PR_SET_PDEATHSIG, number)


def inherits_orphans() -> bool:
    """Return whether orphans among the descendants become children of this process."""
    if os.getpid() == 1:
        return True
    is_subreaper = ctypes.c_int()
    _prctl(PR_GET_CHILD_SUBREAPER, ctypes.byref(is_subreaper))
    return bool(is_subreaper.value)


def _prctl(option: int, value: object) -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


@contextlib.contextmanager
def before_all_others() -> Iterator[None]:
    """Have this thread run before all others of the machine inside the block, if that is allowed.

    For milliseconds: nobody else has that processor (sched(7), SCHED_FIFO). A thread that has a
    real-time priority keeps it.
    """
    with contextlib.ExitStack() as stack:
        # Few may do it, a sandbox may not know it, and musl never does.
        with contextlib.suppress(OSError):
            before, parameters = os.sched_getscheduler(0), os.sched_getparam(0)
            if before & ~os.SCHED_RESET_ON_FORK in ORDINARY_POLICIES:
                policy = os.SCHED_FIFO | os.SCHED_RESET_ON_FORK
                os.sched_setscheduler(0, policy, os.sched_param(1))
                stack.callback(_come_back, before, parameters)
        yield


def _come_back(policy: int, parameters: os.sched_param) -> None:
    try:
        os.sched_setscheduler(0, policy, parameters)
    except OSError:
        # Who has a budget and no right (RLIMIT_RTPRIO) may not clear what resets its children.
        with contextlib.suppress(OSError):
            os.sched_setscheduler(0, policy | os.SCHED_RESET_ON_FORK, parameters)


def read(path: str) -> bytes:
    """Return a file under /proc; empty if its process is gone or may not be looked at.

    Also empty if too many files are open.
    """
    try:
        return read_surely(path)
    except OSError:
        return b""


def read_surely(path: str) -> bytes:
    """Return a file under /proc; empty if its process is gone or may not be looked at.

    Plain system calls: half the cost of a file object, and this is done for many processes.

    Raises:
        OSError: too many files are open.
    """
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as exc:
        if exc.errno in OUT_OF_FILES:
            raise
        return b""
    try:
        parts = []
        while part := os.read(file, 65536):
            parts.append(part)
        return b"".join(parts)
    except OSError:
        return b""
    finally:
        os.close(file)


def children_of(pid: int) -> set[int]:
    """Return the children of a process, zombies too; empty if it is gone or hidden.

    Raises:
        OSError: too many files are open.
    """
    return set[int]().union(*child_lists_of(pid).values())


def child_lists_of(pid: int, *, but: int | None = None) -> dict[int, list[int]]:
    """Return the children of a process, zombies too, by the thread that has each of them.

    That is the thread that forked it; the first thread for orphans, and for what was forked by a
    thread that has ended. In each list they are in the order in which they came to it. The thread
    ``but`` is left out: to read a long list takes a while.

    Raises:
        OSError: too many files are open.
    """
    try:
        threads = os.listdir(f"/proc/{pid}/task")  # noqa: PTH208 - see above
    except OSError as exc:
        if exc.errno in OUT_OF_FILES:
            raise
        return {}
    lists = {}
    for thread in map(int, threads):
        if thread != but:
            pids = read_surely(f"/proc/{pid}/task/{thread}/children").split()
            lists[thread] = list(map(int, pids))
    return lists


def descendants_of(pid: int) -> set[int]:
    """Return the children of a process, their children, and so on, as far as can be seen now."""
    found = set[int]()
    waiting = [pid]
    with contextlib.suppress(OSError):
        while waiting:
            new = children_of(waiting.pop()) - found
            found |= new
            waiting += new
    return found


def all_pids() -> list[int]:
    """Return every process that /proc shows."""
    return [int(name) for name in os.listdir("/proc") if name.isdecimal()]  # noqa: PTH208 - see above


def ancestors() -> list[int]:
    """Return the parent of this process, its parent, and so on, as far as they are visible."""
    found = []
    pid = os.getppid()
    while pid > 0 and pid not in found:
        found.append(pid)
        pid = _parent_of(pid)
    return found


def _parent_of(pid: int) -> int:
    fields = _stat(pid)
    return int(fields[1]) if fields else 0


def is_dead(pid: int) -> bool:
    """Return whether a process is gone, or only waits for its parent to reap it.

    Asked through a pidfd: faster than /proc, and right when only its first thread has ended.

    Raises:
        OSError: too many files are open.
    """
    try:
        handle = os.pidfd_open(pid)
    except OSError as exc:
        if exc.errno in NO_SUCH_PROCESS:
            return True
        raise
    try:
        poll = select.poll()
        poll.register(handle, select.POLLIN)
        return bool(poll.poll(0))
    finally:
        os.close(handle)


def _stat(pid: int) -> list[bytes]:
    """Return the fields of /proc/PID/stat from the state on; the name before may hold anything."""
    return read(f"/proc/{pid}/stat").rpartition(b")")[2].split()


def session_of(pid: int) -> int | None:
    """Return the session of a process, also of a zombie; None if it is gone."""
    try:
        return os.getsid(pid)
    except OSError:
        return None


def identity_of(pid: int) -> int | None:
    """Return a number that another process with the same pid would not have; None if it is gone."""
    try:
        return os.stat(f"/proc/{pid}").st_ino  # noqa: PTH116 - see above
    except OSError:
        return None


def command_line(pid: int) -> str:
    """Return what a process was started as, for messages; its short name if it hides that."""
    words = read(f"/proc/{pid}/cmdline").rstrip(b"\0").replace(b"\0", b" ")
    words = words or read(f"/proc/{pid}/comm").strip()
    return words[:200].decode(errors="replace")


def reap(pid: int) -> bool | None:
    """Collect a child if it is dead. Never waits.

    Returns:
        Whether it was dead; None if it is no child of ours.
    """
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG) is not None
    except ChildProcessError:
        return None


def end_children(spare: Iterable[int] = (), *, patience: float = 20.0) -> set[int]:
    """Kill and reap the children of this process until there are none.

    For a subreaper or PID 1 these are all descendants in the end: each process whose parent died
    becomes a child. Killing only what the own list shows, at once and again, also outruns
    processes that fork while they are killed; walking down the tree does not. It is done before
    all others, as such processes have the processor for themselves otherwise.

    Args:
        spare: children that are left alone.
        patience: seconds after which it gives up.

    Returns:
        The processes that are still there: they may not be signalled, or do not die.
    """
    with before_all_others():
        return _end_children(frozenset(spare), time.monotonic() + patience)


def _end_children(spared: frozenset[int], deadline: float) -> set[int]:
    forbidden = set[int]()
    quiet_rounds = 0
    # A read of the list can miss a process while others exit: one empty reading proves nothing.
    while quiet_rounds < 2:
        try:
            pids = children_of(os.getpid()) - spared
        except OSError:  # somebody has taken all open files there are
            if time.monotonic() > deadline:
                return set()
            time.sleep(0.01)
            continue
        # The last to come first, as what forks is behind its dead.
        for pid in sorted(pids, reverse=True):
            try:
                os.kill(pid, signal.SIGKILL)
            except PermissionError:
                forbidden.add(pid)
        reaped = {pid for pid in pids if reap(pid)}
        left = pids - reaped
        quiet_rounds = 0 if pids else quiet_rounds + 1
        if left and (left <= forbidden or time.monotonic() > deadline):
            return left
        if left and not reaped:
            time.sleep(0.0005)
    return set()
