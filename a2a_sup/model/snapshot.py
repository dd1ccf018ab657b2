"""An immutable picture of a tree. What did not change is the same object in the next one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import attrs

from a2a_sup.model.health import ProbeSnapshot
from a2a_sup.model.reasons import Reason
from a2a_sup.model.states import State


@attrs.frozen
class ChildSnapshot:
    """One child. Times are seconds on Trio's clock.

    Attributes:
        name: the child's name; of a dynamic child with its number, ``name#7``.
        path: from the root.
        kind: ``task``, ``process``, ``mcp`` or ``supervisor``.
        state: see :class:`State`.
        incarnation: how often it was started.
        restarts: how often its supervisor restarted it by itself.
        since: when it came into this state.
        started_at: when the running incarnation acknowledged its start; None if none runs.
        next_attempt_at: when it will be started again; None if it is not backing off, or waits
            for its supervisor's decision.
        ready: whether it can serve, by its own word and its readiness probes; None if neither
            says anything.
        healthy: whether its liveness and startup probes pass; None: not known.
        last_reason: why the last incarnation ended, or the last start failed.
        details: what the running incarnation reported: pid, tools, ...
        info: what its specification shows: the command, ...
        tags: from its specification.
        restart: permanent, transient or temporary.
        supervisor: of a nested supervisor that is alive: its own picture.
        probes: in the order of its specification.
        waits_for: of a pending child: what it needs and is not so yet, as ``db ready``.
    """

    name: str
    path: str
    kind: str
    state: State
    incarnation: int
    restarts: int
    since: float
    started_at: float | None
    next_attempt_at: float | None
    ready: bool | None
    last_reason: Reason | None
    details: Mapping[str, Any]
    info: Mapping[str, Any]
    tags: tuple[str, ...]
    restart: str
    supervisor: SupervisorSnapshot | None
    healthy: bool | None = None
    probes: tuple[ProbeSnapshot, ...] = ()
    waits_for: tuple[str, ...] = ()


@attrs.frozen
class SupervisorSnapshot:
    """One supervisor and its children in start order."""

    path: str
    strategy: str
    children: tuple[ChildSnapshot, ...]

    def walk(self) -> Iterator[ChildSnapshot]:
        """Yield every child below, parents before their children."""
        for child in self.children:
            yield child
            if child.supervisor is not None:
                yield from child.supervisor.walk()


@attrs.frozen
class TreeSnapshot:
    """A whole tree.

    Attributes:
        revision: the sequence number of the last event this picture includes.
        time: seconds on Trio's clock.
        name: the root's name.
        root: the root supervisor.
    """

    revision: int
    time: float
    name: str
    root: SupervisorSnapshot

    def walk(self) -> Iterator[ChildSnapshot]:
        """Yield every child, parents before their children, siblings in start order."""
        yield from self.root.walk()

    def child(self, path: str) -> ChildSnapshot:
        """Return the child at ``path``. Raises KeyError if there is none."""
        for child in self.walk():
            if child.path == path:
                return child
        raise KeyError(path)
