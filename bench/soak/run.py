"""The soak itself: what is done to the tree, and what must hold all along."""

from __future__ import annotations

import os
import random
import signal
import statistics
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import attrs
import trio

from a2a_sup import (
    CallError,
    ChildContext,
    ChildExit,
    ChildSnapshot,
    State,
    TreeHandle,
    events,
    open_tree,
)
from a2a_sup.app.reload import Reloader
from a2a_sup.model.states import TRANSITIONS
from a2a_sup.registry import AgentRegistry
from a2a_sup.serve.listen import Address, Door
from a2a_sup.serve.publisher import Limits, Publisher
from bench.soak.clock import JumpingClock
from bench.soak.population import Population, populate

SETTLING = 0.25
"""The part of the time after which memory is compared: caches and pools have filled by then."""
WATCHERS = 12
"""Connections to the dashboard at a time, of which a half reads slowly or not at all."""
HANDSHAKE = (
    b"GET / HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
MEMORY_MARGIN = 0.05
"""Growth of the median memory from the first to the last third of the rest that is noise."""


@attrs.define
class Report:
    """What was done, and what was found.

    Attributes:
        done: how often each thing was done to the tree.
        events: how many events there were.
        broken: invariants that did not hold: none, in a good run.
        memory: resident bytes, sampled.
        descriptors: open files, sampled.
    """

    done: Counter[str] = attrs.field(factory=Counter)
    events: int = 0
    broken: list[str] = attrs.field(factory=list)
    memory: list[int] = attrs.field(factory=list)
    descriptors: list[int] = attrs.field(factory=list)

    def demand(self, holds: bool, what: str) -> None:  # noqa: FBT001 - reads as an assertion
        """Write down what does not hold, the first hundred times."""
        if not holds and len(self.broken) < 100:
            self.broken.append(what)


class Soak:
    """One soak of one tree."""

    def __init__(
        self, people: Population, tree: TreeHandle, reloader: Reloader, clock: JumpingClock
    ) -> None:
        """Prepare to disturb ``tree``."""
        self.people = people
        self.tree = tree
        self.reloader = reloader
        self.clock = clock
        self.report = Report()
        self._actions: list[tuple[Callable[[], Awaitable[object]], int]] = [
            (self._crash, 40),
            (self._kill, 20),
            (self._hang, 5),
            (self._sicken, 5),
            (self._stop_and_start, 10),
            (self._add_and_delete, 10),
            (self._reload, 5),
            (self._jump, 1),
        ]

    async def disturb(self, pause: float) -> None:
        """Do something bad, wait a moment, for ever."""
        actions, weights = zip(*self._actions, strict=True)
        while True:
            [action] = random.choices(actions, weights)
            # Whoever disturbs at random comes too late now and then: the answer says so.
            with suppress(CallError, ChildExit):
                await action()
            await trio.sleep(random.random() * 2 * pause)

    async def watch(self) -> None:
        """Follow every event: no gap, no illegal move."""
        seq = None
        states: dict[str, State] = {}
        subscription = self.tree.events(capacity=100_000)
        async for event in subscription:
            if isinstance(event, events.EventsDropped):
                self.report.demand(False, f"{event.count} events were lost by a prompt reader")  # noqa: FBT003
                seq = None
                continue
            self.report.demand(seq is None or event.seq == seq + 1, f"gap before {event}")
            seq = event.seq
            self.report.events += 1
            self._follow(states, event)

    def _follow(self, states: dict[str, State], event: events.Event) -> None:
        target = MOVES.get(type(event))
        if isinstance(event, events.ChildRemoved | events.ChildAdded):
            states.pop(event.path, None)
        if target is None:
            return
        before = states.get(event.path)
        legal = before is None or target in TRANSITIONS[before] or _passes(before, target)
        self.report.demand(legal, f"{event.path}: {before} -> {target} ({event.type})")
        states[event.path] = target

    async def watch_slowly(self) -> None:
        """Read events too slowly: that costs only what the reader misses."""
        subscription = self.tree.events(capacity=10)
        async for _ in subscription:
            await trio.sleep(0.05)

    async def sample(self, every: float) -> None:
        """Measure, and check what must hold at every moment."""
        while True:
            await trio.sleep(every)
            self.report.memory.append(resident())
            self.report.descriptors.append(len(os.listdir("/proc/self/fd")))  # noqa: PTH208
            for path, child in self.people.tasks.items():
                self.report.demand(child.most_alive <= 1, f"{path}: two incarnations at once")

    async def publish(self, *, task_status: trio.TaskStatus[None]) -> None:
        """Serve the dashboard's socket."""
        limits = Limits(stall=5.0)
        publisher = Publisher(self.tree, AgentRegistry(), limits=limits)
        self._door = Door(Address("127.0.0.1", 0), "")
        async with trio.open_nursery() as nursery:
            await nursery.start(publisher.serve, self._door)
            task_status.started()

    async def watch_page(self, laziness: int) -> None:
        """Watch the tree as a page does: promptly, slowly, not at all, or away again at once."""
        host, port = self._door.bound.split(":")
        while True:
            with suppress(OSError, trio.BrokenResourceError, trio.ClosedResourceError):
                async with await trio.open_tcp_stream(host, int(port)) as page:
                    await page.send_all(HANDSHAKE % host.encode())
                    for wish in (b'{"type": "request_tree"}', b'{"type": "request_events"}'):
                        await page.send_all(b"\x81" + bytes([128 | len(wish)]) + bytes(4) + wish)
                    self.report.done["watchers connected"] += 1
                    await _read(page, laziness)
            await trio.sleep(random.random())

    # --- what is done ---------------------------------------------------------------------------

    async def _crash(self) -> None:
        child = random.choice(list(self.people.tasks.values()))
        if child.is_up:
            child.crash()
            self.report.done["tasks crashed"] += 1

    def _some_process(self) -> ChildSnapshot | None:
        return self.tree.child(random.choice(self.people.processes))

    async def _kill(self) -> None:
        child = self._some_process()
        if child is not None and (pid := child.details.get("pid")):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                self.report.done["processes killed"] += 1

    async def _hang(self) -> None:
        """Freeze a process, then have it stopped: it cannot heed the request."""
        child = self._some_process()
        if child is not None and (pid := child.details.get("pid")):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
                self.report.done["processes frozen and restarted"] += 1
            await self.tree.terminate_child(child.path)
            await self.tree.restart_child(child.path)

    async def _sicken(self) -> None:
        mood = random.choice(list(self.people.moods.values()))
        mood.is_well = False
        self.report.done["tasks unhealthy"] += 1
        await trio.sleep(1.5)
        mood.is_well = True

    async def _stop_and_start(self) -> None:
        path = random.choice([*self.people.tasks, *self.people.processes])
        await self.tree.terminate_child(path)
        self.report.done["children stopped and started"] += 1
        await self.tree.restart_child(path)

    async def _add_and_delete(self) -> None:
        parent = random.choice(list(self.people.tasks)).split("/", maxsplit=1)[0]
        name = f"extra{random.randrange(3)}"
        spec = await self.tree.get_childspec(next(iter(self.people.tasks)))
        await self.tree.start_child(parent, attrs.evolve(spec, name=name, run=idle))
        await trio.sleep(random.random())
        await self.tree.terminate_child(f"{parent}/{name}")
        await self.tree.delete_child(f"{parent}/{name}")
        self.report.done["children added and deleted"] += 1

    async def _reload(self) -> None:
        """Change a process, or add one, or remove one, in the file; and have it applied."""
        fleet, spare = self.people.fleet, f"spare{random.randrange(3)}"
        if fleet.pop(spare, None) is None:
            fleet[spare] = "quiet"
        self.people.renewed[random.choice(list(fleet))] += 1
        outcome = await self.reloader.apply(self.people.read())
        self.report.done["reloads"] += 1
        self.report.done["reloads done in part"] += outcome.failed is not None

    async def _jump(self) -> None:
        self.clock.jump(random.choice([0.5, 5.0, 60.0]))
        self.report.done["clock jumps"] += 1


async def _read(page: trio.SocketStream, laziness: int) -> None:
    with trio.move_on_after(random.random() * 60):
        if laziness == 2:
            await trio.sleep_forever()
        while laziness < 2 and await page.receive_some():  # noqa: ASYNC110 - to be lazy
            await trio.sleep(laziness * 0.2)


async def idle(context: ChildContext) -> None:
    """Run until cancelled."""
    context.started()
    await trio.sleep_forever()


MOVES = {
    events.ChildStarting: State.STARTING,
    events.ChildStarted: State.RUNNING,
    events.ChildStopping: State.STOPPING,
    events.ChildStopped: State.STOPPED,
    events.ChildStuck: State.STUCK,
    events.ChildFailed: State.FAILED,
}
"""The events that alone say which state a child is in."""


def _passes(before: State, target: State) -> bool:
    """Return whether one state between the two, told by events not followed, explains it."""
    return any(target in TRANSITIONS[between] for between in TRANSITIONS[before])


def resident() -> int:
    """Return this process's resident memory in bytes."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * 4096


async def soak(
    seconds: float, tasks: int, processes: int, logs: Path, clock: JumpingClock
) -> Report:
    """Disturb a tree for so many real seconds; return what came of it."""
    people = populate(tasks, processes, logs)
    config = people.read()
    async with open_tree(people.spec(config)) as tree, trio.open_nursery() as nursery:
        it = Soak(people, tree, Reloader(tree, config, people.spec), clock)
        await nursery.start(it.publish)
        for number in range(WATCHERS):
            nursery.start_soon(it.watch_page, number % 4)
        nursery.start_soon(it.watch)
        nursery.start_soon(it.watch_slowly)
        nursery.start_soon(it.sample, 0.5)
        for _ in range(4):
            nursery.start_soon(it.disturb, 0.05)
        await trio.to_thread.run_sync(time.sleep, seconds)  # the tree's own clock jumps
        nursery.cancel_scope.cancel()
    judge(it.report)
    return it.report


def judge(report: Report) -> None:
    """Demand that memory and descriptors did not grow once the tree had settled."""
    for what, samples in (("memory", report.memory), ("descriptors", report.descriptors)):
        rest = samples[int(len(samples) * SETTLING) :]
        third = max(1, len(rest) // 3)
        first, last = statistics.median(rest[:third]), statistics.median(rest[-third:])
        report.demand(
            last <= first * (1 + MEMORY_MARGIN) + 4, f"{what} grew from {first:.0f} to {last:.0f}"
        )
