"""The guardian: a small parent that outlives the supervisor only to clear up behind it.

A supervisor that is killed with SIGKILL can do nothing any more, and its children would live on. So
``a2a-sup run`` is two processes. The first becomes the guardian: it passes signals on to the
second, which is the supervisor, and when that has ended, in whatever way, it kills all that is left
below and ends in the same way. Orphans come to it because it is a subreaper. If the guardian is
killed, the kernel sends SIGTERM to the supervisor.

PID 1 needs none: with it the kernel ends the whole pid namespace.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Collection
from pathlib import Path
from typing import NoReturn

from a2a_sup.children import linux

FORWARDED = frozenset(
    {signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2}
)
WATCHED = FORWARDED | {signal.SIGCHLD}
EX_SOFTWARE = 70
"""Exit status when processes are left that cannot be killed, and all else went well."""


def guard(main: Callable[[], int]) -> int:
    """Run ``main`` as the supervisor, under a guardian unless this process is PID 1.

    To be called while the program has one thread, and before it sets handlers for signals.

    Args:
        main: runs the supervisor and returns its exit status.

    Returns:
        The exit status, in the supervisor's process. The process that called becomes the guardian
        and ends as the supervisor does, so that whoever waits for it is told.

    Raises:
        RuntimeError: /proc shows another pid namespace: no number read there could be trusted.
        OSError: the kernel refused.
    """
    if not linux.own_proc_is_mounted():
        raise RuntimeError("/proc does not show this pid namespace: mount its own /proc first")
    # Whoever started us may have left it ignored, and then nobody's status can be waited for.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    if os.getpid() == 1:
        return main()
    linux.become_subreaper()
    # What a shell that became us by exec had started before is none of our business.
    earlier = linux.children_of(os.getpid())
    before = signal.pthread_sigmask(signal.SIG_BLOCK, WATCHED)
    guardian = os.getpid()
    supervisor = os.fork()
    if supervisor:
        _become_guardian(supervisor, earlier)
    # One kill of the job, or Ctrl-\\, must not end both at once: nobody would be left to clear up.
    os.setpgid(0, 0)
    linux.ask_for_signal_at_parents_death(signal.SIGTERM)
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    if os.getppid() != guardian:
        return 128 + signal.SIGKILL
    linux.become_subreaper()
    try:
        return main()
    finally:
        # Here too, because the guardian may have been killed.
        linux.end_children()


def _become_guardian(supervisor: int, earlier: Collection[int]) -> NoReturn:
    """Put a fresh interpreter, a few megabytes small, in this process's place.

    It stays the parent and the subreaper, and keeps signals blocked that arrive meanwhile.
    """
    program = Path(__file__).with_name("guardian_program.py")
    words = [sys.executable, "-I", "-S", str(program), str(supervisor), *map(str, earlier)]
    os.execv(words[0], words)  # noqa: S606 - no shell is wanted


def outlive(supervisor: int, earlier: Collection[int]) -> int:
    """Be the guardian of a child process until it and all below have ended.

    Args:
        supervisor: the child, forked with ``WATCHED`` blocked.
        earlier: other children, which are left alone.

    Returns:
        The exit status to end with, unless the supervisor was ended by a signal: then that
        signal ends this process too.
    """
    status = _wait_forwarding(supervisor)
    left = linux.end_children(earlier)
    for pid in sorted(left):
        print(f"a2a-sup: cannot kill {pid}: {linux.command_line(pid)}", file=sys.stderr)
    if status < 0:
        if status != -signal.SIGKILL:
            signal.signal(-status, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, WATCHED)
        os.kill(os.getpid(), -status)
    return status or (EX_SOFTWARE if left else 0)


def _wait_forwarding(supervisor: int) -> int:
    """Pass signals on until the supervisor has ended; return its status as subprocess does."""
    while True:
        info = signal.sigwaitinfo(WATCHED)
        if info.si_signo == signal.SIGCHLD:
            pid, status = os.waitpid(supervisor, os.WNOHANG)
            if pid:
                return os.waitstatus_to_exitcode(status)
        else:
            os.kill(supervisor, info.si_signo)
