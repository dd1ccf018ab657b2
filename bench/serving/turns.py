"""How long the turns of Trio's loop are."""

from __future__ import annotations

import time

import trio


class Turns(trio.abc.Instrument):
    """Notes the longest turn of the loop, and the most CPU of one, in seconds."""

    def __init__(self) -> None:
        """Begin with none."""
        self.longest = self.most = 0.0
        self._began, self._worked = time.perf_counter(), time.thread_time()

    def reset(self) -> None:
        """Forget what was."""
        self.longest = self.most = 0.0

    def after_io_wait(self, timeout: float) -> None:  # noqa: ARG002 - Trio's
        """Begin a turn."""
        self._began, self._worked = time.perf_counter(), time.thread_time()

    def before_io_wait(self, timeout: float) -> None:  # noqa: ARG002 - Trio's
        """End a turn."""
        self.longest = max(self.longest, time.perf_counter() - self._began)
        self.most = max(self.most, time.thread_time() - self._worked)
