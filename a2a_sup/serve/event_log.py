"""The last events of a tree, so that a reader who was away can go on where it was."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from a2a_sup.model.events import Event, EventsDropped
from a2a_sup.tree.bus import Subscription
from a2a_sup.tree.handle import TreeHandle

EVENTS_KEPT = 10_000


class EventLog:
    """A bounded ring of events, in order and without gaps.

    It needs no task: events wait in a subscription and are taken over when somebody asks.
    """

    def __init__(
        self, tree: TreeHandle, capacity: int = EVENTS_KEPT, *, early: Subscription | None = None
    ) -> None:
        """Keep at most ``capacity`` of the events of ``tree``: those in ``early``, and from now on.

        Args:
            tree: whose events.
            capacity: how many.
            early: a subscription of before its start, read to here; None: what was is not known.
        """
        self._tree = tree
        self._arriving = tree.events(capacity)
        self._kept = deque[Event](maxlen=capacity)
        self._last = tree.snapshot().revision if early is None else 0
        if early is not None:
            self._keep(early.drain())

    @property
    def revision(self) -> int:
        """The number of the last event there was."""
        self._take_over()
        return self._last

    def last(self, count: int) -> list[Event]:
        """Return the last events, at most ``count``."""
        self._take_over()
        return list(self._kept)[-count:] if count > 0 else []

    def since(self, number: int) -> list[Event | EventsDropped]:
        """Return what came after the event of this number.

        If some of that is no longer kept, an EventsDropped says first how many are missing. A
        number that is yet to come is of an earlier run of the supervisor: everything is new.
        """
        self._take_over()
        if number > self._last:
            number = 0
        found: list[Event | EventsDropped] = [each for each in self._kept if each.seq > number]
        if missing := self._last - number - len(found):
            found.insert(0, EventsDropped(missing))
        return found

    def follow(self, capacity: int) -> Subscription:
        """Return a subscription that goes on right after what ``last`` or ``since`` returned.

        Call it in the same breath: without waiting for anything in between.
        """
        return self._tree.events(capacity)

    def _take_over(self) -> None:
        self._keep(self._arriving.drain())

    def _keep(self, events: Iterable[Event | EventsDropped]) -> None:
        for event in events:
            if isinstance(event, EventsDropped):
                self._kept.clear()
                self._last += event.count
            else:
                self._kept.append(event)
                self._last = event.seq
