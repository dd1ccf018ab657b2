"""What happened: one frozen class per event, in a total order over the whole tree.

Each event has a sequence number without gaps, the path of the child (empty for the root), the
incarnation it is about, and a time on Trio's clock (seconds, see ``TreeHandle.wall_time``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import attrs

from a2a_sup.model.health import ProbeResult
from a2a_sup.model.reasons import Reason


@attrs.frozen
class Event:
    """The base of all events.

    Attributes:
        seq: 1, 2, 3, ...: the place in the tree's total order.
        time: seconds on Trio's clock.
        path: the child's path; empty for the root.
        incarnation: which start of the child this is about; 0 before the first.
    """

    type: ClassVar[str] = "event"

    seq: int
    time: float
    path: str
    incarnation: int


@attrs.frozen
class ChildAdded(Event):
    """A child is new in the list: before its sibling of the name ``before``, or at the end."""

    type: ClassVar[str] = "child.added"
    before: str | None = None


@attrs.frozen
class ChildRemoved(Event):
    """The child was forgotten: deleted, or temporary, or dynamic and ended."""

    type: ClassVar[str] = "child.removed"


@attrs.frozen
class ChildStarting(Event):
    """A new incarnation was created; its function begins to run."""

    type: ClassVar[str] = "child.starting"


@attrs.frozen
class ChildStarted(Event):
    """The incarnation acknowledged its start."""

    type: ClassVar[str] = "child.started"


@attrs.frozen
class ChildIgnored(Event):
    """The child raised ``IgnoreStart``: it is not run, and that is no mistake."""

    type: ClassVar[str] = "child.ignored"


@attrs.frozen
class ChildStartFailed(Event):
    """The incarnation ended before it acknowledged its start."""

    type: ClassVar[str] = "child.start_failed"
    reason: Reason


@attrs.frozen
class ChildReady(Event):
    """The child said whether it can serve."""

    type: ClassVar[str] = "child.ready"
    ready: bool


@attrs.frozen
class ChildProbed(Event):
    """A probe of the child has its answer: see :class:`ProbeResult`."""

    type: ClassVar[str] = "child.probed"
    probe: str
    purpose: str
    result: ProbeResult


@attrs.frozen
class ChildHealth(Event):
    """The child became healthy or unhealthy. ``because`` is the probe and what it said."""

    type: ClassVar[str] = "child.health"
    healthy: bool
    because: str


@attrs.frozen
class ChildReported(Event):
    """The child reported details about itself, such as its pid."""

    type: ClassVar[str] = "child.reported"
    details: Mapping[str, Any]


@attrs.frozen
class ChildWaiting(Event):
    """What a pending child waits for is different: ``waits_for``, as in its snapshot."""

    type: ClassVar[str] = "child.waiting"
    waits_for: tuple[str, ...]


@attrs.frozen
class ChildUpdated(Event):
    """The child has a new specification; its incarnation was left alone."""

    type: ClassVar[str] = "child.updated"


@attrs.frozen
class ChildOutput(Event):
    """The child printed ``line``, and before it ``left_out`` lines that are not told.

    Only of children whose configuration asks for it. ``stream`` is ``output``, or ``stdout`` or
    ``stderr`` where they are told apart.
    """

    type: ClassVar[str] = "child.output"
    stream: str
    line: str
    left_out: int


@attrs.frozen
class ChildRecovered(Event):
    """A restarted incarnation stayed up: it has been running for ``uptime`` seconds."""

    type: ClassVar[str] = "child.recovered"
    uptime: float


@attrs.frozen
class ChildEnded(Event):
    """The incarnation ended by itself."""

    type: ClassVar[str] = "child.ended"
    reason: Reason


@attrs.frozen
class ChildBackingOff(Event):
    """The child will be started again after ``delay`` seconds.

    ``restarts`` is how many restarts of it the window holds, this one included.
    """

    type: ClassVar[str] = "child.backing_off"
    delay: float
    restarts: int


@attrs.frozen
class ChildFailed(Event):
    """The supervisor will not try again: the child's budget is exhausted."""

    type: ClassVar[str] = "child.failed"
    reason: Reason


@attrs.frozen
class ChildStopping(Event):
    """The supervisor asked the incarnation to stop."""

    type: ClassVar[str] = "child.stopping"


@attrs.frozen
class ChildStopped(Event):
    """The child is down because its supervisor stopped it, or cancelled its restart."""

    type: ClassVar[str] = "child.stopped"
    reason: Reason


@attrs.frozen
class ChildStuck(Event):
    """The incarnation was cancelled and is still there. ``stack`` says where."""

    type: ClassVar[str] = "child.stuck"
    stack: str


@attrs.frozen
class SupervisorStarted(Event):
    """All children the supervisor begins with were started."""

    type: ClassVar[str] = "supervisor.started"


@attrs.frozen
class SupervisorUpdated(Event):
    """The supervisor has a new specification; its children may be in another order."""

    type: ClassVar[str] = "supervisor.updated"


@attrs.frozen
class SupervisorGaveUp(Event):
    """The supervisor stops its children and ends: a limit was exceeded by ``child``."""

    type: ClassVar[str] = "supervisor.gave_up"
    child: str
    reason: Reason


@attrs.frozen
class SupervisorAutoShutdown(Event):
    """The supervisor stops its children and ends because significant children ended."""

    type: ClassVar[str] = "supervisor.auto_shutdown"
    child: str


@attrs.frozen
class SupervisorEnded(Event):
    """The supervisor is over and nothing of it is alive."""

    type: ClassVar[str] = "supervisor.ended"
    reason: Reason


@attrs.frozen
class EventsDropped:
    """A subscriber was too slow: ``count`` events were dropped, the oldest first.

    Stands where they would have been. It has no sequence number: it belongs to one subscriber.
    """

    type: ClassVar[str] = "events.dropped"
    count: int
