"""triotp at the same work, its log muted: ``python -m bench.trees.triotp_trees WHAT N``."""

from __future__ import annotations

from collections.abc import Mapping
from functools import wraps

import trio
from logbook import NullHandler  # type: ignore[import-not-found]
from triotp import dynamic_supervisor, mailbox, supervisor  # type: ignore[import-not-found]

from bench.alone import Work, serve
from bench.trees.clock import cpu, resident
from bench.trees.ours import HUGE

OPTIONS = supervisor.options(max_restarts=HUGE, max_seconds=5)


async def restarts(count: int) -> Mapping[str, float]:
    """Return CPU microseconds from a crash to running again."""
    starts = 0
    done = trio.Event()

    async def child() -> None:
        nonlocal starts
        starts += 1
        if starts > count:
            done.set()
            await trio.sleep_forever()
        await trio.lowlevel.checkpoint()
        raise ValueError

    spec = supervisor.child_spec(id="crasher", task=child, args=[])
    begin = cpu()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(supervisor.start, [spec], OPTIONS)
        await done.wait()
        taken = cpu() - begin
        nursery.cancel_scope.cancel()
    return {"us": taken / count * 1e6}


async def parked(count: int) -> Mapping[str, float]:
    """Return what each of so many idle children costs: start, memory and stop."""
    up = 0

    async def child() -> None:
        nonlocal up
        up += 1
        await trio.sleep_forever()

    spec = supervisor.child_spec(id="child", task=child, args=[])
    memory = resident()
    async with trio.open_nursery() as nursery:
        many = await nursery.start(dynamic_supervisor.start, OPTIONS)
        begin = cpu()
        for _ in range(count):
            await dynamic_supervisor.start_child(many, spec)
        while up < count:
            await trio.lowlevel.checkpoint()
        start = cpu() - begin
        used = resident() - memory
        begin = cpu()
        nursery.cancel_scope.cancel()
    stop = cpu() - begin
    return {"start": start / count * 1e6, "memory": used / count, "stop": stop / count * 1e6}


def _at_home(work: Work) -> Work:
    """Return ``work`` with what triotp's own node sets up before it runs anything."""

    @wraps(work)
    async def at_home(size: int) -> Mapping[str, float]:
        mailbox._init()
        return await work(size)

    return at_home


if __name__ == "__main__":
    with NullHandler().applicationbound():
        serve((_at_home(restarts), _at_home(parked)))
