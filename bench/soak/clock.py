"""A clock that jumps now and then, as that of a machine that was suspended does."""

from __future__ import annotations

import time

import trio


class JumpingClock(trio.abc.Clock):
    """Runs with the system's monotonic clock, and ahead of it by the sum of its jumps."""

    def __init__(self) -> None:
        """Begin at 0."""
        self._begin = time.monotonic()
        self._ahead = 0.0

    def jump(self, seconds: float) -> None:
        """Go forward at once: everything that was due within ``seconds`` is due now."""
        self._ahead += seconds

    def start_clock(self) -> None:
        """Do nothing: it runs."""

    def current_time(self) -> float:
        """Return seconds."""
        return time.monotonic() - self._begin + self._ahead

    def deadline_to_sleep_time(self, deadline: float) -> float:
        """Return the real seconds until ``deadline``."""
        return deadline - self.current_time()
