"""The signals that a running supervisor heeds."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

STOP = frozenset({signal.SIGTERM, signal.SIGINT})
HEEDED = STOP | {signal.SIGHUP}


@contextmanager
def held_back() -> Iterator[None]:
    """Let them wait until they are heeded, or the block ends.

    What comes while the program is loaded is neither its death nor a traceback. PID 1 would lose
    it: the kernel drops what init has no handler for.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, HEEDED)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def let_through() -> None:
    """Deliver those that wait, and all others from now on."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, HEEDED)
