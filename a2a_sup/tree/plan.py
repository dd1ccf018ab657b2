"""A plan: stop these from the end, then start those from the front, one at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, Protocol

import attrs

from a2a_sup.model.spec import StopOrder
from a2a_sup.model.states import State

if TYPE_CHECKING:
    from a2a_sup.tree.calls import Request
    from a2a_sup.tree.needs import Waiting
    from a2a_sup.tree.roster import Record
    from a2a_sup.tree.runner import Incarnation

ASKED_AT_ONCE = 100
"""Children asked to stop in one turn of the loop: all of them wake in its next, before others."""

Purpose = Literal["boot", "restart", "call"]
"""Why a child is started; a failed start means something else in each case."""


class Mover(Protocol):
    """Who carries a plan out: a supervisor."""

    def start(self, record: Record, starter: Request | None = None) -> Incarnation:
        """Create an incarnation of a child that has none."""

    def stop(self, record: Record) -> Incarnation | None:
        """Ask a child to stop; return the incarnation to wait for, if there is one."""

    def hold(self, record: Record) -> None:
        """Leave a child down whose turn to start has come."""


@attrs.define(eq=False)
class Plan:
    """Boot, a group restart, a call under a group strategy, or the shutdown of a supervisor.

    Attributes:
        purpose: why it starts children; what a failed start means.
        stop: still to be stopped, the first one last.
        start: still to be started, in order.
        stop_order: ``parallel``: ask all at once.
        is_exclusive: whether nothing else is decided meanwhile.
        starter: the call that waits for the first start.
        done: called when everything is done, or a start has failed.
        waiting: incarnations that must settle before the next step.
        failed: the child whose start failed: the rest of the plan is void.
        needs: who waits for whom, if anybody does: then children are started, or stopped in
            parallel, as far as that allows. Those in ``start`` that have to wait are started by
            their supervisor when their needs are met.
    """

    purpose: Purpose
    stop: list[Record] = attrs.field(factory=list)
    start: deque[Record] = attrs.field(factory=deque)
    stop_order: StopOrder = "reverse"
    is_exclusive: bool = True
    starter: Request | None = None
    done: Callable[[Plan], None] = lambda _: None
    waiting: set[Incarnation] = attrs.field(factory=set)
    failed: Record | None = None
    needs: Waiting | None = None
    _pending: list[Record] = attrs.field(factory=list, init=False)

    def advance(self, mover: Mover) -> bool:
        """Do what can be done now; return whether the plan is over."""
        if self.needs is not None:
            return self._advance_by_need(mover, self.needs)
        if self.is_asking and self.failed is None:
            for _ in range(min(len(self.stop), ASKED_AT_ONCE)):
                self._stop_next(mover)
            if self.stop:
                return False
        while not self.waiting and self.failed is None:
            if self.stop:
                self._stop_next(mover)
            elif self.start:
                self._start_next(mover)
            else:
                return True
        return self.failed is not None

    @property
    def is_asking(self) -> bool:
        """Whether some are still to be asked to stop without waiting for others to be gone."""
        return bool(self.stop) and self.stop_order == "parallel" and self.needs is None

    def settled(self, incarnation: Incarnation) -> bool:
        """Take note that ``incarnation`` acknowledged or ended; return whether to go on."""
        self.waiting.discard(incarnation)
        return not self.waiting or self.needs is not None

    def gave_up_on(self, incarnation: Incarnation) -> None:
        """Take note that ``incarnation`` is stuck: go on stopping, but never start beside it."""
        if not self.start:
            self.waiting.discard(incarnation)

    def _advance_by_need(self, mover: Mover, needs: Waiting) -> bool:
        self._stop_unneeded(mover, needs)
        if self.stop:
            return False
        while self.start and self.failed is None:
            record = self.start.popleft()
            if needs.unmet(record):
                self._pending.append(record)
            else:
                self._start(record, mover)
        is_over = not self.waiting and not needs.is_hopeful(self._pending)
        return is_over or self.failed is not None

    def _stop_unneeded(self, mover: Mover, needs: Waiting) -> None:
        """Stop those whom nobody needs any more who is still there."""
        there = {record.name for record in self.stop}
        there |= {incarnation.record.name for incarnation in self.waiting}
        for record in reversed(self.stop):
            if not any(other.name in there for other in needs.dependants(record.name)):
                self.stop.remove(record)
                self._stop(record, mover)

    def _stop_next(self, mover: Mover) -> None:
        self._stop(self.stop.pop(), mover)

    def _stop(self, record: Record, mover: Mover) -> None:
        is_given_up = record.state is State.STUCK and not self.start
        incarnation = mover.stop(record)
        if incarnation is not None and not is_given_up:
            self.waiting.add(incarnation)

    def _start_next(self, mover: Mover) -> None:
        self._start(self.start.popleft(), mover)

    def _start(self, record: Record, mover: Mover) -> None:
        if record.is_forgotten or record.current is not None:
            return
        if self.purpose == "boot" and record.state is not State.PENDING:
            return
        starter, self.starter = self.starter, None
        if starter is None and record.is_held:
            mover.hold(record)
            return
        self.waiting.add(mover.start(record, starter))
