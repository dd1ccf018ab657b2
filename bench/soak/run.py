"""The soak itself: a tree is disturbed, left in peace, and must hold all along and in the end."""

from __future__ import annotations

import os
from pathlib import Path

import trio

from a2a_sup import (
    CallError,
    ChildExit,
    State,
    TreeHandle,
    TreeSnapshot,
    events,
    open_tree,
)
from a2a_sup.app.reload import Reloader
from bench.soak.audience import Audience
from bench.soak.clock import JumpingClock
from bench.soak.disturbing import Disturber
from bench.soak.ending import DOWN, unsettled, wrongly_down
from bench.soak.following import Follower
from bench.soak.leftovers import is_process_of, look, overfull
from bench.soak.patience import Patience
from bench.soak.population import STRATEGIES, Population, is_once, populate
from bench.soak.report import Report, judged

CALM = 10.0
"""Real seconds at the end in which nobody disturbs the tree, and everybody comes to run."""
SETTLES_WITHIN = 30.0
"""Real seconds that this may take at most, and half of what acts that were begun may take."""
STARTS_TRIED = 3
"""A task may have been told to fail its next start, which is this, and that twice."""
SAMPLED_EVERY = 0.5
LOOKED_AT_EVERY = 3.0
"""Seconds between two looks at all processes."""
NOTICED_WITHIN = 15.0
"""Real seconds in which it is noticed that a process has ended, and cleared up after it."""
MOVES_WITHIN = 20.0
"""Real seconds in which a child goes on to another state; a stubborn one, or its group, takes 7."""
ON_THE_WAY = frozenset(State) - DOWN - {State.RUNNING}


class Soak:
    """One soak of one tree.

    Attributes:
        is_calm: nobody disturbs the tree any more.
    """

    def __init__(
        self, people: Population, tree: TreeHandle, clock: JumpingClock, mark: str, report: Report
    ) -> None:
        """Prepare to watch ``tree``; the processes of the soak carry ``mark``."""
        self.is_calm = False
        self.people = people
        self.tree = tree
        self.clock = clock
        self.mark = mark
        self.report = report
        self._subscription = tree.events(capacity=100_000)
        snapshot = tree.snapshot()
        self._follower = Follower(
            snapshot.revision, snapshot.walk(), people.restart_of, self._is_alive
        )
        self._dead = Patience[tuple[str, int]](NOTICED_WITHIN)
        self._moving = Patience[tuple[str, State, float]](MOVES_WITHIN)

    def _is_alive(self, path: str, pid: int) -> bool:
        return is_process_of(self.mark, path.removeprefix("fleet/"), pid)

    async def follow(self) -> None:
        """Follow every event until the tree has ended: no gap, no illegal move."""
        async for event in self._subscription:
            if isinstance(event, events.EventsDropped):
                # What they were cannot be known, so what follows cannot be judged.
                self.report.lost += event.count
                return
            self.report.events += 1
            self.report.blame(self._follower.take(event))
        self.report.moves = self._follower.moves
        self.report.demand(self._follower.is_over, "the tree ended without saying so")
        left = sorted(self._follower.children)
        self.report.demand(not left, f"children outlived the tree: {left[:5]}")

    async def read_slowly(self) -> None:
        """Read events too slowly: that costs only what the reader misses."""
        subscription = self.tree.events(capacity=10)
        async for _ in subscription:
            await trio.sleep(0.05)

    async def sample(self) -> None:
        """Measure, and check what must hold at every moment."""
        while True:
            await trio.sleep(SAMPLED_EVERY)
            if not self.is_calm:  # then other things are done, and fewer
                self.report.memory.append(resident())
                self.report.descriptors.append(open_files())
            for path, child in (self.people.tasks | self.people.stubborn).items():
                child.log.clear()  # it would be the leak that is looked for
                self.report.demand(child.most_alive <= 1, f"{path}: two incarnations at once")
            self._look_at_children()

    def _look_at_children(self) -> None:
        """Demand that nobody is on the way for long, and that the end of a process is noticed."""
        now, dead, moving = self.clock.real_time(), [], []
        for child in self.tree.snapshot().walk():
            path, pid = child.path, child.details.get("pid")
            if child.state in ON_THE_WAY:
                moving.append((path, child.state, child.since))
            if pid is not None and "exit_status" not in child.details:
                dead += [] if self._is_alive(path, pid) else [(path, pid)]
        for path, pid in self._dead.exhausted(dead, now):
            self.report.blame([f"{path}: its process {pid} died, and is still shown"])
        for path, state, since in self._moving.exhausted(moving, now):
            self.report.blame([f"{path}: {state} for too long, since {since:.1f}"])

    async def look_at_processes(self) -> None:
        """Count the processes of each child: there may be no more than its program consists of."""
        while True:
            await trio.sleep(LOOKED_AT_EVERY)
            found = await trio.to_thread.run_sync(look, self.mark)
            self.report.processes.append(sum(map(len, found.values())))
            # Of children that are being removed too.
            self.report.blame(overfull(found, self.people.bounds, unknown=1))

    # --- the end --------------------------------------------------------------------------------

    async def settle(self) -> None:
        """Start who is down, as an operator would; then demand that everybody comes to run."""
        kind_of = self.people.kind_of
        before = self.tree.snapshot().walk()
        self.report.blame(wrongly_down(before, is_once, is_grouped, kind_of))
        for _ in range(STARTS_TRIED):
            await self._start_who_is_down()
        wanted = [*self.people.tasks, *self.people.stubborn, *self.people.processes]
        missing: list[str] = []

        def look_who_is_missing(snapshot: TreeSnapshot) -> bool:
            missing[:] = unsettled(snapshot.walk(), wanted, kind_of)
            return not missing

        with trio.move_on_after(SETTLES_WITHIN):
            await self.tree.wait_until(look_who_is_missing)
        self.report.blame(missing)
        self.report.is_settled = not missing
        await self._take_stock()

    async def _start_who_is_down(self) -> None:
        for child in self.tree.snapshot().walk():
            if child.state in DOWN and self.people.kind_of(child.path) != "short":
                self.report.done["children started at the end"] += 1
                try:
                    await self.tree.restart_child(child.path)
                except (CallError, ChildExit) as exc:
                    self.report.refused[f"children started at the end: {type(exc).__name__}"] += 1

    async def _take_stock(self) -> None:
        """Demand that there are just the processes that are shown, with what belongs to them."""
        found = await trio.to_thread.run_sync(look, self.mark)
        # One of them hides a second; the third, that hid it, is gone by now.
        bounds = {name: min(bound, 2) for name, bound in self.people.bounds.items()}
        self.report.blame(overfull(found, bounds, unknown=0))
        for path in self.people.processes:
            child = self.tree.child(path)
            if child is not None and child.state is State.RUNNING:
                pids = found.get(child.name, frozenset())
                is_there = child.details.get("pid") in pids or self.people.kind_of(path) == "short"
                self.report.demand(is_there, f"{path}: runs, and its process is not among {pids}")


def is_grouped(path: str) -> bool:
    """Return whether the children beside that at ``path`` share its fate."""
    group = path.partition("/")[0] if "/" in path else ""
    if group.startswith("group"):
        return STRATEGIES[int(group.removeprefix("group")) % len(STRATEGIES)] != "one_for_one"
    return group == "stubborn_one_for_all"


def resident() -> int:
    """Return this process's resident memory in bytes."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * 4096


def open_files() -> int:
    """Return how many descriptors this process has, that of the look itself included."""
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - a number is wanted


async def soak(
    seconds: float, size: tuple[int, int], logs: Path, clock: JumpingClock, mark: str
) -> Report:
    """Run a tree for so many real seconds, and disturb it most of the time.

    Args:
        seconds: of which the last are calm.
        size: how many children are tasks, and how many are processes.
        logs: a directory for their output.
        clock: that of this Trio run.
        mark: what the processes carry in their environment; this process carries it too.
    """
    people = populate(*size, logs)
    config = people.read()
    report = Report()
    busy = seconds - min(CALM, seconds / 2)
    # The followers go on until the tree has ended.
    async with trio.open_nursery() as followers, open_tree(people.spec(config)) as tree:
        it = Soak(people, tree, clock, mark, report)
        audience = Audience(tree, clock, report)
        disturber = Disturber(people, tree, Reloader(tree, config, people.spec), clock, report)
        followers.start_soon(it.follow)
        async with trio.open_nursery() as nursery:
            await nursery.start(audience.watch)
            nursery.start_soon(it.read_slowly)
            nursery.start_soon(it.sample)
            nursery.start_soon(it.look_at_processes)
            report.blame(await _disturb(disturber, busy, tree, clock))
            begin = clock.real_time()
            it.is_calm = audience.is_calm = True
            await it.settle()
            await trio.sleep(max(0.0, begin + CALM - clock.real_time()))
            nursery.cancel_scope.cancel()
    report.verdict += judged(report, disturber.expected(busy))
    return report


async def _disturb(
    disturber: Disturber, seconds: float, tree: TreeHandle, clock: JumpingClock
) -> list[str]:
    """Disturb the tree for so long, wait until all is done that was begun; return what is not."""
    end = clock.real_time() + seconds
    async with trio.open_nursery() as nursery:
        nursery.start_soon(disturber.disturb)
        while clock.real_time() < end:  # noqa: ASYNC110 - each jump wakes it too early
            await trio.sleep(end - clock.real_time())
        disturber.be_calm()
        nursery.cancel_scope.deadline = trio.current_time() + 2 * SETTLES_WITHIN
    unanswered = disturber.unanswered()
    if not unanswered:
        return []
    on_the_way = [f"{c.path} {c.state}" for c in tree.snapshot().walk() if c.state in ON_THE_WAY]
    whose = ", ".join(on_the_way) or "nobody is on the way"
    return [f"{what}: asked of the tree, and not answered ({whose})" for what in unanswered]
