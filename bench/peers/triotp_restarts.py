"""Run by triotp's own Python: CPU microseconds for each restart of a crashing task."""

import sys
import time

import trio
from logbook import NullHandler  # type: ignore[import-not-found]
from triotp import supervisor  # type: ignore[import-not-found]


async def restarts(count: int) -> float:
    """Crash and be restarted so often."""
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
    limits = supervisor.options(max_restarts=2**40, max_seconds=5)
    begin = time.process_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(supervisor.start, [spec], limits)
        await done.wait()
        took = time.process_time() - begin
        nursery.cancel_scope.cancel()
    return took / count * 1e6


with NullHandler().applicationbound():
    print(trio.run(restarts, int(sys.argv[1])))
