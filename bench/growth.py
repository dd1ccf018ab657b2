"""How the cost of things grows with the size of a tree, and how long the loop is held."""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable, Callable, Sequence

import trio

from a2a_sup import NO_BACKOFF, Restart, TreeHandle, open_tree, supervisor
from a2a_sup.testing import ScriptedChild
from bench.tasks import HUGE, cpu

AT_ONCE = Restart(backoff=NO_BACKOFF, intensity=HUGE)
SIZES = (100, 1_000, 10_000)


def exponent(sizes: Sequence[int], costs: Sequence[float]) -> float:
    """Return the slope of the line through the logarithms: 0 is flat, 1 is linear."""
    xs, ys = [math.log(size) for size in sizes], [math.log(cost) for cost in costs]
    mean_x, mean_y = sum(xs) / len(xs), sum(ys) / len(ys)
    above = sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys, strict=True))
    return above / sum((x - mean_x) ** 2 for x in xs)


class Holds:
    """The longest time that nothing else could run, in seconds."""

    def __init__(self) -> None:
        """Begin with none."""
        self.longest = 0.0

    def reset(self) -> None:
        """Forget what was."""
        self.longest = 0.0

    async def watch(self) -> None:
        """Wake all the time, and see how late that was."""
        while True:
            begin = time.perf_counter()
            await trio.sleep(0.001)
            self.longest = max(self.longest, time.perf_counter() - begin - 0.001)


async def _on_tree(
    size: int, strategy: str, work: Callable[[TreeHandle, list[ScriptedChild]], Awaitable[float]]
) -> float:
    children = [ScriptedChild(f"c{number}") for number in range(size)]
    specs = [child.spec(restart=AT_ONCE) for child in children]
    async with open_tree(supervisor("app", specs, strategy=strategy)) as tree:  # type: ignore[arg-type]
        return await work(tree, children)


async def group_restart(size: int) -> float:
    """Return CPU seconds from the crash of one of a group until all of it runs again."""

    async def work(_: TreeHandle, children: list[ScriptedChild]) -> float:
        begin = cpu()
        children[-1].crash()
        while children[-1].starts < 2 or not children[-1].is_up:
            await trio.lowlevel.checkpoint()
        return cpu() - begin

    return await _on_tree(size, "one_for_all", work)


async def single_restart(size: int) -> float:
    """Return CPU seconds of the restart of one child among so many that run."""

    async def work(_: TreeHandle, children: list[ScriptedChild]) -> float:
        begin = cpu()
        for number in range(200):
            child, before = children[number % size], children[number % size].starts
            child.crash()
            while child.starts == before or not child.is_up:
                await trio.lowlevel.checkpoint()
        return (cpu() - begin) / 200

    return await _on_tree(size, "one_for_one", work)


async def look_at_one(size: int) -> float:
    """Return CPU seconds to see one changed child of so many."""

    async def work(tree: TreeHandle, children: list[ScriptedChild]) -> float:
        begin = cpu()
        for number in range(2_000):
            context = children[number % size].context
            assert context is not None  # noqa: S101 - it runs
            context.report(number=number)
            tree.child(f"c{number % size}")
        return (cpu() - begin) / 2_000

    return await _on_tree(size, "one_for_one", work)


async def look_at_all(size: int) -> float:
    """Return CPU seconds of a snapshot of so many after one change."""

    async def work(tree: TreeHandle, children: list[ScriptedChild]) -> float:
        begin = cpu()
        for number in range(50):
            context = children[number % size].context
            assert context is not None  # noqa: S101 - it runs
            context.report(number=number)
            tree.snapshot()
        return (cpu() - begin) / 50

    return await _on_tree(size, "one_for_one", work)


async def boot_and_stop(size: int) -> float:
    """Return CPU seconds to start and stop so many."""

    async def work(*_: object) -> float:
        return 0.0

    begin = cpu()
    await _on_tree(size, "one_for_one", work)
    return cpu() - begin


async def holds(size: int) -> dict[str, float]:
    """Return the longest hold of the loop in seconds while so many start, restart and stop."""
    found: dict[str, float] = {}
    watch = Holds()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch.watch)
        children = [ScriptedChild(f"c{number}") for number in range(size)]
        specs = [child.spec(restart=AT_ONCE) for child in children]
        group = supervisor("group", specs, strategy="one_for_all", restart=AT_ONCE)
        fleet = [ScriptedChild(f"f{number}").spec() for number in range(size)]
        many = supervisor("many", fleet, stop_order="parallel")
        await trio.sleep(0.05)
        watch.reset()
        async with open_tree(supervisor("app", [group, many])) as tree:
            found[f"start of 2 x {size}"] = watch.longest
            watch.reset()
            children[-1].crash()
            while children[-1].starts < 2 or not children[-1].is_up:  # noqa: ASYNC110 - seldom
                await trio.sleep(0.01)  # rarely, not to disturb what is measured
            found[f"group restart of {size}"] = watch.longest
            watch.reset()
            await tree.terminate_child("many")
            found[f"parallel stop of {size}"] = watch.longest
            watch.reset()
            tree.snapshot()
            await trio.sleep(0.01)
            found[f"snapshot of {size}"] = watch.longest
        nursery.cancel_scope.cancel()
    return found
