"""The floor: the same with bare Trio, and no supervision: ``python -m bench.trees.bare WHAT N``."""

from __future__ import annotations

from collections.abc import Mapping

import trio

from bench.alone import serve
from bench.trees.clock import cpu, resident


async def restarts(count: int) -> Mapping[str, float]:
    """Crash and respawn by hand: ``nursery.start``, a scope, the verdict on a channel."""
    send, receive = trio.open_memory_channel[BaseException](1)

    async def crash(task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        await trio.lowlevel.checkpoint()
        raise ValueError

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
        return {"us": (cpu() - begin) / count * 1e6}


async def channel_restarts(count: int) -> Mapping[str, float]:
    """Do as Erlang does: no start is acknowledged, and one loop is told of each end.

    Each time a fresh task with a scope of its own, and nothing that could be left out.
    """
    send, receive = trio.open_memory_channel[BaseException](1)

    async def crash() -> None:
        await trio.lowlevel.checkpoint()
        raise ValueError

    async def child() -> None:
        with trio.CancelScope():
            try:
                await crash()
            except ValueError as exc:
                send.send_nowait(exc)

    async with trio.open_nursery() as nursery:
        begin = cpu()
        for _ in range(count):
            nursery.start_soon(child)
            await receive.receive()
        return {"us": (cpu() - begin) / count * 1e6}


class Parked:
    """Tasks that wait, each in a cancel scope of its own."""

    def __init__(self, nursery: trio.Nursery) -> None:
        """Put them into ``nursery``."""
        self.scopes: list[trio.CancelScope] = []
        self.gone = 0
        self._nursery = nursery

    async def _wait(self) -> None:
        with trio.CancelScope() as scope:
            self.scopes.append(scope)
            await trio.sleep_forever()
        self.gone += 1

    async def start(self, count: int) -> None:
        """Start so many, one after the other."""
        self.scopes.clear()
        self.gone = 0
        for _ in range(count):
            self._nursery.start_soon(self._wait)
            await trio.lowlevel.checkpoint()
        while len(self.scopes) < count:
            await trio.lowlevel.checkpoint()

    async def stop(self) -> None:
        """Cancel all, and wait until they are gone."""
        for scope in self.scopes:
            scope.cancel()
        while self.gone < len(self.scopes):
            await trio.lowlevel.checkpoint()


async def parked(count: int) -> Mapping[str, float]:
    """Return what each of so many idle tasks costs: start, memory and stop."""
    async with trio.open_nursery() as nursery:
        tasks = Parked(nursery)
        memory, begin = resident(), cpu()
        await tasks.start(count)
        start = cpu() - begin
        used = resident() - memory
        begin = cpu()
        await tasks.stop()
        stop = cpu() - begin
    return {"start": start / count * 1e6, "memory": used / count, "stop": stop / count * 1e6}


async def group(size: int) -> Mapping[str, float]:
    """Return CPU milliseconds to cancel so many tasks and to start them anew."""
    async with trio.open_nursery() as nursery:
        tasks = Parked(nursery)
        await tasks.start(size)
        begin = cpu()
        await tasks.stop()
        await tasks.start(size)
        taken = cpu() - begin
        nursery.cancel_scope.cancel()
    return {"ms": taken * 1e3}


if __name__ == "__main__":
    serve((restarts, channel_restarts, parked, group))
