"""Follows a tree by its events alone, and finds each step that no sound tree makes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping

import attrs

from a2a_sup import ChildSnapshot, State, events
from a2a_sup.model.restarts import RestartType
from a2a_sup.model.states import ALIVE, TRANSITIONS

AT_REST = frozenset({State.STOPPED, State.FINISHED, State.FAILED})
"""Nobody has to do anything about a child in one of these: it can be forgotten."""
MOVES: Mapping[type[events.Event], frozenset[State]] = {
    events.ChildStarting: frozenset({State.STARTING}),
    events.ChildStarted: frozenset({State.RUNNING}),
    events.ChildIgnored: frozenset({State.STOPPED}),
    # Who is told of it decides which, and no field says so: what follows tells them apart.
    events.ChildStartFailed: frozenset({State.BACKING_OFF, State.FAILED}),
    events.ChildFailed: frozenset({State.FAILED}),
    events.ChildStopping: frozenset({State.STOPPING}),
    events.ChildStopped: frozenset({State.STOPPED}),
    events.ChildStuck: frozenset({State.STUCK}),
}
"""The events that say a new state, but for two that depend on more: see ``_targets``."""
NOTES: Mapping[type[events.Event], frozenset[State]] = {
    events.ChildBackingOff: frozenset({State.BACKING_OFF}),
    events.ChildRecovered: frozenset({State.RUNNING}),
    events.ChildReady: ALIVE,
    events.ChildReported: ALIVE,
    events.ChildProbed: ALIVE,
    events.ChildHealth: ALIVE,
    events.ChildOutput: ALIVE,
    events.ChildUpdated: frozenset(State),
}
"""The events that leave the state as it is, and the states in which they can be."""
ABOUT_SUPERVISORS = (
    events.SupervisorStarted,
    events.SupervisorUpdated,
    events.SupervisorGaveUp,
    events.SupervisorAutoShutdown,
    events.SupervisorEnded,
)
ROOT = ""


@attrs.define
class Known:
    """What is known of a child.

    Attributes:
        states: the one that it is in; two, if the last event leaves that open.
        incarnation: the number of its last start.
        pid: of its process, as it was reported last.
    """

    states: frozenset[State]
    incarnation: int
    pid: int | None = None


class Follower:
    """Keeps what is known of every child, event by event.

    Attributes:
        seq: of the last event.
        children: by path.
        moves: how often a child came into each state; not counted while that is open.
        is_over: the root has ended.
    """

    def __init__(
        self,
        seq: int,
        children: Iterable[ChildSnapshot],
        restart_of: Callable[[str], RestartType],
        is_alive: Callable[[str, int], bool],
    ) -> None:
        """Begin with the tree as it was after the event ``seq``.

        Args:
            seq: the revision of a snapshot.
            children: all of that snapshot.
            restart_of: says how the child at a path is restarted.
            is_alive: says whether the process with that number is alive and that of this path.
        """
        self.seq = seq
        self.children = {
            child.path: Known(frozenset({child.state}), child.incarnation, child.details.get("pid"))
            for child in children
        }
        self.moves: Counter[str] = Counter()
        self.is_over = False
        self._restart_of = restart_of
        self._is_alive = is_alive

    def take(self, event: events.Event) -> list[str]:
        """Take the next event; return what is wrong with it."""
        problems = []
        if event.seq != self.seq + 1:
            problems.append(f"gap: {event} after number {self.seq}")
        self.seq = event.seq
        if isinstance(event, ABOUT_SUPERVISORS):
            problems += self._take_announcement(event)
        elif isinstance(event, events.ChildAdded):
            problems += self._take_new(event)
        else:
            known = self.children.get(event.path)
            if known is None:
                problems.append(f"{event.path}: unknown child ({event.type})")
            else:
                problems += self._take_known(event, known)
        return problems

    def _take_new(self, event: events.ChildAdded) -> Iterable[str]:
        if event.path in self.children:
            yield f"{event.path}: added a second time"
        if event.incarnation != 0:
            yield f"{event.path}: added with the incarnation {event.incarnation}"
        parent = event.path.rpartition("/")[0]
        above = self.children.get(parent)
        if parent != ROOT and (above is None or not above.states <= ALIVE):
            yield f"{event.path}: added below a supervisor that does not live"
        self.children[event.path] = Known(frozenset({State.PENDING}), 0)

    def _take_announcement(self, event: events.Event) -> Iterable[str]:
        known = self.children.get(event.path)
        if event.path == ROOT:
            number, lives = 1, not self.is_over
        elif known is None:
            yield f"{event.path}: unknown supervisor ({event.type})"
            return
        else:
            number, lives = known.incarnation, known.states <= ALIVE
        if event.incarnation != number:
            yield f"{event.path}: incarnation {event.incarnation}, not {number} ({event.type})"
        if not lives:
            yield f"{event.path}: does not live ({event.type})"
        if isinstance(event, events.SupervisorEnded):
            # Its children are not removed one by one: they are gone with it.
            for path in self._below(event.path):
                if not self.children.pop(path).states & AT_REST:
                    yield f"{path}: not at rest when its supervisor ended"
            self.is_over = self.is_over or event.path == ROOT

    def _take_known(self, event: events.Event, known: Known) -> Iterable[str]:
        path, number = event.path, known.incarnation + isinstance(event, events.ChildStarting)
        if event.incarnation != number:
            yield f"{path}: incarnation {event.incarnation}, not {number} ({event.type})"
        known.incarnation = event.incarnation
        if isinstance(event, events.ChildRemoved):
            if not known.states & AT_REST:
                yield f"{path}: removed while {_words(known.states)}"
            del self.children[path]
        elif (allowed := NOTES.get(type(event))) is not None:
            if not known.states & allowed:
                yield f"{path}: {event.type} while {_words(known.states)}"
            known.states = known.states & allowed or known.states
            if isinstance(event, events.ChildReported) and "pid" in event.details:
                yield from self._take_pid(path, known, event.details["pid"])
        else:
            yield from self._take_move(event, known)

    def _take_move(self, event: events.Event, known: Known) -> Iterable[str]:
        path, targets = event.path, self._targets(event)
        if targets is None:
            yield f"{path}: nothing is known of {event.type}"
            return
        if isinstance(event, events.ChildWaiting) and targets <= known.states:
            return  # it waits for something else
        follow = frozenset[State]().union(*(TRANSITIONS[state] for state in known.states))
        if not targets & follow:
            yield f"{path}: {_words(known.states)} -> {_words(targets)} ({event.type})"
        known.states = targets & follow or targets
        if not known.states & ALIVE and (below := self._below(path)):
            yield f"{path}: {event.type}, and {below[0]} is still there"
        if len(known.states) == 1:
            self.moves.update(known.states)

    def _targets(self, event: events.Event) -> frozenset[State] | None:
        """Return the states of which ``event`` says that the child is in one now."""
        if isinstance(event, events.ChildEnded):
            if self._restart_of(event.path).wants_restart(event.reason):
                return frozenset({State.BACKING_OFF})
            return frozenset({State.FINISHED if event.reason.benign else State.FAILED})
        if isinstance(event, events.ChildWaiting):
            return frozenset({State.PENDING})
        return MOVES.get(type(event))

    def _take_pid(self, path: str, known: Known, pid: int) -> Iterable[str]:
        # A process that ended meanwhile cannot have come to life again, so it is not too late.
        if known.pid not in {None, pid} and self._is_alive(path, known.pid):
            yield f"{path}: the processes {known.pid} and {pid} live at once"
        known.pid = pid

    def _below(self, path: str) -> list[str]:
        prefix = f"{path}/" if path else ""
        return [other for other in self.children if other.startswith(prefix)]


def _words(states: Iterable[State]) -> str:
    return " or ".join(sorted(states))
