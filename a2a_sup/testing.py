"""Helpers for the tests of programs that embed a tree.

- :class:`ScriptedChild`: a child that a test steers, and that counts its live incarnations;
  :func:`scripted` makes several;
- :class:`Recorder`: the events of a tree, in order, without waiting for them;
- :func:`run_virtual`: ``trio.run`` on a clock that jumps, so that a test of minutes takes none.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Literal, TypeVar

import attrs
import trio
import trio.testing

from a2a_sup.errors import ShutdownExit
from a2a_sup.model.events import Event, EventsDropped
from a2a_sup.model.spec import ChildContext, ChildSpec, StopRequest
from a2a_sup.tree.handle import TreeHandle

T = TypeVar("T")

Politeness = Literal["none", "heeds", "ignores"]


class Scripted(Exception):
    """What a ScriptedChild raises when it is told to crash."""


def run_virtual(main: Callable[..., Awaitable[T]], *args: Any) -> T:
    """Run ``await main(*args)`` to its end on a clock that starts at 0 and jumps over all waiting.

    Not for code that waits for threads or processes: the clock does not know of them.
    """
    return trio.run(main, *args, clock=trio.testing.MockClock(autojump_threshold=0))


@attrs.define(eq=False)
class ScriptedChild:
    """A child that does what a test tells it to, as often as it is restarted.

    One object stands for one child of a tree: ``worker = ScriptedChild("worker")``, then
    ``supervisor("app", [worker.spec()])``. Told nothing, it acknowledges at once and runs until
    it is cancelled.

    Attributes:
        name: the child's name.
        log: gets ``"name word"`` for each of *begin*, *up* (acknowledged), *asked* (politely, if
            it heeds), *cancelled* and *end*; share one list among children to see their order.
        start_delay: seconds it takes to start.
        value: what it acknowledges its start with.
        politeness: ``none``: it never asks for the polite request, so it is cancelled at once;
            ``heeds``: it returns when asked; ``ignores``: it asked for the request, and then pays
            no attention to it.
        stop_delay: seconds between being asked or cancelled and its end. Nothing cuts them
            short, except that one who heeds can be cancelled.
        hides: cancelled, it waits behind a shield until ``release``: the tree finds it stuck.
        swallows: cancelled, it returns as if nothing had happened.
        stop_error: raised in its ``finally`` when it is asked or cancelled.
        alive: incarnations that are running now: 0 or 1 in any sound tree.
        most_alive: the largest that ``alive`` ever was.
        starts: how often it began to run.
        context: what the latest incarnation was given as ``task_status``.
    """

    name: str = "child"
    log: list[str] = attrs.field(factory=list, kw_only=True)
    start_delay: float = attrs.field(default=0.0, kw_only=True)
    value: object = attrs.field(default=None, kw_only=True)
    politeness: Politeness = attrs.field(default="none", kw_only=True)
    stop_delay: float = attrs.field(default=0.0, kw_only=True)
    hides: bool = attrs.field(default=False, kw_only=True)
    swallows: bool = attrs.field(default=False, kw_only=True)
    stop_error: Exception | None = attrs.field(default=None, kw_only=True)
    alive: int = attrs.field(default=0, init=False)
    most_alive: int = attrs.field(default=0, init=False)
    starts: int = attrs.field(default=0, init=False)
    context: ChildContext | None = attrs.field(default=None, init=False)
    _orders: _Orders | None = attrs.field(default=None, init=False)
    _start_errors: deque[BaseException] = attrs.field(factory=deque, init=False)
    _released: trio.Event = attrs.field(factory=trio.Event, init=False)

    def spec(self, **options: Any) -> ChildSpec:
        """Return the specification of this child; ``options`` are those of ``ChildSpec``."""
        return ChildSpec(self.name, self._run, **options)

    @property
    def is_up(self) -> bool:
        """Whether an incarnation has acknowledged its start and can be told what to do."""
        return self._orders is not None

    # --- orders ---------------------------------------------------------------------------------

    def crash(self, error: BaseException | None = None) -> None:
        """Let the running incarnation raise ``error``, or Scripted."""
        self._give(error or Scripted(f"{self.name} was told to crash"))

    def finish(self) -> None:
        """Let the running incarnation return."""
        self._give(None)

    def shut_down(self) -> None:
        """Let the running incarnation raise ShutdownExit."""
        self._give(ShutdownExit(f"{self.name} was told to shut down"))

    def fail_next_start(self, *errors: BaseException) -> None:
        """Let the next start raise before it acknowledges; with several errors, as many starts.

        An ``IgnoreStart`` among them is not a failure but asks not to be run.
        """
        self._start_errors.extend(errors or (Scripted(f"{self.name} was told not to start"),))

    def release(self) -> None:
        """Let a child that ``hides`` end."""
        self._released.set()

    def _give(self, error: BaseException | None) -> None:
        if self._orders is None:
            raise RuntimeError(f"{self.name} is not running")
        self._orders.error = error
        self._orders.given.set()
        self._orders = None

    # --- life -----------------------------------------------------------------------------------

    async def _run(self, context: ChildContext) -> None:
        self.context = context
        self.starts += 1
        self.alive += 1
        self.most_alive = max(self.most_alive, self.alive)
        self._note("begin")
        try:
            await self._live(context)
        except trio.Cancelled:
            self._note("cancelled")
            await self._linger()
            if not self.swallows:
                raise
        finally:
            self._orders = None
            self.alive -= 1
            self._note("end")

    async def _live(self, context: ChildContext) -> None:
        request = None if self.politeness == "none" else context.stop_request()
        if self.start_delay:
            await trio.sleep(self.start_delay)
        if self._start_errors:
            raise self._start_errors.popleft()
        orders = self._orders = _Orders()
        self._note("up")
        context.started(self.value)
        if request is None or self.politeness == "ignores":
            await orders.given.wait()
        else:
            await _first(orders.given, request)
        if orders.given.is_set():
            if orders.error is not None:
                raise orders.error
            return
        self._note("asked")
        await trio.sleep(self.stop_delay)
        if self.stop_error is not None:
            raise self.stop_error

    async def _linger(self) -> None:
        """End the way a cancelled child was told to."""
        with trio.CancelScope(shield=True):
            if self.hides:
                await self._released.wait()
            if self.politeness != "heeds":
                await trio.sleep(self.stop_delay)
        if self.stop_error is not None:
            raise self.stop_error

    def _note(self, word: str) -> None:
        self.log.append(f"{self.name} {word}")


def scripted(names: str, **options: Any) -> list[ScriptedChild]:
    """Return a child for each word of ``names``; all write to one log."""
    log: list[str] = []
    return [ScriptedChild(name, log=log, **options) for name in names.split()]


@attrs.define(eq=False)
class _Orders:
    """What one incarnation was told."""

    given: trio.Event = attrs.field(factory=trio.Event)
    error: BaseException | None = None


async def _first(*waits: trio.Event | StopRequest) -> None:
    """Return when one of ``waits`` is set. Raises Cancelled bare, not in a nursery's group."""

    async def wait_for(wait: trio.Event | StopRequest) -> None:
        await wait.wait()
        nursery.cancel_scope.cancel()

    try:
        async with trio.open_nursery() as nursery:
            for wait in waits:
                nursery.start_soon(wait_for, wait)
    except* trio.Cancelled:
        await trio.lowlevel.checkpoint_if_cancelled()


class Recorder:
    """The events of a tree since the recorder was made.

    It never waits: read it when the tree has come to rest, after
    ``trio.testing.wait_all_tasks_blocked()`` for example.
    """

    def __init__(self, handle: TreeHandle, capacity: int = 100_000) -> None:
        """Record what happens from now on; at most ``capacity`` events between two readings."""
        self._subscription = handle.events(capacity)
        self._events: list[Event] = []

    @property
    def events(self) -> list[Event]:
        """Return all events so far.

        Raises:
            RuntimeError: more than ``capacity`` came between two readings.
        """
        for event in self._subscription.drain():
            match event:
                case EventsDropped(count=lost):
                    raise RuntimeError(f"the recorder is too small: {lost} events are lost")
                case _:
                    self._events.append(event)
        return list(self._events)

    def take(self) -> list[Event]:
        """Return the events since the last ``take``, and forget them."""
        taken, self._events = self.events, []
        return taken

    def words(self, *paths: str) -> list[str]:
        """Return the events, of ``paths`` or of all, as ``"path type"``; the root is ``root``."""
        return [
            f"{event.path or 'root'} {event.type.removeprefix('child.')}"
            for event in self.events
            if not paths or event.path in paths
        ]

    def times(self, event: type[Event], path: str) -> list[float]:
        """Return when events of a class happened to the child at ``path``."""
        return [each.time for each in self.events if type(each) is event and each.path == path]
