"""Runs scenarios on this package: seeded scheduling, a clock that stands still."""

from __future__ import annotations

import gc
import re
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, cast

import attrs
import trio
import trio.testing

from a2a_sup import (
    OTP,
    AlreadyPresent,
    AlreadyStarted,
    ChildContext,
    ChildExit,
    ChildRef,
    ChildRestarting,
    ChildRunning,
    ChildSpec,
    IgnoreStart,
    NoSuchChild,
    NoSuchSupervisor,
    NotSupported,
    Restart,
    ShutdownExit,
    SpecError,
    StartFailed,
    State,
    SupervisorEnded,
    TreeHandle,
    dynamic_supervisor,
    events,
    supervisor,
)
from a2a_sup.model.restarts import RestartWord
from a2a_sup.tree.supervisor import Supervisor as RunningSupervisor
from tests.conformance.scenario import (
    Action,
    Call,
    Child,
    End,
    How,
    Pause,
    Scenario,
    Step,
    Worker,
)
from tests.conformance.traces import Happening, Report

PENDING = "pending"

WORDS: dict[type[Exception], str] = {
    NoSuchSupervisor: "noproc",
    SupervisorEnded: "ended",
    NoSuchChild: "not_found",
    AlreadyStarted: "already_started",
    AlreadyPresent: "already_present",
    ChildRunning: "running",
    ChildRestarting: "restarting",
    NotSupported: "simple_one_for_one",
    SpecError: "bad_spec",
}
"""Our exceptions and OTP's words for the same."""

STATES = {
    State.RUNNING: "pid",
    State.BACKING_OFF: "restarting",
    State.STOPPED: "undefined",
    State.FINISHED: "undefined",
    State.FAILED: "undefined",
}


class Boom(Exception):
    """A crash."""


class Killed(ChildExit):
    """An end like that of a process that was killed."""

    kind = "killed"


def run(scenario: Scenario, seed: int = 0) -> list[Report]:
    """Return a report of the boot, one of each step, and one of the final stop."""
    with seeded(seed), _complaints_of_success():
        clock = _Clock()
        run = _Run(scenario, clock)
        try:
            return trio.run(run.reports, clock=clock)
        except trio.TrioInternalError:
            failure = run.failure or AssertionError("everybody waits, for nothing")
            del run
            gc.collect()
        raise failure


@contextmanager
def _complaints_of_success() -> Iterator[None]:
    """Forget what destructors complain of when a run broke off: it is no news then."""
    complaints: list[sys.UnraisableHookArgs] = []
    hook, sys.unraisablehook = sys.unraisablehook, complaints.append
    try:
        yield
    except Exception:
        complaints.clear()
        raise
    finally:
        sys.unraisablehook = hook
        for complaint in complaints:
            hook(complaint)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Have Trio shuffle its tasks as the seed says: no order of theirs may matter."""
    # Trio has no public way to repeat a run; its own plugin for hypothesis does the same.
    core: Any = trio._core._run
    allowed, state = core._ALLOW_DETERMINISTIC_SCHEDULING, core._r.getstate()
    core._ALLOW_DETERMINISTIC_SCHEDULING = True
    core._r.seed(seed)
    try:
        yield
    finally:
        core._ALLOW_DETERMINISTIC_SCHEDULING = allowed
        core._r.setstate(state)


class _Clock(trio.abc.Clock):
    """A clock that stands still, except for jumps.

    When all tasks wait and the driver is not among those who would be woken by that, nothing can
    ever happen again. A broken tree must not hang the suite: then the whole run breaks off.
    """

    def __init__(self) -> None:
        self._now = 0.0
        self._idle = 0

    def jump(self, seconds: float) -> None:
        self._now += seconds

    def start_clock(self) -> None:
        """Do nothing."""

    def current_time(self) -> float:
        return self._now

    def deadline_to_sleep_time(self, deadline: float) -> float:
        core: Any = trio._core._run
        if core.GLOBAL_RUN_CONTEXT.runner.waiting_for_idle:
            self._idle = 0
            return max(0.0, deadline - self._now)
        # Trio wakes itself through a socket now and then, which is there when it looks again.
        self._idle += 1
        if self._idle > 1000:
            raise RuntimeError("everybody waits, for nothing")
        return 0.0


@attrs.define
class _Life:
    """One running incarnation of a worker.

    Attributes:
        wake: ends its wait.
        how: how it shall end by itself; None: it was asked to stop.
    """

    wake: trio.Event
    how: How | None = None


class _Run:
    def __init__(self, scenario: Scenario, clock: _Clock) -> None:
        self.failure: Exception | None = None
        self._scenario = scenario
        self._clock = clock
        self._lives: dict[str, _Life] = {}
        self._stubborn = 0
        self._happenings: list[Happening] = []
        self._starts: Counter[str] = Counter()
        self._up: set[str] = set()
        self._auto_shutdowns = 0
        self._is_over = False

    async def reports(self) -> list[Report]:
        self._tree = TreeHandle(self._spec(self._scenario.root))
        self._subscription = self._tree.events(100_000)
        reports: list[Report] = []
        async with trio.open_nursery() as self._nursery:
            try:
                await self._live_through(reports)
            except Exception as exc:
                self.failure = exc
                raise
        return reports

    async def _live_through(self, reports: list[Report]) -> None:
        boot: list[Any] = []
        self._nursery.start_soon(self._run_tree, boot)
        await self._settle()
        reports.append(self._report(boot))
        for step in self._scenario.steps:
            results = await self._carry_out(step)
            reports.append(self._report(results))
        self._tree.stop()
        await self._settle()
        reports.append(self._report([]))
        assert self._is_over, "the tree does not end"

    async def _run_tree(self, boot: list[Any]) -> None:
        try:
            await self._tree.run(lambda: boot.append("ok"))
        except StartFailed as exc:
            boot.append(("start_failed", _chain(exc)))
        except ShutdownExit:
            pass
        finally:
            self._is_over = True

    async def _settle(self) -> None:
        """Return when nobody has anything to do."""
        await trio.testing.wait_all_tasks_blocked()
        while self._stubborn:
            self._clock.jump(0.001)
            await trio.testing.wait_all_tasks_blocked()

    # --- steps ----------------------------------------------------------------------------------

    async def _carry_out(self, step: Step) -> list[Any]:
        results: list[Any] = [PENDING] * len(step.actions)
        with self._held(step.hold):
            for place, action in enumerate(step.actions):
                self._nursery.start_soon(self._act, action, results, place)
                await self._settle()
        await self._settle()
        return results

    @contextmanager
    def _held(self, path: str | None) -> Iterator[None]:
        """Keep a supervisor from looking at its inbox, as if its task got no turn for a while."""
        held = None if path is None else self._running(path)
        if held is None:
            yield
            return
        mail = held.mail
        task, mail._parked = mail._parked, None
        assert task is not None, "it is not at rest"
        yield
        assert mail._parked is None, "it went on"
        mail._parked = task
        mail.wake()

    def _running(self, path: str) -> RunningSupervisor | None:
        try:
            return self._tree._find(path)
        except NoSuchSupervisor:
            return None

    async def _act(self, action: Action, results: list[Any], place: int) -> None:
        if isinstance(action, End):
            life = self._lives.get(action.path)
            if life is None:
                results[place] = "no_target"
            else:
                life.how = action.how
                life.wake.set()
                results[place] = "ok"
            return
        if isinstance(action, Pause):
            self._clock.jump(action.milliseconds / 1000)
            results[place] = "ok"
            return
        try:
            results[place] = await self._call(action)
        except StartFailed as exc:
            results[place] = ("start_failed", _chain(exc)[1:])
        except tuple(WORDS) as exc:
            results[place] = WORDS[type(exc)]

    async def _call(self, call: Call) -> Any:
        tree, path = self._tree, f"{call.path}/{call.name}" if call.path else call.name
        match call.call:
            case "which_children":
                children = await tree.which_children(call.path)
                # OTP lists them in reverse.
                return [
                    (_plain(child.name), STATES[child.state], _type(child.kind))
                    for child in reversed(children)
                ]
            case "count_children":
                return [*attrs.astuple(await tree.count_children(call.path))]
            case "start_child":
                return await self._start_child(call)
            case "restart_child":
                return _started(await tree.restart_child(path))
            case "terminate_child":
                await tree.terminate_child(self._full(path) if call.is_dynamic else path)
            case "delete_child":
                await tree.delete_child(path)
        return "ok"

    async def _start_child(self, call: Call) -> str:
        assert call.spec is not None
        if call.is_dynamic:
            return _started(await self._tree.start_from_template(call.path, call.spec))
        try:
            spec = self._spec(call.spec)
        except SpecError:
            # Here a wrong specification is refused before there is a call; OTP's caller learns
            # first that the supervisor is not there.
            await self._tree.count_children(call.path)
            raise
        return _started(await self._tree.start_child(call.path, spec))

    def _full(self, path: str) -> str:
        """Return the path with the number that a dynamic child has, if there is such a child."""
        paths = (child.path for child in self._tree.snapshot().walk())
        return next((each for each in paths if _plain(each) == path), path)

    # --- the tree -------------------------------------------------------------------------------

    def _spec(self, child: Child) -> ChildSpec:
        restart = _policy(child.restart)
        if isinstance(child, Worker):
            return self._worker(child, child)
        if child.is_dynamic:
            (template,) = child.children
            assert isinstance(template, Worker)
            return dynamic_supervisor(
                child.name or "root",
                partial(self._worker, template),
                intensity=child.intensity,
                period=child.period,
                auto_shutdown=child.auto_shutdown,
                restart=restart,
                significant=child.significant,
            )
        return supervisor(
            child.name or "root",
            [self._spec(each) for each in child.children],
            strategy=child.strategy,
            intensity=child.intensity,
            period=child.period,
            auto_shutdown=child.auto_shutdown,
            restart=restart,
            significant=child.significant,
        )

    def _worker(self, template: Worker, script: Worker) -> ChildSpec:
        shutdown = template.shutdown
        return ChildSpec(
            script.name,
            partial(self._work, script),
            restart=_policy(template.restart),
            shutdown=shutdown if isinstance(shutdown, str) else shutdown / 1000,
            significant=template.significant,
        )

    async def _work(self, script: Worker, context: ChildContext) -> None:
        path = _plain(context.path)
        self._drain()
        number = self._starts[path]
        assert path not in self._lives, f"{path} runs twice"
        # One event for both kinds of end: a child that waited for two would need a nursery, and
        # with it more turns than a child does that has nothing to clean up.
        is_polite = script.stop != "plain"
        life = _Life(cast(trio.Event, context.stop_request()) if is_polite else trio.Event())
        self._lives[path] = life
        try:
            word = script.starts[number - 1] if number <= len(script.starts) else "ok"
            await _start(word)
            if word == "die":
                return
            context.started()
            if word.startswith("flash "):
                _end(cast(How, word.removeprefix("flash ")))
                return
            await life.wake.wait()
            if life.how is not None:
                _end(life.how)
            else:
                await self._stop(script, path, number)
        finally:
            del self._lives[path]

    async def _stop(self, script: Worker, path: str, number: int) -> None:
        if script.stop == "ignore":
            self._stubborn += 1
            try:
                await trio.sleep_forever()
            finally:
                self._stubborn -= 1
        self._drain()
        self._happenings.append(Happening("asked", path, number))
        if script.stop == "crash":
            raise Boom

    # --- what happened ----------------------------------------------------------------------------

    def _report(self, results: list[Any]) -> Report:
        self._drain()
        happenings, self._happenings = self._happenings, []
        alive = self._alive()
        auto_shutdowns, self._auto_shutdowns = self._auto_shutdowns, 0
        return Report(tuple(results), tuple(happenings), alive, auto_shutdowns)

    def _alive(self) -> tuple[str, ...]:
        workers = set[str]()
        supervisors = set[str]()
        for child in self._tree.snapshot().walk():
            if child.state is State.RUNNING:
                which = supervisors if child.kind == "supervisor" else workers
                which.add(_plain(child.path))
        assert workers == set(self._lives), f"shown as running: {workers}, are: {set(self._lives)}"
        if not self._is_over:
            supervisors.add("")
        return (*workers, *supervisors)

    def _drain(self) -> None:
        for event in self._subscription.drain():
            assert isinstance(event, events.Event), event
            happening = self._happening(event)
            if happening is not None:
                self._happenings.append(happening)

    def _happening(self, event: events.Event) -> Happening | None:
        path = _plain(event.path)
        number = self._starts[path]
        happening: Happening | None = None
        match event:
            case events.ChildStarting():
                self._starts[path] = number + 1
                happening = Happening("start", path, number + 1)
            case events.ChildStarted():
                self._up.add(path)
                happening = Happening("up", path, number)
            case events.ChildIgnored():
                happening = Happening("ignore", path, number)
            case events.ChildStartFailed():
                happening = Happening("start_failed", path, number)
            case events.ChildEnded() | events.ChildStopped() if path in self._up:
                # A restart that is cancelled is a ChildStopped too; nothing ends there.
                self._up.remove(path)
                happening = Happening("end", path, number, event.reason.kind.value)
            case events.SupervisorGaveUp():
                happening = Happening("gave_up", path)
            case events.SupervisorAutoShutdown():
                self._auto_shutdowns += 1
            case events.SupervisorEnded() if not path:
                happening = Happening("end", "", 1, event.reason.kind.value)
        return happening


async def _start(word: str) -> None:
    match word:
        case "late":
            for _ in range(10):
                await trio.lowlevel.checkpoint()
        case "ignore":
            raise IgnoreStart
        case "error" | "raise":
            raise Boom


def _end(how: How) -> None:
    match how:
        case "crashed":
            raise Boom
        case "shutdown":
            raise ShutdownExit
        case "shutdown_for":
            raise ShutdownExit("a reason")
        case "killed":
            raise Killed


def _policy(word: RestartWord) -> Restart:
    return attrs.evolve(OTP, type=word)


def _plain(path: str) -> str:
    """Return a path without the numbers of dynamic children: OTP tells them apart by pid."""
    return re.sub(r"#\d+", "", path)


def _type(kind: str) -> str:
    return "supervisor" if kind == "supervisor" else "worker"


def _started(ref: ChildRef) -> str:
    return "started" if ref.running else "ignored"


def _chain(error: StartFailed) -> list[str]:
    """Return which children failed, the one lowest in the tree last."""
    names = []
    cause: BaseException | None = error
    while isinstance(cause, StartFailed):
        names.append(_plain(cause.path.rpartition("/")[2]))
        cause = cause.__cause__
    return names
