"""A clock that jumps now and then, as that of a machine that was suspended does.

The system's clock is left alone: it is that of everybody on the machine. What a tree does by the
time of day (``cron``, the spans of log files) is tested elsewhere, with a clock that is given.
"""

from __future__ import annotations

import time

import trio


class JumpingClock(trio.abc.Clock):
    """Runs with the system's monotonic clock, and ahead of it by the sum of its jumps.

    Attributes:
        jumped_at: when it jumped last, in real seconds; minus infinity: never.
    """

    def __init__(self) -> None:
        """Begin at 0."""
        self._begin = time.monotonic()
        self._ahead = 0.0
        self.jumped_at = float("-inf")

    def jump(self, seconds: float) -> None:
        """Go forward at once: everything that was due within ``seconds`` is due now."""
        self._ahead += seconds
        self.jumped_at = self.real_time()

    def real_time(self) -> float:
        """Return seconds that pass as on the wall, without jumps."""
        return time.monotonic() - self._begin

    def start_clock(self) -> None:
        """Do nothing: it runs."""

    def current_time(self) -> float:
        """Return seconds."""
        return self.real_time() + self._ahead

    def deadline_to_sleep_time(self, deadline: float) -> float:
        """Return the real seconds until ``deadline``."""
        return deadline - self.current_time()
