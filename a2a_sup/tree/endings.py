"""What the end of an incarnation means: a stop, a crash, a start that failed, or that was ignored.

As for everything of a child there are two parts. What happened is written at once, in the child's
own task: ``ended``. What follows from an end that nobody asked for is decided when its turn has
come: ``_on_exit``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from a2a_sup.errors import ShutdownExit, StartFailed
from a2a_sup.model import events
from a2a_sup.model.reasons import Reason
from a2a_sup.model.restarts import RestartType
from a2a_sup.model.states import State
from a2a_sup.model.strategy import shuts_down
from a2a_sup.tree.calls import ChildRef
from a2a_sup.tree.restarter import Restarter
from a2a_sup.tree.runner import IGNORED, Incarnation
from a2a_sup.tree.stopper import Stopper

if TYPE_CHECKING:
    from a2a_sup.tree.supervisor import Supervisor


class Endings:
    """Judges the ends of one supervisor's children."""

    def __init__(self, supervisor: Supervisor, restarter: Restarter, stopper: Stopper) -> None:
        """Judge for ``supervisor``; what follows is done by it and by the other two."""
        self._supervisor = supervisor
        self._roster = supervisor.roster
        self._loop = supervisor.loop
        self._mail = supervisor.mail
        self._restarter = restarter
        self._stopper = stopper

    def ended(self, incarnation: Incarnation, reason: Reason, error: Exception | None) -> None:
        """Take note of an end, of whatever kind."""
        record = incarnation.record
        record.started_at = None
        record.last_reason = reason
        if record.answers is not None:
            record.answers.forget_verdicts()
        if incarnation.is_asked:
            self._ended_as_asked(incarnation, reason)
        elif incarnation.is_acknowledged:
            self._ended_by_itself(incarnation, reason, error)
        elif reason is IGNORED:
            self._ignored(incarnation)
        else:
            self._start_failed(incarnation, reason, error)
        # Calls that came while it was stopped as unhealthy: after the decision about its end.
        for request in record.deferred:
            self._mail.add(self._supervisor.take, request)
        record.deferred = ()
        self._supervisor.look_at_needs(record)
        self._loop.settled(incarnation)

    def _ended_as_asked(self, incarnation: Incarnation, reason: Reason) -> None:
        record = incarnation.record
        record.current = None
        self._roster.move(record, State.STOPPED, events.ChildStopped, reason)
        if incarnation.starter is not None:
            incarnation.starter.fail(StartFailed(record.path, "stopped while it was starting"))
        if record.leaves_at_end or record.is_provisional:
            self._roster.forget(record)
        for request in incarnation.stoppers:
            request.answer()
        self._mail.add_first(self._supervisor.take, record.deferred)
        record.deferred = ()

    def _ended_by_itself(
        self, incarnation: Incarnation, reason: Reason, error: Exception | None
    ) -> None:
        record = incarnation.record
        if record.spec.restart.type.wants_restart(reason):
            state = State.BACKING_OFF
        else:
            state = State.FINISHED if reason.benign else State.FAILED
        incarnation.error = error
        self._roster.move(record, state, events.ChildEnded, reason)
        self._mail.add(self._on_exit, incarnation)

    def _ignored(self, incarnation: Incarnation) -> None:
        record = incarnation.record
        record.current = None
        record.is_provisional = False
        self._roster.move(record, State.STOPPED, events.ChildIgnored)
        if record.leaves_at_end:
            self._roster.forget(record)
        if incarnation.starter is not None:
            incarnation.starter.answer(ChildRef(record.path, incarnation.number, running=False))

    def _start_failed(
        self, incarnation: Incarnation, reason: Reason, error: Exception | None
    ) -> None:
        record = incarnation.record
        record.current = None
        failure = StartFailed(record.path, reason.text)
        failure.__cause__ = error
        plan = self._loop.plan_for(incarnation)
        is_boot = plan is not None and plan.purpose == "boot"
        if plan is not None and not (is_boot and record.is_isolated):
            plan.failed = record
        if incarnation.starter is not None:
            self._roster.move(record, State.FAILED, events.ChildStartFailed, reason)
            if record.is_provisional:
                self._roster.forget(record)
            incarnation.starter.fail(failure)
        elif is_boot and not record.is_isolated:
            self._roster.move(record, State.FAILED, events.ChildStartFailed, reason)
            self._supervisor.verdict = failure
        elif record.spec.restart.type is RestartType.TEMPORARY:
            self._roster.move(record, State.FAILED, events.ChildStartFailed, reason)
            self._roster.forget(record)
        else:
            self._roster.move(record, State.BACKING_OFF, events.ChildStartFailed, reason)
            rest = () if plan is None or is_boot else plan.start
            for member in rest:
                if member.awaits_restart:  # whose end began this, and whose turn did not come
                    self._stopper.stop_idle(member)
            self._mail.add(self._restarter.retry, (record, failure, rest))

    def _on_exit(self, incarnation: Incarnation) -> None:
        record = incarnation.record
        if record.current is not incarnation:
            return  # a stop came first, and took this end with it
        record.current = None
        error, incarnation.error = incarnation.error, None
        if record.state is State.BACKING_OFF:
            self._restarter.restart(record, error)
            return
        if shuts_down(
            self._supervisor.spec.auto_shutdown,
            significant=record.spec.significant,
            others=(
                other.is_present
                for other in self._roster.records.values()
                if other.spec.significant and other is not record
            ),
        ):
            self._roster.announce(events.SupervisorAutoShutdown, record.path)
            self._supervisor.verdict = ShutdownExit(f"auto_shutdown: {record.path} ended")
            self._loop.request_stop()
        if record.leaves_at_end:
            self._roster.forget(record)
