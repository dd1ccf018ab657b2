"""A scrape of a large tree: the whole of it, and how long the loop is held at a time."""

from __future__ import annotations

import statistics
import time

import trio

from a2a_sup import open_tree, supervisor, task
from a2a_sup.serve.lag import LoopLag
from a2a_sup.serve.metrics import Metrics

SCRAPES = 15


class Holds(trio.abc.Instrument):
    """Notes the longest turn of the loop."""

    def __init__(self) -> None:
        """Begin with none."""
        self.longest = 0.0
        self._began = time.perf_counter()

    def after_io_wait(self, timeout: float) -> None:  # noqa: ARG002 - Trio's
        """Begin a turn."""
        self._began = time.perf_counter()

    def before_io_wait(self, timeout: float) -> None:  # noqa: ARG002
        """End a turn."""
        self.longest = max(self.longest, time.perf_counter() - self._began)


async def scrape(count: int) -> tuple[float, float, float]:
    """Return for ``count`` children the median of a scrape's CPU, of its longest hold, the floor.

    All in seconds. The floor is formatting as many lines with the same labels and a number.
    """
    whole, holds, floors = [], [], []
    group = [task(f"child-{each}", trio.sleep_forever) for each in range(100)]
    children = [supervisor(f"group-{number}", group) for number in range(count // 100)]
    async with open_tree(supervisor("root", children)) as tree:
        metrics = Metrics(tree.snapshot, LoopLag())
        paths = [child.path for child in tree.snapshot().walk()]
        for _ in range(SCRAPES):
            # As after a change: the pictures of the whole tree are not made anew, those above are.
            await tree.terminate_child("group-0/child-0")
            await tree.restart_child("group-0/child-0")
            hold = Holds()
            trio.lowlevel.add_instrument(hold)
            began = time.process_time()
            pieces = [piece async for piece in metrics.exposition()]
            text = "".join(pieces)
            whole.append(time.process_time() - began)
            await trio.lowlevel.checkpoint()
            trio.lowlevel.remove_instrument(hold)
            holds.append(hold.longest)
            lines = text.count("\n") // len(paths)
            began = time.process_time()
            "".join(f'metric{{child="{path}"}} {each}\n' for each in range(lines) for path in paths)
            floors.append(time.process_time() - began)
    return tuple(map(statistics.median, (whole, holds, floors)))  # type: ignore[return-value]
