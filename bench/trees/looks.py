"""How the cost of small things grows with the size of a tree: ``python -m bench.trees.looks``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

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


if __name__ == "__main__":
    serve((small_things,))
