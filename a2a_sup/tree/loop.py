"""What a supervisor's task does next: go on with its plan, or take the next message, or wait."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import trio

from a2a_sup.tree.mailbox import Mailbox
from a2a_sup.tree.plan import Mover, Plan
from a2a_sup.tree.runner import Incarnation

FENCE_TICKS = 2
"""Scheduler ticks that a fresh start or stop request is given before the next message is taken.

Trio shuffles the tasks that wake in one tick. Without this, two restarts decided one after the
other would acknowledge in either order; a slow start is not waited for.
"""


class Loop:
    """The order of a supervisor's work. It decides nothing about children.

    A request to stop comes before everything; then the plan; then messages, unless the plan is
    exclusive. Only a turn with none of these waits.

    Attributes:
        mail: messages and timers.
        is_over: there is nothing more to do.
    """

    __slots__ = (
        "_fence_left",
        "_fresh",
        "_is_stopping",
        "_mover",
        "_now",
        "_on_cancelled",
        "_on_stop",
        "_plan",
        "_stop_requested",
        "is_over",
        "mail",
    )

    def __init__(
        self,
        mover: Mover,
        now: Callable[[], float],
        on_stop: Callable[[], None],
        on_cancelled: Callable[[], None],
    ) -> None:
        """Work for ``mover``, by the clock ``now``.

        ``on_stop`` is called once, to lay down the plan of its shutdown; ``on_cancelled`` when it
        is cancelled from outside, and has to request a stop.
        """
        self.mail = Mailbox()
        self.is_over = False
        self._mover = mover
        self._now = now
        self._on_stop = on_stop
        self._on_cancelled = on_cancelled
        self._plan: Plan | None = None
        self._fresh: Incarnation | None = None
        self._fence_left = 0
        self._stop_requested = False
        self._is_stopping = False

    async def run(self) -> None:
        """Work until ``is_over``. A cancellation is reported, and not raised."""
        # Shielded from the moment it stops: the stopping itself must not be cancelled.
        with trio.CancelScope() as shield:
            while not self.is_over:
                try:
                    # Ends when a timer is due. A scope for each wait costs more than the wait.
                    with trio.CancelScope() as alarm:
                        while not self.is_over:
                            await self._turn(alarm)
                except trio.Cancelled:
                    shield.shield = True
                    self._on_cancelled()

    def follow(self, plan: Plan) -> None:
        """Carry out ``plan`` from now on, in place of any other."""
        self._plan = plan

    def be_exclusive(self) -> None:
        """Decide nothing else until the plan is over: another plan would replace it.

        One that follows needs stays as it is: it goes on by messages.
        """
        if self._plan is not None and self._plan.needs is None:
            self._plan.is_exclusive = True

    def request_stop(self) -> None:
        """Stop as soon as possible: it replaces whatever is going on."""
        self._stop_requested = True
        self.mail.wake()

    def await_briefly(self, incarnation: Incarnation) -> None:
        """Give a fresh start or stop request its ticks before the next message is taken."""
        self._fresh = incarnation
        self._fence_left = FENCE_TICKS

    def go_on(self) -> None:
        """Decide now about messages that were added, or wake the task to do it.

        The last act of whoever added them, in a task of his own. Decisions never wait, so it is
        the same where they are taken, and to wake the task is a round of Trio's scheduler: it is
        woken only if it has more to do than to take messages.
        """
        while self.mail and self.mail.is_parked and self._plan is None and not self._is_fenced:
            self.mail.handle_next()
        if self.mail or self._plan is not None:
            self.mail.wake()

    def settled(self, incarnation: Incarnation) -> None:
        """Take note that ``incarnation`` acknowledged or ended."""
        if self._plan is not None and self._plan.settled(incarnation):
            self.mail.wake()

    def start_with_boot(self, incarnation: Incarnation) -> None:
        """Let the boot, if it is under way, wait for a child that was started beside its plan."""
        if self._plan is not None and self._plan.purpose == "boot":
            self._plan.waiting.add(incarnation)

    def plan_for(self, incarnation: Incarnation) -> Plan | None:
        """Return the plan if it waits for ``incarnation``."""
        plan = self._plan
        return plan if plan is not None and incarnation in plan.waiting else None

    def blocked_by(self) -> Iterable[Incarnation]:
        """Return those that must settle before the next message is taken."""
        plan = self._plan
        return plan.waiting if plan is not None and plan.is_exclusive else ()

    async def _turn(self, alarm: trio.CancelScope) -> None:
        """Do the next thing that can be done, or wait until there is one."""
        self.mail.run_due(self._now())
        if self._stop_requested and not self._is_stopping:
            self._is_stopping = True
            self._on_stop()
        plan = self._plan
        if plan is not None and plan.advance(self._mover):
            self._plan = None
            plan.done(plan)
        elif plan is not None and plan.is_asking:
            await trio.lowlevel.checkpoint()
        elif not self.mail or (plan is not None and plan.is_exclusive):
            if alarm.deadline != self.mail.next_due:
                alarm.deadline = self.mail.next_due
            await self.mail.park()
        elif self._is_fenced:
            self._fence_left -= 1
            await trio.lowlevel.checkpoint()
        else:
            self.mail.handle_next()

    @property
    def _is_fenced(self) -> bool:
        fresh = self._fresh
        if fresh is None:
            return False
        settled = fresh.is_over or (fresh.is_acknowledged and not fresh.is_asked)
        if settled or self._fence_left == 0:
            self._fresh = None
            return False
        return True
