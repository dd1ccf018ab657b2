"""Every async test below runs on a clock that starts at 0 and jumps over all waiting."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from inspect import iscoroutinefunction
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from a2a_sup import State, events
from a2a_sup.model.states import ALIVE, TRANSITIONS


def run_jumping(
    main: Callable[..., Awaitable[Any]], *, clock: object, instruments: list[trio.abc.Instrument]
) -> Any:
    return trio.run(main, clock=MockClock(autojump_threshold=0), instruments=instruments)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        function = getattr(item, "function", None)
        if Path(__file__).parent in item.path.parents and iscoroutinefunction(function):
            # Before the marker that pytest-trio adds to every async test.
            item.add_marker(pytest.mark.trio(run=run_jumping), append=False)


TARGETS: dict[type[events.Event], tuple[State, ...]] = {
    events.ChildStarted: (State.RUNNING,),
    events.ChildIgnored: (State.STOPPED,),
    events.ChildStopped: (State.STOPPED,),
    events.ChildStartFailed: (State.BACKING_OFF, State.FAILED),
    events.ChildEnded: (State.BACKING_OFF, State.FINISHED, State.FAILED),
    events.ChildFailed: (State.FAILED,),
    events.ChildStopping: (State.STOPPING,),
    events.ChildStuck: (State.STUCK,),
}
"""What an event says of the child's state from now on."""


class Story:
    """What the events tell of each child; it refuses what cannot be.

    Attributes:
        states: for each path, the states that the child may be in. An end alone does not say
            whether a restart follows.
        starts: for each path, how often it was started since it was added.
        seq: the number of the last event.
    """

    def __init__(self) -> None:
        self.states: dict[str, set[State]] = {}
        self.starts: dict[str, int] = {}
        self.seq = 0

    def read(self, told: list[events.Event]) -> None:
        for event in told:
            self.seq += 1
            assert event.seq == self.seq, "a gap"
            self._read(event)

    def assert_over(self) -> None:
        """Every incarnation that started has ended, each with one event."""
        alive = {path: states for path, states in self.states.items() if states & ALIVE}
        assert not alive

    def _read(self, event: events.Event) -> None:
        path = event.path
        if isinstance(event, events.ChildAdded):
            assert path not in self.states, f"{path} is there already"
            self.states[path] = {State.PENDING}
            self.starts[path] = 0
        elif isinstance(event, events.ChildRemoved):
            assert not self.states.pop(path) & ALIVE
        elif isinstance(event, events.ChildStarting):
            self._move(event, State.STARTING)
            self.starts[path] += 1
            self._forget_below(path)
        elif type(event) in TARGETS:
            self._move(event, *TARGETS[type(event)])
        elif isinstance(event, events.ChildBackingOff):
            assert State.BACKING_OFF in self.states[path]
            self.states[path] = {State.BACKING_OFF}
        elif event.type.startswith("child.") and not isinstance(event, events.ChildUpdated):
            assert self.states[path] <= ALIVE
        if event.type.startswith("child."):
            assert event.incarnation == self.starts[path], "an event about another incarnation"

    def _move(self, event: events.Event, *targets: State) -> None:
        before = self.states[event.path]
        if isinstance(event, events.ChildEnded | events.ChildStartFailed):
            assert len(before) == 1, f"{event.path} ended and was not running"
        after = {target for target in targets for state in before if target in TRANSITIONS[state]}
        assert after, f"{event.path} was {before}, then {event}"
        self.states[event.path] = after

    def _forget_below(self, path: str) -> None:
        """A supervisor starts from nothing, and nothing of its last run is alive."""
        for below in [other for other in self.states if other.startswith(f"{path}/")]:
            assert not self.states.pop(below) & ALIVE, f"{below} survived"


@pytest.fixture(scope="session")
def new_story() -> type[Story]:
    """See Story. The class itself: some tests need many, and cannot import it from here."""
    return Story
