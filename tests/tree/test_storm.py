"""A supervisor whose inbox is never empty still hears everybody."""

from __future__ import annotations

import trio
from trio.testing import MockClock

from a2a_sup import NO_BACKOFF, Restart, open_tree, supervisor, task

FOREVER = Restart(backoff=NO_BACKOFF, intensity=None)


async def crash() -> None:
    raise ValueError


def test_a_storm_of_crashes_does_not_keep_a_cancellation_from_stopping_the_tree() -> None:
    async def main() -> bool:
        children = [task(f"c{number}", crash, restart=FOREVER) for number in range(20)]
        with trio.CancelScope() as scope:
            async with open_tree(supervisor("app", children)):
                for _ in range(100):
                    await trio.lowlevel.checkpoint()
                scope.cancel()
                await trio.sleep_forever()
        return scope.cancelled_caught

    assert trio.run(main)


def test_a_storm_of_crashes_does_not_keep_a_sibling_from_backing_off_on_time() -> None:
    starts: list[float] = []

    async def rare() -> None:
        starts.append(trio.current_time())
        if len(starts) == 2:
            return
        raise ValueError

    async def main() -> None:
        storm = [task(f"c{number}", crash, restart=FOREVER) for number in range(20)]
        children = [*storm, task("rare", rare, restart="transient")]
        async with open_tree(supervisor("app", children)):
            while len(starts) < 2:
                # The storm keeps the run busy, so the clock is turned by hand.
                clock.jump(0.001)
                await trio.lowlevel.checkpoint()

    clock = MockClock()
    trio.run(main, clock=clock)
    # It waits for its turn behind one message of each of the others, and no longer.
    assert 1 <= starts[1] - starts[0] < 1.2
