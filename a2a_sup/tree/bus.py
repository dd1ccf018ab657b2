"""Events to bounded subscribers: a slow one loses the oldest and is told how many."""

from __future__ import annotations

import weakref
from collections import deque
from types import TracebackType
from typing import Any, Self

import trio

from a2a_sup.model.events import Event, EventsDropped

BATCH = 100
"""Events that are read at a time: so that others have their turn in between."""


class Bus:
    """Numbers the events of one tree and hands them to its subscribers.

    Attributes:
        seq: the number of the last event; also the tree's revision.
        now: returns the time on Trio's clock, as ``trio.current_time`` does but faster.
    """

    __slots__ = ("_closed", "_serial", "_subscriptions", "now", "seq")

    def __init__(self) -> None:
        """Start before the first event."""
        self.seq = 0
        self.now = trio.lowlevel.current_clock().current_time
        self._serial = 0
        self._closed = False
        # Weak: a subscription that its owner dropped must not collect events for ever.
        self._subscriptions: list[weakref.ref[Subscription]] = []

    def emit(
        self, event: type[Event], time: float, path: str, incarnation: int, *fields: Any
    ) -> None:
        """Number the event, make it, and hand it to every subscriber. Never waits."""
        self.seq = seq = self.seq + 1
        if self._subscriptions:
            made = event(seq, time, path, incarnation, *fields)
            for reference in self._subscriptions:
                subscription = reference()
                if subscription is not None:
                    subscription.put(made)

    def next_serial(self) -> int:
        """Return a number for a dynamic child, one that no child of the tree has had."""
        self._serial += 1
        return self._serial

    def subscribe(self, capacity: int) -> Subscription:
        """Return a subscription to all events from now on."""
        subscription = Subscription(self, capacity)
        if self._closed:
            subscription.end()
        else:
            self._subscriptions.append(weakref.ref(subscription, self._forget))
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        """Hand nothing more to ``subscription``."""
        self._subscriptions = [ref for ref in self._subscriptions if ref() is not subscription]

    def close(self) -> None:
        """End every subscription once it has delivered what it holds."""
        self._closed = True
        for reference in self._subscriptions:
            subscription = reference()
            if subscription is not None:
                subscription.end()
        self._subscriptions = []

    def _forget(self, reference: weakref.ref[Subscription]) -> None:
        self._subscriptions = [ref for ref in self._subscriptions if ref is not reference]


class Subscription:
    """An async iterator over events, for one task; also a context manager.

    It holds at most ``capacity`` events. When more arrive the oldest are dropped, and the next
    item is an :class:`EventsDropped` with their number. It ends when the tree has ended.
    """

    __slots__ = ("__weakref__", "_bus", "_dropped", "_ended", "_held", "_reader", "capacity")

    def __init__(self, bus: Bus, capacity: int) -> None:
        """Begin empty. ``capacity`` is a number of events, at least 1."""
        if capacity < 1:
            raise ValueError(f"capacity is at least 1, not {capacity!r}")
        self.capacity = capacity
        self._bus = bus
        self._held: deque[Event] = deque()
        self._dropped = 0
        self._ended = False
        self._reader: trio.lowlevel.Task | None = None

    def put(self, event: Event) -> None:
        """Take an event from the bus."""
        held = self._held
        if len(held) >= self.capacity:
            held.popleft()
            self._dropped += 1
        held.append(event)
        if self._reader is not None:
            self._wake()

    def twin(self) -> Subscription:
        """Return another subscription that holds what this one holds now, and goes on from here."""
        twin = self._bus.subscribe(self.capacity)
        twin._held.extend(self._held)
        twin._dropped = self._dropped
        return twin

    def end(self) -> None:
        """Take no more events; iteration stops after those held."""
        self._ended = True
        self._wake()

    def close(self) -> None:
        """Unsubscribe and forget what is held."""
        self._bus.unsubscribe(self)
        self._held.clear()
        self._dropped = 0
        self.end()

    def drain(self) -> list[Event | EventsDropped]:
        """Return what is held now, without waiting."""
        held: list[Event | EventsDropped] = [*self._held]
        if self._dropped:
            held.insert(0, EventsDropped(self._dropped))
        self._held.clear()
        self._dropped = 0
        return held

    def _wake(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            trio.lowlevel.reschedule(reader)

    def __aiter__(self) -> Self:
        """Return itself."""
        return self

    async def __anext__(self) -> Event | EventsDropped:
        """Return the next event, waiting for one if none is held.

        Raises:
            trio.BusyResourceError: another task is waiting already.
        """
        await self._until_some()
        if not self._held:
            raise StopAsyncIteration
        if self._dropped:
            dropped, self._dropped = self._dropped, 0
            return EventsDropped(dropped)
        return self._held.popleft()

    async def batch(self) -> list[Event | EventsDropped]:
        """Return the next events, BATCH at most, waiting for one if none is held.

        For who reads everything: a turn of Trio's scheduler for each event costs more than most
        events are worth. Empty: there are no more.

        Raises:
            trio.BusyResourceError: another task is waiting already.
        """
        await self._until_some()
        if len(self._held) <= BATCH:
            return self.drain()
        batch: list[Event | EventsDropped] = [self._held.popleft() for _ in range(BATCH)]
        if self._dropped:
            batch.insert(0, EventsDropped(self._dropped))
            self._dropped = 0
        return batch

    async def _until_some(self) -> None:
        """Wait until an event is held, or there are no more."""
        await trio.lowlevel.checkpoint()
        while not (self._held or self._ended):
            if self._reader is not None:
                raise trio.BusyResourceError("another task is reading this subscription")
            self._reader = trio.lowlevel.current_task()
            await trio.lowlevel.wait_task_rescheduled(self._abort)

    def _abort(self, _: Any) -> trio.lowlevel.Abort:
        self._reader = None
        return trio.lowlevel.Abort.SUCCEEDED

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Unsubscribe."""
        self.close()
