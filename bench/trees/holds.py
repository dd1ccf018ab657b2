"""How long nothing else can run while many children start and stop: ``bench.trees.holds``."""

from __future__ import annotations

import gc
from collections.abc import Awaitable, Mapping, Sequence

import trio

from a2a_sup import TreeHandle, open_tree, supervisor
from a2a_sup.testing import ScriptedChild
from bench.alone import serve
from bench.trees.bare import Parked
from bench.trees.ours import AT_ONCE


class Holds:
    """The longest time that nothing else could run, in seconds."""

    def __init__(self) -> None:
        """Begin with none."""
        self.longest = 0.0

    async def watch(self) -> None:
        """Wake all the time, and see how late that was."""
        while True:
            due = trio.current_time() + 0.001
            await trio.sleep_until(due)
            self.longest = max(self.longest, trio.current_time() - due)

    async def during(self, work: Awaitable[object]) -> float:
        """Return the longest hold in milliseconds while ``work`` is done."""
        await trio.sleep(0.02)
        self.longest = 0.0
        await work
        await trio.sleep(0.02)
        return self.longest * 1e3


async def holds(size: int) -> Mapping[str, float]:
    """Return the longest hold in milliseconds while so many start, restart and stop."""
    fleet = [ScriptedChild(f"f{number}").spec() for number in range(size)]
    many = supervisor("many", fleet, stop_order="parallel")
    children = [ScriptedChild(f"c{number}") for number in range(size)]
    specs = [child.spec(restart=AT_ONCE) for child in children]
    group = supervisor("group", specs, strategy="one_for_all", restart=AT_ONCE)
    hold = Holds()
    found = {}
    async with trio.open_nursery() as nursery, open_tree(supervisor("app", [])) as tree:
        nursery.start_soon(hold.watch)
        found["start"] = await hold.during(tree.start_child("", many))
        found["first"] = await hold.during(_snapped(tree))
        found["next"] = await hold.during(_snapped(tree))
        found["stop"] = await hold.during(tree.terminate_child("many"))
        await tree.start_child("", group)
        found["group"] = await hold.during(_group_restarted(children))
        nursery.cancel_scope.cancel()
    return found


async def holds_without_collector(size: int) -> Mapping[str, float]:
    """Return the same without Python's garbage collector, which traverses all there is."""
    gc.disable()
    return await holds(size)


async def bare_holds(size: int) -> Mapping[str, float]:
    """Return the same of as many tasks of Trio, each with a scope of its own, and nothing else."""
    hold = Holds()
    async with trio.open_nursery() as nursery:
        tasks = Parked(nursery)
        nursery.start_soon(hold.watch)
        found = {"start": await hold.during(tasks.start(size))}
        found["stop"] = await hold.during(tasks.stop())
        nursery.cancel_scope.cancel()
    return found


async def _snapped(tree: TreeHandle) -> None:
    tree.snapshot()
    await trio.lowlevel.checkpoint()


async def _group_restarted(children: Sequence[ScriptedChild]) -> None:
    children[-1].crash()
    while children[-1].starts < 2 or not children[-1].is_up:  # noqa: ASYNC110 - seldom
        await trio.sleep(0.01)  # rarely, not to disturb what is measured


if __name__ == "__main__":
    serve((holds, holds_without_collector, bare_holds))
