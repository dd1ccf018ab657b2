"""How many files may be open: here as many as is allowed, in what is started as many as before.

A supervisor holds two for each process, and the usual limit of 1,024 would be the end at 500. But a
program that was not written for more may go wrong with it: select(2) knows numbers below 1,024, and
some close all that they may have when they start.
"""

from __future__ import annotations

import resource
from contextlib import suppress

_FILES = resource.RLIMIT_NOFILE
_before: list[tuple[int, int]] = []


def allow_many() -> None:
    """Let this process open as many files as its hard limit says, if the kernel agrees."""
    soft, hard = resource.getrlimit(_FILES)
    with suppress(OSError, ValueError):
        resource.setrlimit(_FILES, (hard, hard))
        _before[:] = [(soft, hard)]


def as_before(pid: int) -> None:
    """Give a process that was just made the limit that this one had before ``allow_many``.

    It is on its way to its own first step then, or has run for microseconds. A program that took
    other rights at its start may not be told any more, and keeps the higher limit.
    """
    for limit in _before:
        with suppress(ProcessLookupError, PermissionError):
            resource.prlimit(pid, _FILES, limit)
