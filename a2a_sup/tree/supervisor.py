"""A supervisor: one nursery, one inbox, and one task that owns all state.

Two kinds of code meet here. *Facts* (an incarnation acknowledged, or ended) are written to the
child's record at once, in the child's own task, so that events are in the true order. *Decisions*
are taken one message at a time and never wait: they change records, create incarnations, ask
incarnations to stop, or lay down a plan for the loop to follow. They are the affair of the
supervisor's task; while it sleeps with nothing else to do, whoever brings a message takes the
decision about it in passing.

The rules are those of OTP's supervisor (stdlib, ``supervisor.erl``); ``docs/concepts.md`` says
what is added to them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from contextvars import Context
from functools import partial
from typing import Any, cast

import trio

from a2a_sup.errors import GaveUp, ShutdownExit, StartFailed, SupervisorEnded
from a2a_sup.model import events
from a2a_sup.model.reasons import SHUTDOWN, Reason, reason_of
from a2a_sup.model.spec import ChildContext, ChildSpec, StopOrder, SupervisorSpec
from a2a_sup.model.states import State
from a2a_sup.tree.bus import Bus
from a2a_sup.tree.calls import ChildRef, Request
from a2a_sup.tree.endings import Endings
from a2a_sup.tree.loop import Loop
from a2a_sup.tree.needs import Waiting
from a2a_sup.tree.plan import Plan
from a2a_sup.tree.probing import Prober
from a2a_sup.tree.restarter import Restarter
from a2a_sup.tree.roster import Record, Roster
from a2a_sup.tree.runner import Incarnation, run
from a2a_sup.tree.stopper import Stopper


class Supervisor:
    """Runs the children of one SupervisorSpec.

    Attributes:
        spec: how to behave.
        path: from the root; empty for the root itself.
        roster: the children.
        loop: what its task does next.
        mail: what its task has to look at.
        verdict: what it raises when it ends; None: nothing.
    """

    def __init__(
        self, spec: SupervisorSpec, path: str, bus: Bus, context: Context, holder: Record | None
    ) -> None:
        """Prepare a supervisor. ``holder`` is the child record that it runs in, if it is nested."""
        self.spec = spec
        self.path = path
        self.roster = Roster(spec, path, bus, holder)
        self._bus = bus
        # Children run in the context that the tree was opened in, not in that of whoever
        # happened to call restart_child.
        self._context = context
        self.loop = Loop(self, bus.now, self._shut_down, self._on_cancelled)
        self.mail = self.loop.mail
        self._restarter = Restarter(self)
        self._stopper = Stopper(self)
        self._endings = Endings(self, self._restarter, self._stopper)
        self.verdict: ShutdownExit | StartFailed | None = None
        self._on_booted: Callable[[], object] = lambda: None
        self._nursery: trio.Nursery

    # --- life -----------------------------------------------------------------------------------

    async def run(self, started: Callable[[], object]) -> None:
        """Boot, serve until asked to stop, stop the children in order.

        Calls ``started`` when all children have started. Cancelling this is a request to stop.

        Raises:
            StartFailed: a child failed while the tree booted.
            GaveUp: a limit was exceeded.
            ShutdownExit: auto_shutdown.
        """
        self._on_booted = started
        try:
            await trio.lowlevel.checkpoint_if_cancelled()
            self._lay_down_boot()
            async with trio.open_nursery() as self._nursery:
                await self._serve()
        finally:
            self._finish()
            reason = SHUTDOWN if self.verdict is None else reason_of(self.verdict)
            self.roster.announce(events.SupervisorEnded, reason)
        await trio.lowlevel.checkpoint_if_cancelled()
        if self.verdict is not None:
            raise self.verdict

    def _lay_down_boot(self) -> None:
        for spec in self.spec.children:
            self.roster.add(spec, spec.name)
        self.loop.follow(
            Plan(
                "boot",
                start=deque(self.roster.records.values()),
                is_exclusive=self.spec.strategy.grouped,
                done=self._booted,
                needs=self._needs,
            )
        )

    @property
    def _needs(self) -> Waiting | None:
        """Who of the children waits for whom; None: nobody for anybody."""
        return None if self.roster.waiting.is_empty else self.roster.waiting

    async def _serve(self) -> None:
        try:
            await self.loop.run()
        except BaseException:
            # Something that is no crash of a child: KeyboardInterrupt, or a mistake in here. The
            # children are shielded, so without this the nursery would wait for them for ever.
            for record in self.roster.records.values():
                if record.current is not None:
                    record.current.scope.cancel()
            raise

    @property
    def is_over(self) -> bool:
        """Whether it takes no more calls."""
        return self.loop.is_over

    def request_stop(self) -> None:
        """Stop the children in order and end. It replaces whatever is going on."""
        self.loop.request_stop()
        self._stopper.say_if_held_up()

    def hurry(self) -> None:
        """Stop without grace: cancel whoever was asked to stop, and ask nobody any more."""
        self._stopper.hurry()
        self.request_stop()

    def _on_cancelled(self) -> None:
        """Stop; without grace if a parent cancelled this: its time to stop is over, or was none.

        Otherwise somebody outside of the tree did, or a KeyboardInterrupt in a child.
        """
        holder = self.roster.holder
        if holder is not None and holder.current is not None and holder.current.scope.cancel_called:
            self.hurry()
        else:
            self.request_stop()

    def send(self, request: Request) -> None:
        """Put a call into the inbox."""
        if self.is_over:
            request.fail(SupervisorEnded(self.path, "the supervisor has ended"))
        else:
            self.mail.add(self.take, request)
            self.loop.go_on()

    def blocked_by(self) -> Iterable[Incarnation]:
        """Return those that must settle before any call can be answered."""
        return self.loop.blocked_by()

    # --- facts: written at once, in the task of the child ---------------------------------------

    def acknowledged(self, incarnation: Incarnation) -> None:
        """Take note of a start."""
        record = incarnation.record
        record.is_provisional = False
        self.roster.move(record, State.RUNNING, events.ChildStarted)
        record.started_at = record.since
        if incarnation.starter is not None:
            incarnation.starter.answer(
                ChildRef(record.path, incarnation.number, value=incarnation.value)
            )
            incarnation.starter = None
        if record.is_unproven and not record.is_watched:
            record.is_watched = True
            self.mail.at(
                record.started_at + record.spec.restart.min_uptime, self._on_uptime, record
            )
        self.look_at_needs(record)
        self.loop.settled(incarnation)

    def interrupted(self, incarnation: Incarnation) -> None:
        """Take the end of everything for a stop of this child, and stop the others in order."""
        self.request_stop()
        record = incarnation.record
        if record.state not in (State.STOPPING, State.STUCK):
            self.roster.move(record, State.STOPPING, events.ChildStopping)
        incarnation.is_asked = True

    def held_up(self, incarnation: Incarnation) -> None:
        """Take note that a nested supervisor has stopped, except for children that are stuck."""
        self._stopper.look_if_stuck(incarnation, self.roster.now())

    def said_ready(self, incarnation: Incarnation) -> None:
        """Take note of readiness."""
        self.roster.note(incarnation.record, events.ChildReady, bool(incarnation.is_ready))
        self.look_at_needs(incarnation.record)

    def reported(self, incarnation: Incarnation, details: Mapping[str, Any]) -> None:
        """Take note of details."""
        self.roster.note(incarnation.record, events.ChildReported, details)

    def asks_to_be_probed(self, incarnation: Incarnation) -> None:
        """Begin to ask a child its probes, in a task beside it."""
        answers = incarnation.record.answers
        if answers is not None:
            incarnation.prober = prober = Prober(incarnation, answers)
            name = f"probes of {incarnation.path}"
            self._context.run(partial(self._nursery.start_soon, prober.run, name=name))

    def probed(self, incarnation: Incarnation, event: type[events.Event], *fields: Any) -> None:
        """Take note of what a probe found."""
        self.roster.note(incarnation.record, event, *fields)

    def found_unhealthy(self, incarnation: Incarnation, reason: Reason) -> None:
        """Decide about a child whose probe fails."""
        # A timer that is due, as those are looked at even while a plan waits for this very child.
        self.mail.at(self.roster.now(), self._on_unhealthy, (incarnation, reason))

    def printed(self, incarnation: Incarnation, stream: str, line: str, left_out: int) -> None:
        """Tell a line that a child printed."""
        self.roster.tell(incarnation.record, events.ChildOutput, stream, line, left_out)

    def ended(self, incarnation: Incarnation, reason: Reason, error: Exception | None) -> None:
        """Take note of an end, of whatever kind."""
        self._endings.ended(incarnation, reason, error)
        self.loop.go_on()

    def look_at_needs(self, record: Record) -> None:
        """Take note that something about a child is new that others may be waiting for."""
        if self.roster.waiting.is_empty:
            return
        self.roster.waiting.remember(record)
        for dependant in self.roster.waiting.dependants(record.name):
            if dependant.state is State.PENDING:
                self.mail.post(self.start_if_met, dependant)

    # --- decisions: taken one at a time, in the task of the supervisor --------------------------

    def take(self, request: Request) -> None:
        """Carry out a call whose turn has come."""
        request.handler(self, request)

    def _on_unhealthy(self, subject: tuple[Incarnation, Reason]) -> None:
        incarnation, reason = subject
        self._stopper.end_unhealthy(incarnation, reason)

    def start_if_met(self, record: Record) -> None:
        """Start a child that waited for others, if they are now what it needs."""
        if record.state is not State.PENDING or record.is_forgotten:
            return
        if self.roster.waiting.unmet(record):
            return
        if record.is_held:
            self.hold(record)
        else:
            self.loop.start_with_boot(self.start(record))

    def give_up(
        self, record: Record, error: Exception | None, intensity: int, period: float
    ) -> None:
        """Stop all children and end: a child needs more restarts than are allowed."""
        text = (
            f"{record.path} needs more than {intensity} restarts in {period:g} s "
            f"({record.last_reason})"
        )
        self.roster.move(record, State.FAILED, events.ChildFailed, record.last_reason or SHUTDOWN)
        verdict = GaveUp(self.path, record.path, text)
        verdict.__cause__ = error
        self.verdict = verdict
        self.roster.announce(events.SupervisorGaveUp, record.path, reason_of(verdict))
        self.loop.request_stop()

    def _booted(self, plan: Plan) -> None:
        if plan.failed is not None:
            self.loop.request_stop()
            return
        self.roster.announce(events.SupervisorStarted)
        self._on_booted()

    def _in_stop_order(self) -> list[Record]:
        records = self.roster.records.values()
        return list(records) if self._needs is None else self._needs.in_order(records)

    def _shut_down(self) -> None:
        stop_order: StopOrder = "parallel" if self.spec.dynamic else self.spec.stop_order
        self.loop.follow(
            Plan(
                "call",
                stop=self._in_stop_order(),
                stop_order=stop_order,
                needs=self._needs if stop_order == "parallel" else None,
                done=lambda _: self._finish(),
            )
        )

    def _finish(self) -> None:
        """Take no more calls and answer those that wait."""
        self.loop.is_over = True
        requests = [subject for subject in self.mail.drain() if isinstance(subject, Request)]
        for record in self.roster.records.values():
            requests.extend(record.deferred)
            record.deferred = ()
        for request in requests:
            request.fail(SupervisorEnded(self.path, "the supervisor has ended"))
        self._stopper.say_if_held_up()

    def _on_uptime(self, record: Record) -> None:
        """See whether a restarted child stayed up; one timer per child, renewed if it did not."""
        record.is_watched = False
        if record.state is not State.RUNNING or record.started_at is None:
            return
        # The same sum as the timer's: a difference, rounded, would be too small by a last digit
        # now and then, and the timer be due again at once, for ever.
        proven_at = record.started_at + record.spec.restart.min_uptime
        if self.roster.now() < proven_at:
            record.is_watched = True
            self.mail.at(proven_at, self._on_uptime, record)
        else:
            record.is_unproven = False
            uptime = self.roster.now() - record.started_at
            self.roster.note(record, events.ChildRecovered, uptime)

    # --- moves ----------------------------------------------------------------------------------

    def follow(self, plan: Plan) -> None:
        """Carry out ``plan`` next."""
        self.loop.follow(plan)

    def next_name(self, spec: ChildSpec) -> str:
        """Return a name for a dynamic child.

        None is used twice, so that a call with the name of an earlier child cannot hit another.
        """
        return f"{spec.name}#{self._bus.next_serial()}"

    def start(self, record: Record, starter: Request | None = None) -> Incarnation:
        """Create an incarnation of a child that has none."""
        record.number += 1
        record.next_attempt_at = None
        incarnation = Incarnation(self, record, starter)
        record.current = incarnation
        self.roster.move(record, State.STARTING, events.ChildStarting)
        self._context.run(self._spawn, incarnation)
        self.loop.await_briefly(incarnation)
        return incarnation

    def stop(self, record: Record) -> Incarnation | None:
        """Ask a child to stop; return the incarnation to wait for, if there is one."""
        return self._stopper.stop(record)

    def hold(self, record: Record) -> None:
        """Leave a child down whose turn to start has come."""
        if record.state in (State.PENDING, State.BACKING_OFF):
            self.roster.move(record, State.STOPPED, events.ChildStopped, SHUTDOWN)

    def update(self, record: Record, spec: ChildSpec) -> None:
        """Give a child a new specification and leave its incarnation alone."""
        has_waited = bool(record.spec.after)
        record.adopt(spec)
        if has_waited:
            self.mail.post(self.start_if_met, record)
        self.roster.note(record, events.ChildUpdated)
        if record.nested is not None and isinstance(spec.run, SupervisorSpec):
            record.nested.adopt(spec.run)

    def adopt(self, spec: SupervisorSpec) -> None:
        """Behave by a new specification from now on; its children are for the next boot."""
        self.spec = spec
        if spec.strategy.grouped:
            self.loop.be_exclusive()
        self.roster.adopt(spec)
        self.roster.announce(events.SupervisorUpdated)

    def _spawn(self, incarnation: Incarnation) -> None:
        record = incarnation.record
        spec = record.spec.run
        body = partial(self._run_nested, spec) if isinstance(spec, SupervisorSpec) else spec
        self._nursery.start_soon(run, incarnation, body, name=record.path)

    async def _run_nested(self, spec: SupervisorSpec, context: ChildContext) -> None:
        incarnation = cast(Incarnation, context)
        record = incarnation.record
        nested = Supervisor(spec, record.path, self._bus, self._context, record)
        incarnation.on_stop(nested.request_stop)
        record.nested = nested
        try:
            await nested.run(incarnation.started)
        finally:
            record.nested = None
            record.touch()
