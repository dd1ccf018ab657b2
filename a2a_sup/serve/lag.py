"""How long the event loop is held, and a thread that says so while it is.

Trio tells an instrument when the loop looks for events and when it has them. What lies between
the second and the next first is one *turn*: for so long, whatever happens outside waits. Turns are
measured and not sampled, at a microsecond each; a loop with nothing to do has none.

A loop that is held cannot answer anything, not even a probe of ``/livez``: the prober's timeout
is the answer then. What the thread adds is where it is held. Afterwards ``/livez`` goes on to
say so for a while: a prober that waited in line must not be told that all is well.
"""

from __future__ import annotations

import sys
import threading
import time
import traceback
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import trio

from a2a_sup.serve.exposition import Histogram

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Seconds."""
HOLD_LIMIT = 10.0
"""Seconds of a turn after which the loop counts as blocked."""
LOOK_EVERY = 2.5
"""Seconds between two looks of the thread."""
WINDOW = 5.0
"""Seconds: the longest turn is known of this window and of the one before."""
STACK_LIMIT = 20
"""Frames shown: the innermost ones."""


def _logger() -> Any:
    import structlog  # noqa: PLC0415 - heavy, and seldom needed

    return structlog.get_logger()


class LoopLag(trio.abc.Instrument):
    """Measures the turns of the loop it is entered in, a context manager.

    Attributes:
        turns: how long they took, in seconds.
        last: the last turn, in seconds.
    """

    def __init__(
        self,
        limit: float = HOLD_LIMIT,
        *,
        clock: Callable[[], float] = time.perf_counter,
        logger: Callable[[], Any] = _logger,
    ) -> None:
        """Count a turn above ``limit`` seconds as a blocked loop.

        Args:
            limit: seconds.
            clock: returns seconds.
            logger: returns a logger of structlog, in any thread.
        """
        self.turns = Histogram(BUCKETS)
        self.last = 0.0
        self._limit = limit
        self._clock = clock
        self._logger = logger
        self._began: float | None = None
        self._held: tuple[float, float] | None = None
        self._window_ends = 0.0
        self._longest = self._longest_before = 0.0
        self._thread: _Watchdog | None = None

    def after_io_wait(self, timeout: float) -> None:  # noqa: ARG002 - Trio's
        """Begin a turn."""
        self._began = self._clock()

    def before_io_wait(self, timeout: float) -> None:  # noqa: ARG002 - Trio's
        """End a turn."""
        if self._began is None:
            return
        now = self._clock()
        self.last = now - self._began
        self._began = None
        self.turns.observe(self.last)
        if now >= self._window_ends:
            self._begin_window(now)
        self._longest = max(self._longest, self.last)
        if self.last > self._limit:
            self._held = now, self.last

    def _begin_window(self, now: float) -> None:
        is_next = now < self._window_ends + WINDOW
        self._longest_before = self._longest if is_next else 0.0
        self._longest = 0.0
        self._window_ends = now + WINDOW

    def holding(self) -> float:
        """Return the seconds of the present turn, 0 if there is none. For any thread."""
        began = self._began
        return 0.0 if began is None else self._clock() - began

    def longest(self) -> float:
        """Return the longest turn, in seconds, of the last five to ten seconds."""
        now = self._clock()
        if now >= self._window_ends:
            self._begin_window(now)
        return max(self._longest, self._longest_before)

    def held_too_long(self) -> float | None:
        """Return the seconds of a turn above the limit, if one ended less than the limit ago.

        The turn that asks counts too.
        """
        present = self.holding()
        if present > self._limit:
            return present
        if self._held is not None and self._clock() - self._held[0] < self._limit:
            return self._held[1]
        return None

    def __enter__(self) -> Self:
        """Begin to measure, and to watch from a thread. Inside the Trio run."""
        trio.lowlevel.add_instrument(self)
        self._thread = _Watchdog(self, self._limit, threading.get_ident(), self._logger)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop both."""
        trio.lowlevel.remove_instrument(self)
        if self._thread is not None:
            self._thread.end()


class _Watchdog(threading.Thread):
    """Logs where the loop is held, once for each time."""

    def __init__(self, lag: LoopLag, limit: float, watched: int, logger: Callable[[], Any]) -> None:
        super().__init__(name="a2a-sup watchdog", daemon=True)
        self._logger = logger
        self._lag = lag
        self._limit = limit
        self._watched = watched
        self._ended = threading.Event()

    def end(self) -> None:
        self._ended.set()

    def run(self) -> None:
        is_told = False
        while not self._ended.wait(min(LOOK_EVERY, self._limit / 4)):
            held = self._lag.holding()
            if held <= self._limit:
                is_told = False
            elif not is_told:
                is_told = True
                self._logger().error(
                    "loop.blocked", seconds=round(held, 1), stack=stack_of(self._watched)
                )


def stack_of(thread: int) -> str:
    """Return where a thread is, innermost last; empty if it is not there."""
    frame = sys._current_frames().get(thread)
    if frame is None:
        return ""
    return "".join(traceback.format_stack(frame, STACK_LIMIT))
