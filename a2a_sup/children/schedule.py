"""A child that runs at times: a program or a function, by the clock on the wall."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, tzinfo
from functools import partial
from typing import Any

import attrs
import trio

from a2a_sup.children.command import Command
from a2a_sup.children.spawning import check
from a2a_sup.children.zones import local_zone, name_of, zone_of
from a2a_sup.errors import SpecError
from a2a_sup.model.reasons import reason_of
from a2a_sup.model.schedule import CRON_ALLOWED, BadCron, Every, Schedule, cron_times, look
from a2a_sup.model.spec import ChildContext, ChildSpec, StopRequest, SupervisorSpec
from a2a_sup.model.words import is_number

LOOK_EVERY = 60.0
"""Seconds between two looks at the clock, at most: somebody may have set it."""

Wall = Callable[[], float]


def scheduled(
    child: ChildSpec,
    *,
    every: float | None = None,
    cron: str | None = None,
    timezone: str | None = None,
    wall: Wall = time.time,
) -> ChildSpec:
    """Return a child that is run at times: ``scheduled(process("tidy", ["tidy"]), every=300)``.

    The child is ``running`` all the while, and waits. At its time it runs what ``child`` runs,
    never twice at a time: a time that comes while it still runs is missed. A machine that slept
    over several times runs it once, and the others are missed. Details show ``next_run``,
    ``last_run`` with ``started``, ``duration`` and ``status``, and how many ``runs`` there were,
    how many of them ``failed``, how many times were ``missed``. A run that fails is reported, and
    the schedule goes on.

    Args:
        child: a process or a task, without probes and ``wait_ready``. What it says of restarts is
            about its start: a program that is not there when it starts to wait.
        every: seconds from one time to the next, the first one after the start.
        cron: a cron expression of five fields, or six with seconds.
        timezone: whose clock the expression means; None: the machine's.
        wall: returns the wall time, in seconds since 1970.

    Raises:
        SpecError: an argument is out of range; all mistakes are named.
    """
    problems = [*_problems(child, every, cron, timezone)]
    zone = local_zone()
    times: Schedule | None = None
    try:
        zone = zone if timezone is None else zone_of(timezone)
        times = Every(every or 1.0) if cron is None else _cron(cron, zone)
    except ValueError as exc:
        problems.append(str(exc))
    if problems or times is None:
        name = getattr(child, "name", child)
        raise SpecError(f"child {name!r}: {problem}" for problem in problems)
    shown = {"every": every} if cron is None else {"cron": cron, "timezone": name_of(zone)}
    return attrs.evolve(
        child,
        run=Scheduled(child, times, zone, wall),
        info={**child.info, **shown},
    )


def _cron(expression: str, zone: tzinfo) -> Schedule:
    try:
        return cron_times(expression, zone)
    except BadCron as exc:
        raise ValueError(f"cron is {CRON_ALLOWED}; not {expression!r}: {exc}") from None


def _problems(
    child: ChildSpec, every: float | None, expression: str | None, timezone: str | None
) -> list[str]:
    problems = []
    if not isinstance(child, ChildSpec) or isinstance(child.run, SupervisorSpec):
        return ["only a process or a task can be scheduled"]
    if child.kind == "mcp":
        problems.append("an MCP server waits for its clients, and cannot be scheduled")
    if child.wait_ready or child.is_probed_for_readiness:
        problems.append("a scheduled child has nothing that says when it is ready")
    if (every is None) is (expression is None):
        problems.append("a schedule has one of every and cron")
    elif every is not None and not (is_number(every, 0) and every):
        problems.append(f"every is seconds > 0, not {every!r}")
    if timezone is not None and expression is None:
        problems.append("timezone belongs to cron")
    return problems


@attrs.frozen(eq=False)
class Scheduled:
    """What runs a scheduled child.

    Attributes:
        child: what is run at each time.
        times: when.
        zone: of the times that are shown.
        wall: returns the wall time.
    """

    child: ChildSpec
    times: Schedule
    zone: tzinfo
    wall: Wall = time.time

    async def __call__(self, context: ChildContext) -> None:
        """Wait for the times and run the child, until asked to stop.

        Raises:
            CannotRun: the program could not be started now.
        """
        command = _command_of(self.child)
        if command is not None:
            check(command)
        await _Keeper(self, context).keep()


def _command_of(child: ChildSpec) -> Command | None:
    run = child.run
    given = run.args[0] if isinstance(run, partial) and run.args else None
    return given if isinstance(given, Command) else None


class _Keeper:
    """Keeps the schedule of one incarnation."""

    def __init__(self, work: Scheduled, context: ChildContext) -> None:
        self._work = work
        self._context = context
        self._stop = context.stop_request()
        self._run: _Run | None = None
        self._past = self._next = 0.0
        self._runs = self._failed = self._missed = 0

    async def keep(self) -> None:
        """Keep it until asked to stop."""
        self._past = self._work.wall()
        self._look()
        self._context.started()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._heed_stop, nursery.cancel_scope)
            while True:
                await trio.sleep(min(LOOK_EVERY, max(self._next - self._work.wall(), 0.0)))
                times = self._look()
                if times and not self._stop.is_set():
                    self._time_has_come(times, nursery)

    def _look(self) -> int:
        """Look at the clock, show the next time, and return how many have come."""
        seen = look(self._work.times, self._past, self._work.wall())
        self._past = seen.past
        if seen.next != self._next:
            self._next = seen.next
            self._context.report(next_run=self._iso(seen.next))
        return seen.times

    def _time_has_come(self, times: int, nursery: trio.Nursery) -> None:
        is_free = self._run is None
        missed = times - is_free
        if missed:
            self._missed += missed
            self._context.report(missed=self._missed)
        if is_free:
            self._run = _Run(self._context)
            nursery.start_soon(self._run_once, self._run)

    async def _heed_stop(self, everything: trio.CancelScope) -> None:
        await self._stop.wait()
        if self._run is not None and self._run.heeds_stop:
            await self._run.over.wait()
        everything.cancel()

    async def _run_once(self, run: _Run) -> None:
        body = run.spec.run
        assert not isinstance(body, SupervisorSpec)  # noqa: S101 - see _problems
        started, since = self._work.wall(), trio.current_time()
        status = "success"
        self._runs += 1
        self._context.report(runs=self._runs)
        try:
            await body(run)
        except Exception as exc:  # noqa: BLE001 - whatever a run dies of, the schedule goes on
            # How it takes a stop is no failure of the run.
            status = "stopped" if self._stop.is_set() else str(reason_of(exc))
        finally:
            self._run = None
            run.over.set()
        details: dict[str, Any] = {
            "last_run": {
                "started": self._iso(started),
                "duration": round(trio.current_time() - since, 3),
                "status": status,
            }
        }
        if run.details.get("pid") is not None:
            details["pid"] = None
        if status not in ("success", "stopped"):
            self._failed += 1
            details["failed"] = self._failed
        self._context.report(**details)

    def _iso(self, wall: float) -> str:
        return datetime.fromtimestamp(wall, self._work.zone).isoformat(timespec="seconds")


class _Run:
    """One run of a scheduled child; to what is run it is the ``task_status``.

    Attributes:
        details: what this run reported.
        heeds_stop: it asked for the polite request.
        over: it has ended.
    """

    def __init__(self, context: ChildContext) -> None:
        self._context = context
        self.details: dict[str, Any] = {}
        self.heeds_stop = False
        self.over = trio.Event()

    @property
    def path(self) -> str:
        """Those of the child, which has started already."""
        return self._context.path

    @property
    def number(self) -> int:
        """The incarnation of the schedule."""
        return self._context.number

    @property
    def spec(self) -> ChildSpec:
        """What is run, as it is now."""
        spec = self._context.spec
        return spec.run.child if isinstance(spec.run, Scheduled) else spec

    def started(self, value: object = None) -> None:
        """Nothing waits for this."""

    def ready(self, *, is_ready: bool = True) -> None:
        """Nothing waits for this."""

    def report(self, **details: Any) -> None:
        """Show details beside those of the schedule."""
        self.details.update(details)
        self._context.report(**details)

    def printed(self, stream: str, line: str, left_out: int) -> None:
        """Tell a line that was printed."""
        self._context.printed(stream, line, left_out)

    def stop_request(self) -> StopRequest:
        """Return the polite request to stop, and promise to heed it."""
        self.heeds_stop = True
        return self._context.stop_request()
