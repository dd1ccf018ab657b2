"""One incarnation of a child: its cancel scope, its start acknowledgment, its verdict.

Here is the only ``except Exception`` around user code. A child's exception never reaches a
nursery: there it would cancel the siblings, and Trio would render it inside its own core.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

import attrs
import trio

from a2a_sup.errors import IgnoreStart
from a2a_sup.model.events import Event
from a2a_sup.model.reasons import NORMAL, SHUTDOWN, Reason, ReasonKind, reason_of
from a2a_sup.model.spec import ChildFunction, ChildSpec, Shutdown, StopRequest

if TYPE_CHECKING:
    from a2a_sup.tree.calls import Request
    from a2a_sup.tree.probing import Prober
    from a2a_sup.tree.roster import Record

NO_DETAILS: Mapping[str, Any] = MappingProxyType({})

IGNORED = Reason(ReasonKind.NORMAL, "ignored")
"""The verdict of a child that raised IgnoreStart before it acknowledged."""


class Owner(Protocol):
    """Who is told the facts about an incarnation, in the child's own task: its supervisor."""

    def acknowledged(self, incarnation: Incarnation) -> None:
        """The start was acknowledged."""

    def ended(self, incarnation: Incarnation, reason: Reason, error: Exception | None) -> None:
        """The function is over, for whatever reason."""

    def interrupted(self, incarnation: Incarnation) -> None:
        """Something that is no crash, such as KeyboardInterrupt, ends the function and the tree."""

    def held_up(self, incarnation: Incarnation) -> None:
        """Nothing but stuck descendants keeps the nested supervisor that it runs from ending."""

    def said_ready(self, incarnation: Incarnation) -> None:
        """The child said whether it is ready."""

    def reported(self, incarnation: Incarnation, details: Mapping[str, Any]) -> None:
        """The child reported details."""

    def asks_to_be_probed(self, incarnation: Incarnation) -> None:
        """The child said that it has started, and has probes."""

    def probed(self, incarnation: Incarnation, event: type[Event], *fields: Any) -> None:
        """A probe of the child has news."""

    def found_unhealthy(self, incarnation: Incarnation, reason: Reason) -> None:
        """The child has to be stopped and restarted: a probe fails."""

    def request_stop(self) -> None:
        """The tree has to stop: a check was interrupted."""

    def printed(self, incarnation: Incarnation, stream: str, line: str, left_out: int) -> None:
        """The child printed a line that is to be told."""


class Incarnation:
    """One run of a child. To the child itself it is the ``task_status`` (a ChildContext).

    Attributes:
        owner: the supervisor it belongs to.
        record: the child it is a run of.
        number: 1 for the first start of the child.
        scope: cancels it; shielded, because only its supervisor ends a child.
        is_acknowledged: whether its start was acknowledged.
        condemned: why it is stopped although nobody asked for that: it is unhealthy.
        is_asked: whether its supervisor asked it to stop: then no end of it is a crash.
        is_over: whether its function ended.
        details: what it reported.
        error: what it raised, kept only until its supervisor decided.
        prober: asks it its probes, if it has any.
        starter: the call that waits for its start.
        stoppers: the calls that wait for its end.
        task: the task it runs in, to show its stack if it gets stuck.
    """

    __slots__ = (
        "_on_stop",
        "_probed_ready",
        "_says_ready",
        "_says_started",
        "_stop_request",
        "condemned",
        "details",
        "error",
        "is_acknowledged",
        "is_asked",
        "is_over",
        "number",
        "owner",
        "prober",
        "record",
        "scope",
        "starter",
        "stoppers",
        "task",
        "value",
    )

    def __init__(
        self,
        owner: Owner,
        record: Record,
        starter: Request | None,
    ) -> None:
        """Prepare a run of the child ``record``."""
        self.owner = owner
        self.record = record
        self.number = record.number
        self.scope = trio.CancelScope(shield=True)
        self.is_acknowledged = False
        self.condemned: Reason | None = None
        self.is_asked = False
        self.is_over = False
        self.details: Mapping[str, Any] = NO_DETAILS
        self.error: Exception | None = None
        self.starter = starter
        self.stoppers: tuple[Request, ...] = ()
        self.task: trio.lowlevel.Task | None = None
        self.value: object = None
        self.prober: Prober | None = None
        self._says_started = False
        self._says_ready: bool | None = None
        # With probes that ask for it, it is not ready until they say so.
        probes = record.spec.probes
        self._probed_ready = False if probes and record.spec.is_probed_for_readiness else None
        self._on_stop: Callable[[], object] | None = None
        self._stop_request: trio.Event | None = None

    # --- what the child sees (ChildContext) -------------------------------------------------------

    @property
    def path(self) -> str:
        """The child's path from the root."""
        return self.record.path

    @property
    def spec(self) -> ChildSpec:
        """The child's specification as it is now."""
        return self.record.spec

    def started(self, value: object = None) -> None:
        """Acknowledge the start. Raises RuntimeError the second time."""
        if self._says_started:
            raise RuntimeError("started() was called twice for one start")
        self._says_started = True
        self.value = value
        self._ask_probes()
        if self.is_ready or not self.record.spec.wait_ready:
            self._acknowledge()

    def ready(self, *, is_ready: bool = True) -> None:
        """Say whether the child can serve."""
        was_ready, self._says_ready = self.is_ready, is_ready
        self._tell_readiness(was_ready=was_ready)

    def report(self, **details: Any) -> None:
        """Show details in snapshots, beside those reported before."""
        if not self.is_over:
            self.details = {**self.details, **details}
            self.owner.reported(self, details)

    def printed(self, stream: str, line: str, left_out: int) -> None:
        """Tell a line that was printed as an event."""
        if not self.is_over:
            self.owner.printed(self, stream, line, left_out)

    def stop_request(self) -> StopRequest:
        """Return the event of the polite request, and promise to heed it."""
        if self._stop_request is None:
            self._stop_request = trio.Event()
            if self.is_asked:  # and cancelled already: it came too late to be asked
                self._stop_request.set()
            else:
                self.on_stop(self._stop_request.set)
        return self._stop_request

    # --- what its supervisor does -----------------------------------------------------------------

    @property
    def is_ready(self) -> bool | None:
        """Whether it can serve: by its own word and its probes; None: neither says anything."""
        words = (self._says_ready, self._probed_ready)
        if False in words:
            return False
        return True if True in words else None

    def probed_ready(self, *, is_ready: bool) -> None:
        """Take the word of the readiness probes."""
        was_ready, self._probed_ready = self.is_ready, is_ready
        self._tell_readiness(was_ready=was_ready)

    def tell(self, event: type[Event], *fields: Any) -> None:
        """Tell what its probes say."""
        if not self.is_over:
            self.owner.probed(self, event, *fields)

    def renew_probes(self) -> None:
        """Ask it the probes that its specification has now, in place of those it had."""
        self.stop_probing()
        was_ready = self.is_ready
        if not self.record.spec.is_probed_for_readiness:
            self._probed_ready = None
        elif self._probed_ready is None:
            self._probed_ready = False
        self._tell_readiness(was_ready=was_ready)
        self._ask_probes()

    def renew_start(self) -> None:
        """Wait for its readiness no longer if its specification does not ask for that now."""
        if self._says_started and not self.is_acknowledged and not self.record.spec.wait_ready:
            self._acknowledge()

    def stop_probing(self) -> None:
        """Ask it nothing more."""
        if self.prober is not None:
            self.prober.stop()
            self.prober = None

    def on_stop(self, action: Callable[[], object]) -> None:
        """Have the polite request call ``action`` instead of cancelling at once."""
        self._on_stop = action

    @property
    def heeds_requests(self) -> bool:
        """Whether it wants to be asked before it is cancelled."""
        return self._on_stop is not None

    def ask(self, shutdown: Shutdown, now: float) -> float:
        """Ask it to stop; return when it must be gone (infinity: it has all the time)."""
        # Who is condemned has its grace already, and gets no other.
        latest = math.inf if self.condemned is None else self.scope.deadline
        self.is_asked = True
        return self._request_stop(shutdown, now, latest)

    def condemn(self, reason: Reason, now: float) -> float:
        """Ask it to stop because of ``reason``, which is its end; return when it must be gone."""
        self.condemned = reason
        return self._request_stop(self.record.spec.shutdown, now, math.inf)

    def _request_stop(self, shutdown: Shutdown, now: float, latest: float) -> float:
        self.stop_probing()
        if self._on_stop is None or shutdown == "brutal_kill":
            self.scope.cancel()
            return now
        self._on_stop()
        gone_by = latest if isinstance(shutdown, str) else min(latest, now + shutdown)
        self.scope.deadline = gone_by
        return gone_by

    @property
    def is_late(self) -> bool:
        """Whether its time to start is over and it has not acknowledged."""
        timeout = self.record.spec.start_timeout
        return timeout is not None and not self.is_acknowledged and self.scope.cancel_called

    def _ask_probes(self) -> None:
        is_doomed = self.is_over or self.is_asked or self.condemned is not None or self.is_late
        if self._says_started and self.record.spec.probes and not is_doomed:
            self.owner.asks_to_be_probed(self)

    def _acknowledge(self) -> None:
        is_doomed = self.is_late or self.condemned is not None
        if self.is_over or (is_doomed and not self.is_asked):
            return
        self.is_acknowledged = True
        if not self.is_asked:
            if self.scope.deadline != math.inf:  # to set it costs more than to look
                self.scope.deadline = math.inf
            self.owner.acknowledged(self)

    def _tell_readiness(self, *, was_ready: bool | None) -> None:
        is_ready = self.is_ready
        if self.is_over or is_ready == was_ready:
            return
        self.owner.said_ready(self)
        if is_ready and self._says_started and not self.is_acknowledged:
            self._acknowledge()


async def run(incarnation: Incarnation, body: ChildFunction) -> None:
    """Run one incarnation to its end and tell its owner how it ended. Raises no Exception."""
    incarnation.task = trio.lowlevel.current_task()
    timeout = incarnation.record.spec.start_timeout
    if timeout is not None:
        incarnation.scope.deadline = trio.current_time() + timeout
    error: Exception | None = None
    try:
        with incarnation.scope:
            await body(incarnation)
    except Exception as exc:  # noqa: BLE001 - whatever user code raises is its crash
        error = exc
    except BaseException:
        # KeyboardInterrupt and SystemExit are no crash of a child: they end the whole tree.
        incarnation.owner.interrupted(incarnation)
        raise
    finally:
        incarnation.is_over = True
        incarnation.stop_probing()
        incarnation.task = None
        incarnation.owner.ended(incarnation, verdict(incarnation, error), error)


def verdict(incarnation: Incarnation, error: Exception | None) -> Reason:
    """Return why ``incarnation`` ended. ``error`` is what left its function, if anything."""
    if incarnation.is_asked:
        return _stopped_verdict(incarnation, error)
    if incarnation.condemned is not None:
        return _condemned_verdict(incarnation, incarnation.condemned)
    if incarnation.is_acknowledged:
        return NORMAL if error is None else reason_of(error)
    return _unstarted_verdict(incarnation, error)


def _condemned_verdict(incarnation: Incarnation, reason: Reason) -> Reason:
    if incarnation.is_acknowledged:
        return reason
    return attrs.evolve(reason, kind=ReasonKind.START_FAILED)


def _unstarted_verdict(incarnation: Incarnation, error: Exception | None) -> Reason:
    if isinstance(error, IgnoreStart):
        return IGNORED
    if error is not None:
        return attrs.evolve(reason_of(error), kind=ReasonKind.START_FAILED)
    if incarnation.is_late:
        timeout = incarnation.record.spec.start_timeout
        return Reason(ReasonKind.START_FAILED, f"not started within {timeout:g} s")
    return Reason(ReasonKind.START_FAILED, "ended without calling task_status.started()")


def _stopped_verdict(incarnation: Incarnation, error: Exception | None) -> Reason:
    """Return how a child took its stop. This is reported, never acted on."""
    if error is not None:
        return reason_of(error)
    if not incarnation.scope.cancelled_caught:
        return SHUTDOWN
    if incarnation.record.spec.shutdown == "brutal_kill":
        return Reason(ReasonKind.KILLED, "killed without a request")
    if incarnation.heeds_requests:
        return Reason(ReasonKind.KILLED, "did not stop in its time")
    return SHUTDOWN


def stack_of(incarnation: Incarnation) -> str:
    """Return where the task of ``incarnation`` waits, outermost first, as text."""
    if incarnation.task is None:
        return ""
    lines = [
        f"{frame.f_code.co_filename}:{line} in {frame.f_code.co_qualname}"
        for frame, line in incarnation.task.iter_await_frames()
    ]
    return "\n".join(lines)
