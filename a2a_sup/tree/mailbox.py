"""What a supervisor's task waits for: messages, timers, and being woken."""

from __future__ import annotations

import heapq
import itertools
import math
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

import trio

Handler = Callable[[Any], None]


class Mailbox:
    """The inbox and the timers of one task.

    A timer is never cancelled: its handler looks whether the reason for it still holds.
    """

    __slots__ = ("_inbox", "_order", "_parked", "_timers")

    def __init__(self) -> None:
        """Begin empty."""
        self._inbox: deque[tuple[Handler, Any]] = deque()
        self._timers: list[tuple[float, int, Handler, Any]] = []
        self._order = itertools.count()
        self._parked: trio.lowlevel.Task | None = None

    def __bool__(self) -> bool:
        """Return whether there is a message to take."""
        return bool(self._inbox)

    @property
    def is_parked(self) -> bool:
        """Whether the task waits to be woken."""
        return self._parked is not None

    def add(self, handler: Handler, subject: Any) -> None:
        """Put a message at the end."""
        self._inbox.append((handler, subject))

    def add_first(self, handler: Handler, subjects: Iterable[Any]) -> None:
        """Put messages before all others, keeping their order."""
        self._inbox.extendleft((handler, subject) for subject in reversed([*subjects]))

    def post(self, handler: Handler, subject: Any) -> None:
        """Put a message at the end, and wake the task."""
        self._inbox.append((handler, subject))
        self.wake()

    def handle_next(self) -> None:
        """Take the first message and handle it."""
        handler, subject = self._inbox.popleft()
        handler(subject)

    def drain(self) -> list[Any]:
        """Take all messages and return their subjects."""
        subjects = [subject for _, subject in self._inbox]
        self._inbox.clear()
        return subjects

    def at(self, when: float, handler: Handler, subject: Any) -> None:
        """Call ``handler(subject)`` at the time ``when``, in seconds of Trio's clock."""
        if when < self.next_due:
            self.wake()  # to wait less long
        heapq.heappush(self._timers, (when, next(self._order), handler, subject))

    @property
    def next_due(self) -> float:
        """The time of the earliest timer; infinity if there is none."""
        return self._timers[0][0] if self._timers else math.inf

    def run_due(self, now: float) -> None:
        """Call the handler of every timer whose time has come."""
        timers = self._timers
        while timers and timers[0][0] <= now:
            _, _, handler, subject = heapq.heappop(timers)
            handler(subject)

    def wake(self) -> None:
        """Let the task go on if it is parked."""
        task, self._parked = self._parked, None
        if task is not None:
            trio.lowlevel.reschedule(task)

    async def park(self) -> None:
        """Wait until woken. Raises Cancelled as any wait does."""
        self._parked = trio.lowlevel.current_task()
        await trio.lowlevel.wait_task_rescheduled(self._abort)

    def _abort(self, _: Any) -> trio.lowlevel.Abort:
        self._parked = None
        return trio.lowlevel.Abort.SUCCEEDED
