"""The children of one supervisor: their records in start order, and what is shown of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from a2a_sup.model import events
from a2a_sup.model.reasons import Reason
from a2a_sup.model.restarts import RestartType, Window
from a2a_sup.model.snapshot import ChildSnapshot, SupervisorSnapshot
from a2a_sup.model.spec import ChildSpec, SupervisorSpec
from a2a_sup.model.states import State
from a2a_sup.tree.bus import Bus
from a2a_sup.tree.needs import Waiting, wait_text
from a2a_sup.tree.probing import Answers
from a2a_sup.tree.runner import NO_DETAILS, Incarnation

if TYPE_CHECKING:
    from a2a_sup.tree.calls import Request
    from a2a_sup.tree.supervisor import Supervisor


class Roster:
    """Every change of a child goes through here, becomes an event, and spoils the picture.

    Attributes:
        spec: the supervisor's specification.
        path: the supervisor's path; empty for the root.
        holder: the record of the supervisor itself in its parent's roster, if it has a parent.
        records: the children by name, in start order.
        waiting: who of the children waits for whom.
        now: returns the time on Trio's clock.
    """

    __slots__ = ("_bus", "_picture", "holder", "now", "path", "records", "spec", "waiting")

    def __init__(self, spec: SupervisorSpec, path: str, bus: Bus, holder: Record | None) -> None:
        """Begin without children."""
        self.spec = spec
        self.path = path
        self.holder = holder
        self.records: dict[str, Record] = {}
        self.waiting = Waiting(self)
        self.now = bus.now
        self._bus = bus
        self._picture: SupervisorSnapshot | None = None

    def add(self, spec: ChildSpec, name: str, before: str | None = None) -> Record:
        """Put a new child into the list: before the one of that name, or at the end."""
        record = self.records[name] = Record(spec, name, self)
        if before is not None:
            names = [other for other in self.records if other != name]
            names.insert(names.index(before), name)
            self.records = {other: self.records[other] for other in names}
        if spec.after:
            self.waiting.added(record)
            record.last_waits_for = record.waits_for
        self.touch()
        self._bus.emit(events.ChildAdded, self.now(), record.path, 0, before)
        self._tell_who_waits(record)
        return record

    def adopt(self, spec: SupervisorSpec) -> None:
        """Take a new specification: the children that it names are in its order, then others."""
        self.spec = spec
        named = [child.name for child in spec.children if child.name in self.records]
        self.records = {name: self.records[name] for name in dict.fromkeys([*named, *self.records])}
        self.touch()

    def forget(self, record: Record) -> None:
        """Remove a child from the list."""
        if not record.is_forgotten:
            record.is_forgotten = True
            del self.records[record.name]
            self.waiting.removed(record)
            self.touch()
            self._bus.emit(events.ChildRemoved, self.now(), record.path, record.number)
            self._tell_who_waits(record)

    def wait(self, record: Record) -> None:
        """Let a child that is down wait until its needs are met."""
        record.state = State.PENDING  # of others nobody says what they wait for
        record.last_waits_for = record.waits_for
        self.move(record, State.PENDING, events.ChildWaiting, record.waits_for)

    def move(self, record: Record, state: State, event: type[events.Event], *fields: Any) -> None:
        """Bring a child into ``state`` and say so with ``event``."""
        record.state = state
        record.since = now = self.now()
        record.touch()
        self._bus.emit(event, now, record.path, record.number, *fields)
        if not self.waiting.is_empty:
            self._tell_who_waits(record)

    def note(self, record: Record, event: type[events.Event], *fields: Any) -> None:
        """Say with ``event`` that something about a child is new; its state is not."""
        record.touch()
        self.tell(record, event, *fields)
        if not self.waiting.is_empty:
            self._tell_who_waits(record)

    def tell(self, record: Record, event: type[events.Event], *fields: Any) -> None:
        """Say with ``event`` what no picture shows."""
        self._bus.emit(event, self.now(), record.path, record.number, *fields)

    def _tell_who_waits(self, needed: Record) -> None:
        """Say which children wait for something else now, as ``needed`` is not as it was."""
        for record in self.waiting.dependants(needed.name):
            waits_for = record.waits_for
            if record.state is State.PENDING and waits_for != record.last_waits_for:
                record.last_waits_for = waits_for
                self.note(record, events.ChildWaiting, waits_for)

    def announce(self, event: type[events.Event], *fields: Any) -> None:
        """Emit an event about the supervisor itself."""
        number = 1 if self.holder is None else self.holder.number
        self._bus.emit(event, self.now(), self.path, number, *fields)

    def touch(self) -> None:
        """Spoil the picture, and those of all supervisors above."""
        self._picture = None
        if self.holder is not None:
            self.holder.touch()

    def picture(self) -> SupervisorSnapshot:
        """Return the supervisor as an immutable value; the same object until it changed."""
        if self._picture is None:
            self._picture = SupervisorSnapshot(
                path=self.path,
                strategy=self.spec.strategy.value,
                children=tuple(record.picture() for record in self.records.values()),
            )
        return self._picture


class Record:
    """One child of a supervisor. Only its supervisor writes it.

    Attributes:
        spec: what to run.
        name: its key; differs from the specification's name under a dynamic supervisor.
        path: from the root.
        roster: the list that it is in.
        state: see State.
        since: when it came into this state.
        number: how often it was started.
        restarts: how often its supervisor restarted it.
        current: its incarnation, until the end of it was *decided upon*: the pid of OTP.
        nested: the supervisor that it runs, while it runs one.
        window: its own restarts that still count; made at the first.
        started_at, next_attempt_at, last_reason: see ChildSnapshot.
        last_waits_for: what it waited for when that was last told.
        is_provisional: a call added it, and it is forgotten if it does not start.
        is_forgotten: it is no longer in the list.
        is_unproven: restarted, and not yet up for its minimum uptime.
        is_watched: a timer looks at its uptime.
        deferred: calls that wait until it has stopped.
        answers: what its probes were answered, if it has any.
        group: who was stopped with it, and is to be started with it.
    """

    __slots__ = (
        "_picture",
        "answers",
        "current",
        "deferred",
        "group",
        "is_forgotten",
        "is_provisional",
        "is_unproven",
        "is_watched",
        "last_reason",
        "last_waits_for",
        "name",
        "nested",
        "next_attempt_at",
        "number",
        "path",
        "restarts",
        "roster",
        "since",
        "spec",
        "started_at",
        "state",
        "window",
    )

    def __init__(self, spec: ChildSpec, name: str, roster: Roster) -> None:
        """Describe a child that was not started yet."""
        self.spec = spec
        self.name = name
        self.roster = roster
        self.path = f"{roster.path}/{name}" if roster.path else name
        self.state = State.PENDING
        self.since = roster.now()
        self.number = 0
        self.restarts = 0
        self.current: Incarnation | None = None
        self.nested: Supervisor | None = None
        self.window: Window | None = None
        self.started_at: float | None = None
        self.next_attempt_at: float | None = None
        self.last_reason: Reason | None = None
        self.last_waits_for: tuple[str, ...] = ()
        self.is_provisional = False
        self.is_forgotten = False
        self.is_unproven = False
        self.is_watched = False
        self.deferred: tuple[Request, ...] = ()
        self.group: tuple[Record, ...] = ()
        self.answers = Answers(spec.probes) if spec.probes else None
        self._picture: ChildSnapshot | None = None

    @property
    def leaves_at_end(self) -> bool:
        """Whether it is forgotten when it ends for good."""
        return self.spec.restart.type is RestartType.TEMPORARY or self.roster.spec.dynamic

    @property
    def is_isolated(self) -> bool:
        """Whether its failures leave its siblings alone."""
        return self.spec.restart.when_exhausted == "isolate"

    @property
    def waits_for(self) -> tuple[str, ...]:
        """What a pending child needs and is not so yet."""
        if self.state is not State.PENDING or not self.spec.after:
            return ()
        return tuple(wait_text(name, need) for name, need in self.roster.waiting.unmet(self))

    @property
    def is_held(self) -> bool:
        """Whether it is to be left down where its supervisor would start it unasked."""
        held = self.spec.held
        return held is not None and held(self.path)

    @property
    def is_present(self) -> bool:
        """Whether it is alive or about to be started (for all_significant)."""
        return self.current is not None or self.state in (State.BACKING_OFF, State.PENDING)

    @property
    def awaits_restart(self) -> bool:
        """Whether its last end was decided upon, and the decision was to start it again."""
        return self.current is None and self.state is State.BACKING_OFF

    def adopt(self, spec: ChildSpec) -> None:
        """Take a new specification; the running incarnation is left alone, but for its probes."""
        are_probes_new = spec.probes != self.spec.probes
        self.roster.waiting.removed(self)
        self.spec = spec
        self.roster.waiting.added(self)
        self.last_waits_for = self.waits_for
        if are_probes_new:
            self.answers = Answers(spec.probes, self.answers) if spec.probes else None
            if self.current is not None:
                self.current.renew_probes()
        if self.current is not None:
            self.current.renew_start()

    def touch(self) -> None:
        """Spoil the picture.

        Where a picture is missing it is missing in all supervisors above, so the way up ends at
        the first one that has none.
        """
        if self._picture is not None:
            self._picture = None
            self.roster.touch()

    def row(self) -> ChildSnapshot:
        """Return the child as an immutable value, a nested supervisor without its children."""
        if self.nested is None:
            return self.picture()
        roster = self.nested.roster
        return self._pictured(SupervisorSnapshot(roster.path, roster.spec.strategy.value, ()))

    def picture(self) -> ChildSnapshot:
        """Return the child as an immutable value; the same object until something changed."""
        if self._picture is None:
            below = None if self.nested is None else self.nested.roster.picture()
            self._picture = self._pictured(below)
        return self._picture

    def _pictured(self, below: SupervisorSnapshot | None) -> ChildSnapshot:
        # What an incarnation said of itself is true only while it lives.
        run = None if self.current is None or self.current.is_over else self.current
        return ChildSnapshot(
            name=self.name,
            path=self.path,
            kind=self.spec.kind,
            state=self.state,
            incarnation=self.number,
            restarts=self.restarts,
            since=self.since,
            started_at=self.started_at,
            next_attempt_at=self.next_attempt_at,
            ready=None if run is None else run.is_ready,
            last_reason=self.last_reason,
            details=NO_DETAILS if run is None else run.details,
            info=self.spec.info,
            tags=self.spec.tags,
            restart=self.spec.restart.type.value,
            supervisor=below,
            healthy=None if self.answers is None else self.answers.healthy,
            waits_for=self.waits_for,
            probes=() if self.answers is None else self.answers.picture(),
        )
