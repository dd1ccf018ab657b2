"""How the cost of small things grows with the size of a tree: ``python -m bench.trees.looks``."""

from __future__ import annotations

import gc
from collections.abc import Awaitable, Callable, Mapping, Sequence

import trio

from a2a_sup import ChildContext, TreeHandle, open_tree, supervisor
from a2a_sup.testing import ScriptedChild
from bench.alone import serve
from bench.trees.clock import cpu
from bench.trees.ours import AT_ONCE

RESTARTS = 200
LOOKS = 2_000
SNAPSHOTS = 50


async def small_things(size: int) -> Mapping[str, float]:
    """Return the CPU microseconds of a restart, a look and a snapshot among so many children."""
    children = [ScriptedChild(f"c{number}") for number in range(size)]
    specs = [child.spec(restart=AT_ONCE) for child in children]
    async with open_tree(supervisor("app", specs)) as tree:
        return {
            "restart": await _each(RESTARTS, lambda n: _restart(children[n % size])),
            "look": await _each(LOOKS, lambda n: _look(tree, children[n % size])),
            "snapshot": await _each(SNAPSHOTS, lambda n: _snapshot(tree, children[n % size])),
        }


async def _each(times: int, work: Callable[[int], Awaitable[object]]) -> float:
    begin = cpu()
    for number in range(times):
        await work(number)
    return (cpu() - begin) / times * 1e6


async def _restart(child: ScriptedChild) -> None:
    before = child.starts
    child.crash()
    while child.starts == before or not child.is_up:
        await trio.lowlevel.checkpoint()


async def _look(tree: TreeHandle, child: ScriptedChild) -> None:
    _context(child).report(number=1)
    tree.child(child.name)


async def _snapshot(tree: TreeHandle, child: ScriptedChild) -> None:
    _context(child).report(number=1)
    tree.snapshot()


def _context(child: ScriptedChild) -> ChildContext:
    assert child.context is not None  # noqa: S101 - it runs
    return child.context


# --- how long the loop is held -------------------------------------------------------------------


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
    children = [ScriptedChild(f"c{number}") for number in range(size)]
    specs = [child.spec(restart=AT_ONCE) for child in children]
    group = supervisor("group", specs, strategy="one_for_all", restart=AT_ONCE)
    fleet: Sequence[ScriptedChild] = [ScriptedChild(f"f{number}") for number in range(size)]
    many = supervisor("many", [child.spec() for child in fleet], stop_order="parallel")
    hold = Holds()
    found = {}
    async with trio.open_nursery() as nursery, open_tree(supervisor("app", [])) as tree:
        nursery.start_soon(hold.watch)
        found["start"] = await hold.during(tree.start_child("", many))
        await tree.start_child("", group)
        found["first"] = await hold.during(_snapped(tree))
        found["next"] = await hold.during(_snapped(tree))
        found["group"] = await hold.during(_group_restarted(children))
        found["stop"] = await hold.during(tree.terminate_child("many"))
        nursery.cancel_scope.cancel()
    return found


async def holds_without_collector(size: int) -> Mapping[str, float]:
    """Return the same without Python's garbage collector, which traverses all there is."""
    gc.disable()
    return await holds(size)


async def _snapped(tree: TreeHandle) -> None:
    tree.snapshot()
    await trio.lowlevel.checkpoint()


async def _group_restarted(children: Sequence[ScriptedChild]) -> None:
    children[-1].crash()
    while children[-1].starts < 2 or not children[-1].is_up:  # noqa: ASYNC110 - seldom
        await trio.sleep(0.01)  # rarely, not to disturb what is measured


if __name__ == "__main__":
    serve((small_things, holds, holds_without_collector))
