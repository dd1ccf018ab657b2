"""Who of a supervisor's children waits for whom, by what is true of them now."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from a2a_sup.model.needs import Need, in_order
from a2a_sup.model.states import State

if TYPE_CHECKING:
    from a2a_sup.tree.roster import Record, Roster

ON_THEIR_WAY = frozenset({State.STARTING, State.RUNNING, State.BACKING_OFF, State.STOPPING})
"""A child in one of these states may still come to be what is needed of it."""


class Waiting:
    """The needs of siblings, kept up with the list of them.

    Most supervisors have none: ``is_empty`` is all that they pay for.
    """

    __slots__ = ("_dependants", "_finished", "_roster")

    def __init__(self, roster: Roster) -> None:
        """Begin without children."""
        self._roster = roster
        self._dependants: dict[str, dict[str, Record]] = {}
        self._finished: set[str] = set()

    @property
    def is_empty(self) -> bool:
        """Whether no child needs another."""
        return not self._dependants

    def added(self, record: Record) -> None:
        """Take note of the needs of a child."""
        for name in record.spec.after:
            self._dependants.setdefault(name, {})[record.name] = record

    def removed(self, record: Record) -> None:
        """Take note that a child is no more, or will have other needs."""
        for name in record.spec.after:
            waiting = self._dependants.get(name, {})
            waiting.pop(record.name, None)
            if not waiting:
                self._dependants.pop(name, None)

    def remember(self, record: Record) -> None:
        """Take note of whether a child has finished: it may be forgotten then."""
        if record.state is not State.FINISHED:
            self._finished.discard(record.name)
        elif record.name in self._dependants:
            self._finished.add(record.name)

    def dependants(self, name: str) -> Iterable[Record]:
        """Return the children that need the one of this name."""
        return (*self._dependants.get(name, {}).values(),)

    def unmet(self, record: Record) -> list[tuple[str, Need]]:
        """Return what a child still waits for."""
        return [
            (name, need)
            for name, need in record.spec.after.items()
            if not self._is_met(self._roster.records.get(name), name, need)
        ]

    def _is_met(self, needed: Record | None, name: str, need: Need) -> bool:
        is_finished = needed.state is State.FINISHED if needed else name in self._finished
        if need is Need.FINISHED or needed is None:
            return is_finished and need is not Need.READY
        run = needed.current
        is_up = run is not None and needed.state is State.RUNNING
        if need is Need.STARTED:
            return is_up or is_finished
        return is_up and run is not None and run.is_ready is True

    def is_hopeful(self, records: Iterable[Record]) -> bool:
        """Return whether one of these may be started without anybody's doing.

        It is enough to look at those that wait for nobody who waits himself.
        """
        return any(
            all(self._is_on_its_way(name) for name, _ in self.unmet(record))
            for record in records
            if record.state is State.PENDING
        )

    def _is_on_its_way(self, name: str) -> bool:
        needed = self._roster.records.get(name)
        return needed is not None and needed.state in ON_THEIR_WAY

    def in_order(self, records: Iterable[Record]) -> list[Record]:
        """Return these so that each comes after those that it needs."""
        by_name = {record.name: record for record in records}
        order = in_order({name: record.spec.after for name, record in by_name.items()})
        return [by_name[name] for name in order]


def wait_text(name: str, need: Need) -> str:
    """Return what a snapshot says of an unmet need: ``db ready``."""
    return f"{name} {need}"
