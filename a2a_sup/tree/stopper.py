"""How a child is stopped: asked, given its grace, cancelled, and found stuck if still there."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from a2a_sup.errors import StartFailed
from a2a_sup.model import events
from a2a_sup.model.reasons import SHUTDOWN, Reason
from a2a_sup.model.states import State
from a2a_sup.tree.runner import Incarnation, stack_of

if TYPE_CHECKING:
    from a2a_sup.tree.roster import Record
    from a2a_sup.tree.supervisor import Supervisor

STUCK_AFTER = 5.0
"""Seconds from the cancellation of a child until it is reported as stuck."""


class Stopper:
    """Stops the children of one supervisor, one call for each. The order is the plan's affair."""

    def __init__(self, supervisor: Supervisor) -> None:
        """Stop the children of ``supervisor``."""
        self._supervisor = supervisor
        self._is_hurried = False

    def stop(self, record: Record) -> Incarnation | None:
        """Ask a child to stop; return the incarnation to wait for, if there is one."""
        incarnation = record.current
        if incarnation is None or incarnation.is_over:
            self.stop_idle(record)
            return None
        if not incarnation.is_asked:
            roster = self._supervisor.roster
            if record.state not in (State.STOPPING, State.STUCK):
                roster.move(record, State.STOPPING, events.ChildStopping)
            if self._is_hurried and record.nested is not None:
                record.nested.hurry()
            is_killed = self._is_hurried and record.nested is None
            shutdown = "brutal_kill" if is_killed else record.spec.shutdown
            gone_by = incarnation.ask(shutdown, roster.now())
            if gone_by < math.inf:
                self.look_if_stuck(incarnation, gone_by + STUCK_AFTER)
            self._supervisor.loop.await_briefly(incarnation)
        return incarnation

    def end_unhealthy(self, incarnation: Incarnation, reason: Reason) -> None:
        """Ask a child to stop, and let its end count as a crash."""
        if incarnation.is_over or incarnation.is_asked or incarnation.condemned is not None:
            return
        roster = self._supervisor.roster
        roster.move(incarnation.record, State.STOPPING, events.ChildStopping)
        gone_by = incarnation.condemn(reason, roster.now())
        if gone_by < math.inf:
            self.look_if_stuck(incarnation, gone_by + STUCK_AFTER)

    def stop_idle(self, record: Record) -> None:
        """Cancel a restart, or take an end that nobody looked at yet."""
        roster = self._supervisor.roster
        was_unread = record.current is not None
        record.current = None
        record.next_attempt_at = None
        record.group = ()
        if was_unread or record.state in (State.BACKING_OFF, State.PENDING):
            roster.move(record, State.STOPPED, events.ChildStopped, SHUTDOWN)
        if record.leaves_at_end:
            roster.forget(record)

    def hurry(self) -> None:
        """Cancel whoever was asked to stop, and from now on ask nobody before."""
        self._is_hurried = True
        roster = self._supervisor.roster
        for record in roster.records.values():
            run = record.current
            if run is None or not run.is_asked:
                continue
            if record.nested is not None:
                record.nested.hurry()
            else:
                run.scope.cancel()
                self.look_if_stuck(run, roster.now() + STUCK_AFTER)

    def look_if_stuck(self, incarnation: Incarnation, when: float) -> None:
        """See at the time ``when`` whether a child that was asked to stop is still there."""
        self._supervisor.mail.at(when, self._on_stuck, incarnation)

    def say_if_held_up(self) -> None:
        """Tell the parent that waits for this supervisor if stuck children are all it waits for.

        Without this the parent, which gives a supervisor all the time it needs, would never stop
        its other children.
        """
        roster = self._supervisor.roster
        run = None if roster.holder is None else roster.holder.current
        if run is None or not run.is_asked or not self._supervisor.is_over:
            return
        if any(record.state is State.STUCK for record in roster.records.values()):
            run.owner.held_up(run)

    def _on_stuck(self, incarnation: Incarnation) -> None:
        record, supervisor = incarnation.record, self._supervisor
        if incarnation.is_over or record.state is State.STUCK:
            return
        supervisor.roster.move(record, State.STUCK, events.ChildStuck, stack_of(incarnation))
        # Whoever waits for the stop is answered by the same words as a later caller.
        for request in (*incarnation.stoppers, *record.deferred):
            request.handler(supervisor, request)
        incarnation.stoppers = ()
        record.deferred = ()
        if incarnation.starter is not None:
            incarnation.starter.fail(StartFailed(record.path, "stopped while it was starting"))
            incarnation.starter = None
        plan = supervisor.loop.plan_for(incarnation)
        if plan is not None:
            plan.gave_up_on(incarnation)
