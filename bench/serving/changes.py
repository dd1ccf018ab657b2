"""What a change in a large tree costs until a watcher of the dashboard has it."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Mapping

import trio

from a2a_sup import open_tree, supervisor
from a2a_sup.registry import AgentRegistry
from a2a_sup.serve.listen import Address, Door
from a2a_sup.serve.publisher import Limits, Publisher
from a2a_sup.testing import ScriptedChild
from bench.alone import serve
from bench.serving.turns import Turns
from bench.trees.clock import cpu

CHANGES = 40
NEVER = 1e6
PATIENCE = 60.0


async def changes(size: int) -> Mapping[str, float]:
    """Return milliseconds: until a watcher has a change, CPU of all of it, and the holds."""
    children = [ScriptedChild(f"c{number}") for number in range(size)]
    spec = supervisor("app", [child.spec() for child in children])
    limits = Limits(metrics_interval=NEVER)
    async with open_tree(spec) as tree, trio.open_nursery() as nursery:
        door = Door(Address("127.0.0.1", 0), "")
        publisher = Publisher(tree, AgentRegistry(), limits=limits)
        await nursery.start(publisher.serve, door)
        await trio.sleep(limits.coalesce * 2)
        turns = Turns()
        trio.lowlevel.add_instrument(turns)
        command = [sys.executable, "-m", "bench.serving.reader", f"ws://{door.bound}"]
        reader = await trio.lowlevel.open_process(command, stdout=subprocess.PIPE)
        assert reader.stdout is not None  # noqa: S101 - it is a pipe
        await _line(reader.stdout)
        whole = turns.longest
        taken, held = [], []
        worked = cpu()
        for number in range(CHANGES):
            await trio.sleep(limits.coalesce * 2)  # so it is told at once, and alone
            context = children[number * 97 % size].context
            assert context is not None  # noqa: S101 - it runs
            turns.reset()
            begin = time.perf_counter()
            context.report(number=number)
            taken.append(await _line(reader.stdout) - begin)
            held.append(turns.longest)
        used = (cpu() - worked) / CHANGES
        nursery.cancel_scope.cancel()
    await reader.wait()
    return {
        "told": statistics.median(taken) * 1e3,
        "cpu": used * 1e3,
        "held": max(held) * 1e3,
        "whole": whole * 1e3,
    }


async def _line(lines: trio.abc.ReceiveStream) -> float:
    """Return the time that the reader said next: it says one for each change."""
    with trio.fail_after(PATIENCE):
        said = bytes(await lines.receive_some())
        while not said.endswith(b"\n"):
            said += await lines.receive_some()
    return float(said)


if __name__ == "__main__":
    serve((changes,))
