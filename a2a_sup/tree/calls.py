"""The calls into a supervisor: OTP's API, answered by the supervisor, one at a time.

The rows of the table in OTP's manual: what start, terminate, restart and delete answer for a
child that is absent, running, down, or about to be restarted.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import attrs
import trio

from a2a_sup.errors import (
    AlreadyPresent,
    AlreadyStarted,
    ChildRestarting,
    ChildRunning,
    ChildStuck,
    NoSuchChild,
    NotSupported,
    SpecError,
    TooManyChildren,
)
from a2a_sup.model.snapshot import ChildSnapshot
from a2a_sup.model.spec import (
    ChildSpec,
    SupervisorSpec,
    depth_problem,
    needs_in_family_problems,
    significance_problem,
)
from a2a_sup.model.states import ALIVE, State
from a2a_sup.tree.plan import Plan

if TYPE_CHECKING:
    from a2a_sup.tree.roster import Record
    from a2a_sup.tree.supervisor import Supervisor


@attrs.frozen
class ChildRef:
    """The answer to a start.

    Attributes:
        path: the child's path from the root.
        incarnation: which start this was.
        running: False if the child raised IgnoreStart, or waits for what it needs.
        value: what the child passed to ``task_status.started``.
    """

    path: str
    incarnation: int
    running: bool = True
    value: Any = None


@attrs.frozen
class ChildCounts:
    """How many children a supervisor has.

    Attributes:
        specs: children known; of a dynamic supervisor with a template: 1, the template.
        active: children with a living incarnation.
        supervisors: of all children, alive or not, those that are supervisors.
        workers: the others.
    """

    specs: int
    active: int
    supervisors: int
    workers: int


class Request:
    """One call, waiting in a supervisor's inbox or for the child that it is about."""

    __slots__ = ("_answered", "_error", "_value", "handler", "name")

    def __init__(self, handler: Callable[[Supervisor, Request], None], name: str) -> None:
        """Ask for ``handler``, about the child ``name``."""
        self.handler = handler
        self.name = name
        self._answered = trio.Event()
        self._value: Any = None
        self._error: Exception | None = None

    def answer(self, value: Any = None) -> None:
        """Let the caller go on with ``value``."""
        self._value = value
        self._answered.set()

    def fail(self, error: Exception) -> None:
        """Raise ``error`` in the caller."""
        self._error = error
        self._answered.set()

    async def result(self) -> Any:
        """Wait for the answer. A caller that is cancelled meanwhile loses only the answer."""
        await self._answered.wait()
        if self._error is not None:
            raise self._error
        return self._value


def start_child(spec: ChildSpec, before: str | None = None) -> Request:
    """Return the call that adds a child, before the one of that name or at the end, and starts it.

    Raises:
        SpecError: ``spec`` is no specification.
    """
    if not isinstance(spec, ChildSpec):
        raise SpecError(f"a child is a ChildSpec (task, supervisor, ...), not {spec!r}")

    def handle(supervisor: Supervisor, request: Request) -> None:
        problem = _problem(supervisor, spec)
        if problem:
            request.fail(SpecError(problem))
        elif supervisor.spec.dynamic:
            _start_dynamic(supervisor, request, spec)
        elif before is not None and before not in supervisor.roster.records:
            _fail_unknown(supervisor, request, before)
        else:
            _start_static(supervisor, request, spec, before)

    return Request(handle, spec.name)


def _problem(supervisor: Supervisor, spec: ChildSpec) -> str | None:
    """Return why ``spec`` may not be under ``supervisor``, or None."""
    return (
        significance_problem(supervisor.spec, spec)
        or _depth_problem(supervisor, spec)
        or _needs_problem(supervisor, spec)
    )


def _needs_problem(supervisor: Supervisor, spec: ChildSpec) -> str | None:
    if not spec.after:
        return None
    family = {name: record.spec.after for name, record in supervisor.roster.records.items()}
    # What another one needs may be gone: that is no mistake of this one.
    known = {child.name for child in supervisor.spec.children} | family.keys() | {spec.name}
    family = {
        name: {o: n for o, n in after.items() if o in known} for name, after in family.items()
    }
    family[spec.name] = spec.after
    return next(iter(needs_in_family_problems(supervisor.spec, family)), None)


def _depth_problem(supervisor: Supervisor, spec: ChildSpec) -> str | None:
    if not isinstance(spec.run, SupervisorSpec):
        return None
    above = len(supervisor.path.split("/")) + 1 if supervisor.path else 1
    problem = depth_problem(spec.run, above)
    return None if problem is None else f"child {spec.name!r}: {problem}"


def start_from_template(args: tuple[Any, ...]) -> Request:
    """Return the call that starts a child made by the supervisor's template from ``args``."""

    def handle(supervisor: Supervisor, request: Request) -> None:
        template = supervisor.spec.template
        if template is None:
            request.fail(NotSupported(supervisor.path, "this supervisor has no template"))
            return
        try:
            start = start_child(template(*args))
        except Exception as exc:  # noqa: BLE001 - the caller's own function: the caller's error
            request.fail(exc)
        else:
            start.handler(supervisor, request)

    return Request(handle, "")


def _start_dynamic(supervisor: Supervisor, request: Request, spec: ChildSpec) -> None:
    limit = supervisor.spec.max_children
    if limit is not None and len(supervisor.roster.records) >= limit:
        request.fail(TooManyChildren(supervisor.path, f"there are {limit} children already"))
        return
    record = supervisor.roster.add(spec, supervisor.next_name(spec))
    record.is_provisional = True
    supervisor.start(record, request)


def _start_static(
    supervisor: Supervisor, request: Request, spec: ChildSpec, before: str | None
) -> None:
    record = supervisor.roster.records.get(spec.name)
    if record is None:
        record = supervisor.roster.add(spec, spec.name, before)
        if supervisor.roster.waiting.unmet(record):
            request.answer(ChildRef(record.path, 0, running=False))
            return
        record.is_provisional = True
        _start(supervisor, record, request)
    elif record.state is State.STOPPING:
        record.deferred += (request,)
    elif record.current is not None:
        request.fail(AlreadyStarted(record.path, f"is {record.state} already"))
    else:
        request.fail(AlreadyPresent(record.path, f"exists and is {record.state}"))


def _start(supervisor: Supervisor, record: Record, request: Request) -> None:
    if supervisor.spec.strategy.grouped:
        supervisor.follow(Plan("call", start=deque([record]), starter=request))
    else:
        supervisor.start(record, request)


def terminate_child(name: str) -> Request:
    """Return the call that stops a child; it stays down until restarted by a call or a group."""

    def handle(supervisor: Supervisor, request: Request) -> None:
        record = _find(supervisor, request)
        if record is None:
            return
        is_stuck = record.state is State.STUCK
        incarnation = supervisor.stop(record)  # a stuck one stays down when it is gone at last
        if is_stuck:
            request.fail(ChildStuck(record.path, "was cancelled and is still there"))
            return
        if incarnation is None:
            request.answer()
            return
        incarnation.stoppers += (request,)
        if supervisor.spec.strategy.grouped:
            supervisor.follow(Plan("call", waiting={incarnation}))

    return Request(handle, name)


def restart_child(name: str, *, by_need: bool = False) -> Request:
    """Return the call that starts a child that is down, with a fresh budget.

    ``by_need``: if its needs are not met it is answered at once, and the child started later.
    """

    def handle(supervisor: Supervisor, request: Request) -> None:
        record = _find_idle(supervisor, request)
        if record is None:
            return
        record.window = None
        if by_need and supervisor.roster.waiting.unmet(record):
            supervisor.roster.wait(record)
            request.answer(ChildRef(record.path, record.number, running=False))
        else:
            _start(supervisor, record, request)

    return Request(handle, name)


def delete_child(name: str) -> Request:
    """Return the call that forgets a child that is down."""

    def handle(supervisor: Supervisor, request: Request) -> None:
        record = _find_idle(supervisor, request)
        if record is not None:
            supervisor.roster.forget(record)
            request.answer()

    return Request(handle, name)


def update_child(name: str, spec: ChildSpec) -> Request:
    """Return the call that gives a child a new specification and leaves its incarnation alone.

    Raises:
        SpecError: ``spec`` is no specification.
    """
    if not isinstance(spec, ChildSpec):
        raise SpecError(f"a child is a ChildSpec (task, supervisor, ...), not {spec!r}")

    def handle(supervisor: Supervisor, request: Request) -> None:
        record = _find(supervisor, request)
        if record is None:
            return
        if supervisor.spec.dynamic:
            request.fail(NotSupported(supervisor.path, "a dynamic supervisor's children differ"))
        elif spec.name != name:
            text = f"child {name!r}: an update cannot give it the name {spec.name!r}"
            request.fail(SpecError(text))
        elif problem := _problem(supervisor, spec) or _update_problem(record, spec):
            request.fail(SpecError(problem))
        else:
            supervisor.update(record, spec)
            request.answer()

    return Request(handle, name)


def _update_problem(record: Record, spec: ChildSpec) -> str | None:
    """Return why a child cannot become ``spec`` as it is now, or None."""
    if record.current is None:
        return None
    old, new = record.spec.run, spec.run
    if isinstance(old, SupervisorSpec) and isinstance(new, SupervisorSpec):
        return None if old.dynamic is new.dynamic else _CANNOT_BECOME.format(spec.name, "dynamic")
    if isinstance(old, SupervisorSpec) or isinstance(new, SupervisorSpec):
        return _CANNOT_BECOME.format(spec.name, "supervisor")
    return None


_CANNOT_BECOME = "child {!r}: while it runs it cannot become {}, or cease to be it"


def update_root(spec: SupervisorSpec, on_update: Callable[[], object]) -> Request:
    """Return the call that gives the root a new specification.

    Args:
        spec: how the root is to behave.
        on_update: called just before it does.

    Raises:
        SpecError: ``spec`` is no specification of a supervisor.
    """
    if not isinstance(spec, SupervisorSpec):
        raise SpecError(f"the root is a supervisor, not {spec!r}")

    def handle(supervisor: Supervisor, request: Request) -> None:
        if supervisor.spec.dynamic is not spec.dynamic:
            request.fail(SpecError("the root: it cannot become dynamic, or cease to be it"))
        else:
            on_update()
            supervisor.adopt(spec)
            request.answer()

    return Request(handle, "")


def which_children() -> Request:
    """Return the call for the pictures of all children, in start order."""

    def handle(supervisor: Supervisor, request: Request) -> None:
        children: tuple[ChildSnapshot, ...] = supervisor.roster.picture().children
        request.answer(children)

    return Request(handle, "")


def count_children() -> Request:
    """Return the call for the number of children."""

    def handle(supervisor: Supervisor, request: Request) -> None:
        records = supervisor.roster.records.values()
        supervisors = sum(record.spec.is_supervisor for record in records)
        request.answer(
            ChildCounts(
                specs=1 if supervisor.spec.template is not None else len(records),
                active=sum(record.state in ALIVE for record in records),
                supervisors=supervisors,
                workers=len(records) - supervisors,
            )
        )

    return Request(handle, "")


def get_childspec(name: str) -> Request:
    """Return the call for a child's specification."""

    def handle(supervisor: Supervisor, request: Request) -> None:
        record = _find(supervisor, request)
        if record is not None:
            request.answer(record.spec)

    return Request(handle, name)


def _find(supervisor: Supervisor, request: Request) -> Record | None:
    record = supervisor.roster.records.get(request.name)
    if record is None:
        _fail_unknown(supervisor, request, request.name)
    return record


def _fail_unknown(supervisor: Supervisor, request: Request, name: str) -> None:
    path = f"{supervisor.path}/{name}" if supervisor.path else name
    request.fail(NoSuchChild(path, "there is no such child"))


def _find_idle(supervisor: Supervisor, request: Request) -> Record | None:
    """Return a child that is down and will stay so; else answer or defer the request."""
    if supervisor.spec.dynamic:
        request.fail(
            NotSupported(supervisor.path, "a dynamic supervisor forgets its children as they end")
        )
        return None
    record = _find(supervisor, request)
    if record is None:
        return None
    if record.state is State.STOPPING:
        record.deferred += (request,)
    elif record.state is State.STUCK:
        request.fail(ChildStuck(record.path, "was cancelled and is still there"))
    elif record.current is not None:
        request.fail(ChildRunning(record.path, f"is {record.state}"))
    elif record.state in (State.BACKING_OFF, State.PENDING):
        because = f", and waits for {', '.join(record.waits_for)}" if record.waits_for else ""
        request.fail(
            ChildRestarting(record.path, f"is about to be started by its supervisor{because}")
        )
    else:
        return record
    return None
