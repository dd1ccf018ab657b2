"""Trees of this project at the work that others do too: ``python -m bench.trees.ours WHAT N``."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack

import trio

from a2a_sup import (
    NO_BACKOFF,
    Restart,
    dynamic_supervisor,
    open_tree,
    supervisor,
    task,
)
from bench.alone import serve
from bench.trees.clock import cpu, resident

HUGE = 2**40
"""An intensity that is never reached."""
AT_ONCE = Restart(backoff=NO_BACKOFF, intensity=HUGE, period=1e9)


async def restarts(count: int) -> Mapping[str, float]:
    """Return CPU microseconds from a crash to running again, all within one period."""
    return await _restarts(count, are_events_read=False)


async def told_restarts(count: int) -> Mapping[str, float]:
    """Return the same while somebody is told of every event."""
    return await _restarts(count, are_events_read=True)


async def _restarts(count: int, *, are_events_read: bool) -> Mapping[str, float]:
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

    crasher = task("crasher", child, restart=AT_ONCE)
    begin = cpu()
    async with open_tree(supervisor("app", [crasher])) as tree:
        with ExitStack() as stack:
            if are_events_read:
                stack.enter_context(tree.events(capacity=100))
            await done.wait()
            return {"us": (cpu() - begin) / count * 1e6}


async def parked(count: int) -> Mapping[str, float]:
    """Return what each of so many idle children costs: start, memory and stop."""

    async def child(*, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        await trio.sleep_forever()

    memory = resident()
    spec = supervisor("app", [dynamic_supervisor("many", lambda: task("child", child))])
    async with open_tree(spec) as tree:
        begin = cpu()
        for _ in range(count):
            await tree.start_from_template("many")
        start = cpu() - begin
        used = resident() - memory
        begin = cpu()
    stop = cpu() - begin
    return {"start": start / count * 1e6, "memory": used / count, "stop": stop / count * 1e6}


async def group(size: int) -> Mapping[str, float]:
    """Return CPU milliseconds from the crash of one of a group until all of it runs again."""
    crash, again = trio.Event(), trio.Event()

    async def child(*, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        await trio.sleep_forever()

    async def last(*, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        if crash.is_set():
            again.set()  # those before it were started before it
            await trio.sleep_forever()
        await crash.wait()
        raise ValueError

    members = [task(f"c{number}", child) for number in range(size - 1)]
    members.append(task("last", last, restart=AT_ONCE))
    async with open_tree(supervisor("app", members, strategy="one_for_all")):
        begin = cpu()
        crash.set()
        await again.wait()
        return {"ms": (cpu() - begin) * 1e3}


if __name__ == "__main__":
    serve((restarts, told_restarts, parked, group))
