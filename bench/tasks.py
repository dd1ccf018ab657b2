"""Tasks: restarting one, and a hundred thousand parked ones, against bare Trio."""

from __future__ import annotations

import gc
import itertools
import time
from pathlib import Path

import attrs
import trio

from a2a_sup import NO_BACKOFF, Restart, dynamic_supervisor, open_tree, supervisor, task

HUGE = 2**40
"""An intensity that is never reached."""


def cpu() -> float:
    """Return this process's CPU time in seconds: steadier than wall time on a busy machine."""
    return time.process_time()


def resident() -> int:
    """Return this process's resident memory in bytes."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * 4096


# --- crash to running again ---------------------------------------------------------------------


async def crash(task_status: trio.TaskStatus[None]) -> None:
    """Start, live for one tick, crash."""
    task_status.started()
    await trio.lowlevel.checkpoint()
    raise ValueError


async def bare_restarts(count: int) -> float:
    """Crash and respawn by hand: ``nursery.start``, a scope, the verdict on a channel."""
    send, receive = trio.open_memory_channel[BaseException](1)

    async def child(*, task_status: trio.TaskStatus[None]) -> None:
        with trio.CancelScope():
            try:
                await crash(task_status)
            except ValueError as exc:
                await send.send(exc)

    async with trio.open_nursery() as nursery:
        begin = cpu()
        for _ in range(count):
            await nursery.start(child)
            await receive.receive()
        return (cpu() - begin) / count


async def tree_restarts(count: int) -> float:
    """The same under a supervisor, with a subscriber to every event."""
    starts = 0
    done = trio.Event()

    async def child(*, task_status: trio.TaskStatus[None]) -> None:
        nonlocal starts
        task_status.started()
        starts += 1
        if starts > count:
            done.set()
            await trio.sleep_forever()
        await trio.lowlevel.checkpoint()
        raise ValueError

    policy = Restart(backoff=NO_BACKOFF, intensity=HUGE)
    begin = cpu()
    async with open_tree(supervisor("app", [task("crasher", child, restart=policy)])) as handle:
        with handle.events(capacity=100):
            await done.wait()
            return (cpu() - begin) / count


async def growth(count: int) -> list[float]:
    """Return seconds per restart for each tenth of ``count`` restarts of one child."""
    marks: list[float] = []
    starts = 0
    done = trio.Event()

    async def child(*, task_status: trio.TaskStatus[None]) -> None:
        nonlocal starts
        task_status.started()
        if starts % (count // 10) == 0:
            marks.append(cpu())
        starts += 1
        if starts > count:
            done.set()
            await trio.sleep_forever()
        await trio.lowlevel.checkpoint()
        raise ValueError

    policy = Restart(backoff=NO_BACKOFF, intensity=HUGE, period=1e9)
    spec = supervisor("app", [task("crasher", child, restart=policy)], intensity=HUGE, period=1e9)
    async with open_tree(spec):
        await done.wait()
    return [(b - a) / (count // 10) for a, b in itertools.pairwise(marks)]


# --- many parked children -----------------------------------------------------------------------


@attrs.frozen
class Parked:
    """The cost of one parked child: bytes, and seconds of CPU to start and to stop it."""

    memory: float
    start: float
    stop: float


async def bare_parked(count: int) -> Parked:
    """Park ``count`` tasks, each in a cancel scope of its own, started with acknowledgment."""
    scopes: list[trio.CancelScope] = []

    async def child() -> None:
        with trio.CancelScope() as scope:
            scopes.append(scope)
            await trio.sleep_forever()

    gc.collect()
    memory = resident()
    begin = cpu()
    async with trio.open_nursery() as nursery:
        for _ in range(count):
            nursery.start_soon(child)
            await trio.lowlevel.checkpoint()
        while len(scopes) < count:
            await trio.lowlevel.checkpoint()
        started = cpu()
        gc.collect()
        used = resident() - memory
        stopping = cpu()
        for scope in scopes:
            scope.cancel()
    return Parked(used / count, (started - begin) / count, (cpu() - stopping) / count)


async def tree_parked(count: int) -> Parked:
    """Park ``count`` children under one dynamic supervisor, each ``start_child`` awaited."""

    async def child(*, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        await trio.sleep_forever()

    gc.collect()
    memory = resident()
    spec = supervisor("app", [dynamic_supervisor("many", lambda: task("child", child))])
    async with open_tree(spec) as handle:
        begin = cpu()
        for _ in range(count):
            await handle.start_from_template("many")
        started = cpu()
        gc.collect()
        used = resident() - memory
        stopping = cpu()
    return Parked(used / count, (started - begin) / count, (cpu() - stopping) / count)
