"""What is done to a tree: everything that goes wrong, at random."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress

import attrs
import trio

from a2a_sup import (
    CallError,
    ChildContext,
    ChildExit,
    ChildSnapshot,
    ChildStuck,
    ReasonKind,
    State,
    TreeHandle,
)
from a2a_sup.app.reload import Reloader
from bench.soak.clock import JumpingClock
from bench.soak.population import Population
from bench.soak.report import Report

DISTURBERS = 4
PAUSE = 0.05
"""Mean seconds between two acts of one disturber."""
RATE = 4.0
"""Acts per second of all of them together: far fewer than on any machine, as many wait."""
STUBBORN_EVERY = 5.0
FROZEN_EVERY = 3.0
"""Mean seconds between two stops of stubborn tasks; between two processes that are frozen."""
FOUND_WITHIN = 30.0
"""Seconds after which a frozen process must have been found: ten times its heartbeat."""
ROUND = 20.0
"""Seconds that one round of either of these two takes at most, on the average."""


class Disturber:
    """Disturbs one tree, until it is told to be calm."""

    def __init__(
        self,
        people: Population,
        tree: TreeHandle,
        reloader: Reloader,
        clock: JumpingClock,
        report: Report,
    ) -> None:
        """Prepare to disturb ``tree``."""
        self._people = people
        self._tree = tree
        self._reloader = reloader
        self._clock = clock
        self._report = report
        self._calm = trio.Event()
        self._under_way: dict[object, str] = {}
        self._acts: Mapping[str, tuple[Callable[[str], Awaitable[object]], int]] = {
            "tasks crashed": (self._crash, 40),
            "tasks returned": (self._return, 5),
            "tasks crashed, and at their next start": (self._fail_start, 3),
            "processes killed": (self._kill, 20),
            "processes frozen and restarted": (self._freeze_and_restart, 5),
            "tasks unhealthy": (self._sicken, 5),
            "children stopped and started": (self._stop_and_start, 10),
            "supervisors stopped and started": (self._stop_and_start_group, 3),
            "children added and deleted": (self._add_and_delete, 10),
            "reloads": (self._reload, 5),
            "clock jumps": (self._jump, 1),
        }

    def expected(self, seconds: float) -> dict[str, float]:
        """Return how often each thing is done in so many seconds, guessed low."""
        total = sum(weight for _, weight in self._acts.values())
        expected = {
            what: RATE * seconds * weight / total for what, (_, weight) in self._acts.items()
        }
        return expected | {
            "frozen processes found": seconds / ROUND * 2,
            "stubborn tasks stuck": seconds / ROUND * 2,
        }

    async def disturb(self) -> None:
        """Disturb the tree until ``be_calm``; then finish what was begun."""
        async with trio.open_nursery() as nursery:
            first = random.sample([*self._acts], len(self._acts))
            for number in range(DISTURBERS):
                # Everything once, and from then on what chance says.
                nursery.start_soon(self._disturb, first[number::DISTURBERS])
            nursery.start_soon(self._repeat, self._be_stubborn, "stubborn tasks stuck")
            nursery.start_soon(self._repeat, self._freeze, "frozen processes found")

    def be_calm(self) -> None:
        """Begin nothing more, and let all be well."""
        self._calm.set()
        for mood in self._people.moods.values():
            mood.is_well = True

    def unanswered(self) -> list[str]:
        """Return what was begun and did not end, once ``disturb`` was cancelled."""
        return list(self._under_way.values())

    async def _disturb(self, first: list[str]) -> None:
        weights = [weight for _, weight in self._acts.values()]
        while not self._calm.is_set():
            [what] = [first.pop()] if first else random.choices([*self._acts], weights)
            await self._try(self._acts[what][0], what)
            await trio.sleep(random.random() * 2 * PAUSE)

    async def _repeat(self, act: Callable[[str], Awaitable[object]], what: str) -> None:
        while not self._calm.is_set():
            await self._try(act, what)
            with trio.move_on_after(1):
                await self._calm.wait()

    async def _try(self, act: Callable[[str], Awaitable[object]], what: str) -> None:
        """Do something, which may be refused.

        Whoever disturbs at random comes too late now and then, and the answer says so.
        """
        me = trio.lowlevel.current_task()
        self._under_way[me] = what
        try:
            await act(what)
        except (CallError, ChildExit) as exc:
            self._report.refused[f"{what}: {type(exc).__name__}"] += 1
        del self._under_way[me]  # who is cancelled has not ended

    async def _start_again(self, path: str) -> None:
        """Start who was stopped, or leave that to who did it meanwhile.

        Raises:
            CallError: it is there, or is about to be, or is no more.
            ChildExit: it could not start, or somebody stopped it meanwhile, who then owes it this.
        """
        while True:
            try:
                await self._tree.restart_child(path)
            except ChildStuck:
                await trio.sleep(0.3)
            else:
                return

    async def _stop_then_start(self, path: str, what: str) -> None:
        """Stop and start a child. Who is stuck is started when it is gone."""
        with suppress(ChildStuck):
            await self._tree.terminate_child(path)
        await self._start_again(path)
        self._report.done[what] += 1

    # --- what is done ---------------------------------------------------------------------------

    async def _crash(self, what: str) -> None:
        child = random.choice(list(self._people.tasks.values()))
        if child.is_up:
            child.crash()
            self._report.done[what] += 1

    async def _return(self, what: str) -> None:
        child = random.choice(list(self._people.tasks.values()))
        if child.is_up:
            child.finish()
            self._report.done[what] += 1

    async def _fail_start(self, what: str) -> None:
        child = random.choice(list(self._people.tasks.values()))
        if child.is_up:
            child.fail_next_start()
            child.crash()
            self._report.done[what] += 1

    def _some_process(self) -> ChildSnapshot | None:
        return self._tree.child(random.choice(self._people.processes))

    async def _kill(self, what: str) -> None:
        child = self._some_process()
        if child is not None:
            self._report.done[what] += _signal(child, signal.SIGKILL)

    async def _freeze_and_restart(self, what: str) -> None:
        """Freeze a process, then have it stopped: it cannot heed the request."""
        child = self._some_process()
        if child is not None and _signal(child, signal.SIGSTOP):
            await self._stop_then_start(child.path, what)

    async def _freeze(self, what: str) -> None:
        """Freeze a process that has a heartbeat: nobody but its probe says so."""
        await trio.sleep(random.random() * FROZEN_EVERY)
        path = random.choice([p for p in self._people.processes if self._is_beating(p)])
        child = self._tree.child(path)
        if self._calm.is_set() or child is None or not _signal(child, signal.SIGSTOP):
            return
        begin = self._clock.real_time()
        while (now := self._tree.child(path)) and now.incarnation == child.incarnation:
            if self._clock.real_time() > begin + FOUND_WITHIN:
                self._report.blame([f"{path}: frozen, and not found: {now.state}"])
                return
            await trio.sleep(0.1)
        reason = now and now.last_reason
        if reason is not None and reason.kind == ReasonKind.UNHEALTHY:
            self._report.done[what] += 1

    def _is_beating(self, path: str) -> bool:
        return self._people.kind_of(path) == "beating"

    async def _be_stubborn(self, what: str) -> None:
        """Stop a task that does not end when it is cancelled, and start it when it did."""
        await trio.sleep(random.random() * STUBBORN_EVERY)
        path = random.choice(list(self._people.stubborn))
        try:
            await self._tree.terminate_child(path)
        except ChildStuck:
            self._report.done[what] += 1
        await self._start_again(path)

    async def _sicken(self, what: str) -> None:
        mood = random.choice(list(self._people.moods.values()))
        mood.is_well = False
        self._report.done[what] += 1
        await trio.sleep(1.5)
        mood.is_well = True

    async def _stop_and_start(self, what: str) -> None:
        path = random.choice([*self._people.tasks, *self._people.processes])
        await self._stop_then_start(path, what)

    async def _stop_and_start_group(self, what: str) -> None:
        await self._stop_then_start(self._some_group(), what)

    def _some_group(self) -> str:
        return random.choice(list(self._people.tasks)).split("/", maxsplit=1)[0]

    async def _add_and_delete(self, what: str) -> None:
        path = f"{self._some_group()}/extra{random.randrange(3)}"
        parent, name = path.split("/")
        spec = await self._tree.get_childspec(next(iter(self._people.tasks)))
        await self._tree.start_child(parent, attrs.evolve(spec, name=name, run=idle, probes=()))
        await trio.sleep(random.random())
        await self._tree.terminate_child(path)
        await self._tree.delete_child(path)
        self._report.done[what] += 1

    async def _reload(self, what: str) -> None:
        """Change a process, or add one, or remove one, in the file; and have it applied."""
        fleet, spare = self._people.fleet, f"spare{random.randrange(3)}"
        if fleet.pop(spare, None) is None:
            fleet[spare] = "quiet"
        self._people.renewed[random.choice(list(fleet))] += 1
        outcome = await self._reloader.apply(self._people.read())
        self._report.done[what] += 1
        if outcome.failed is not None:
            step = f"{outcome.failed.act} of {outcome.failed.path}: {outcome.because}"
            self._report.done[f"reloads done in part, to the {step}"] += 1

    async def _jump(self, what: str) -> None:
        self._clock.jump(random.choice([0.5, 5.0, 60.0]))
        self._report.done[what] += 1


def _signal(child: ChildSnapshot, number: signal.Signals) -> bool:
    """Send a signal to the process of a child that runs; return whether there is one."""
    pid = child.details.get("pid")
    if child.state is not State.RUNNING or pid is None or "exit_status" in child.details:
        return False
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


async def idle(context: ChildContext) -> None:
    """Run until cancelled."""
    context.started()
    await trio.sleep_forever()
