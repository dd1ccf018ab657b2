"""When a child is started again, and with whom, and when that is too often."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from a2a_sup.errors import StartFailed
from a2a_sup.model import events
from a2a_sup.model.reasons import SHUTDOWN
from a2a_sup.model.restarts import Window
from a2a_sup.model.states import State
from a2a_sup.model.strategy import members
from a2a_sup.tree.plan import Plan

if TYPE_CHECKING:
    from a2a_sup.tree.roster import Record
    from a2a_sup.tree.supervisor import Supervisor


class Restarter:
    """The restarts of one supervisor's children.

    Each restart is counted in the child's own window and in that of the supervisor, and then
    made: at once, or when the child has backed off. Under a group strategy the group is stopped
    at once, and started together with the child.
    """

    def __init__(self, supervisor: Supervisor) -> None:
        """Count for ``supervisor``, from zero."""
        self._supervisor = supervisor
        self._window = Window()

    def restart(self, record: Record, error: Exception | None) -> None:
        """Count a restart, and start the child now, or later, or give up."""
        supervisor, roster = self._supervisor, self._supervisor.roster
        now = roster.now()
        policy = record.spec.restart
        if record.window is None:
            record.window = Window()
        earlier = record.window.count(now, policy.period)
        if policy.intensity is not None and earlier >= policy.intensity:
            self._exhausted(record, error)
            return
        record.window.add(now)
        limit, period = supervisor.spec.intensity, supervisor.spec.period
        if limit is not None:
            if self._window.count(now, period) >= limit:
                supervisor.give_up(record, error, limit, period)
                return
            self._window.add(now)
        record.restarts += 1
        record.is_unproven = True
        delay = policy.backoff.delay(earlier)
        if not delay:
            self._attempt(record)
            return
        record.next_attempt_at = when = now + delay
        roster.note(record, events.ChildBackingOff, delay, earlier + 1)
        supervisor.mail.at(when, self._backed_off, (record, when))
        if supervisor.spec.strategy.grouped:
            others = self._others(record)
            record.group = tuple(others)
            supervisor.follow(Plan("restart", stop=others))

    def retry(self, subject: tuple[Record, StartFailed, Iterable[Record]]) -> None:
        """Restart a child whose restart failed; ``rest``: those who were to start after it."""
        record, failure, others = subject
        rest = deque(others)
        if not record.awaits_restart or record.next_attempt_at is not None:
            return
        self.restart(record, failure)
        # Without a rest there is nothing to follow, and a boot may be under way.
        if rest and record.state is State.FAILED and record.is_isolated:
            self._supervisor.follow(Plan("restart", start=rest))

    def _backed_off(self, subject: tuple[Record, float]) -> None:
        record, when = subject
        if record.next_attempt_at == when:
            self._supervisor.mail.post(self._attempt, record)

    def _attempt(self, record: Record) -> None:
        """Start a child, and with it its group."""
        if not record.awaits_restart:
            return
        record.next_attempt_at = None
        stopped_with_it, record.group = record.group, ()
        supervisor = self._supervisor
        if supervisor.spec.strategy.grouped:
            group = deque(self._group(record))
            supervisor.follow(Plan("restart", stop=self._others(record), start=group))
        else:
            supervisor.start(record)
            # There are some only if an update has dissolved the group meanwhile.
            for member in stopped_with_it:
                if member.state is State.STOPPED and not (member.is_forgotten or member.is_held):
                    supervisor.start(member)

    def _group(self, record: Record) -> Sequence[Record]:
        supervisor = self._supervisor
        return members(supervisor.spec.strategy, [*supervisor.roster.records.values()], record)

    def _others(self, record: Record) -> list[Record]:
        return [member for member in self._group(record) if member is not record]

    def _exhausted(self, record: Record, error: Exception | None) -> None:
        supervisor, policy = self._supervisor, record.spec.restart
        if not record.is_isolated:
            supervisor.give_up(record, error, policy.intensity or 0, policy.period)
            return
        reason = record.last_reason or SHUTDOWN
        supervisor.roster.move(record, State.FAILED, events.ChildFailed, reason)
        if supervisor.spec.dynamic:
            supervisor.roster.forget(record)
